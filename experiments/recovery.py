"""Score the whole way from a log to a policy in synthetic shops whose truth is known.

python -m experiments.recovery recovery.truths=500

Writes runs/<name>/recovery/: one line per truth as it is done, so that a broken-off study goes on where it stopped, and
recovery.json with the summary.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from experiments.config import Config
from experiments.main import main, run_folder, set_up
from experiments.recovery_policy import score_policies
from experiments.resumable import Row, go_on
from history.artifacts import write_json
from history.panel import build_panel
from simulators.effects.logged_offers import estimate_offers
from simulators.effects.offer_log import offer_rows
from simulators.priors import EffectPriors
from simulators.synthetic.log import QUIET_WEEKS, live_through
from simulators.synthetic.truth import SyntheticTruth, open_shop

COUPON = 2
"""Place of the coupon among the kinds of offers."""


def run_recovery(config: Config) -> Path:
    """Run both studies, going on where an earlier run stopped; return the file of the summary."""
    folder = run_folder(config) / "recovery"
    folder.mkdir(parents=True, exist_ok=True)
    chosen = config.recovery
    effects = go_on(folder / "effects.jsonl", range(chosen.truths), partial(cover, config), config.run.jobs)
    jobs = [(size, index) for size, count in zip(chosen.sizes, chosen.policies, strict=True) for index in range(count)]
    policies = go_on(folder / "policies.jsonl", jobs, partial(_score, config), 1)
    summary = {"settings": asdict(chosen), "effects": summarise_effects(effects), "policies": summarise(policies)}
    path = folder / "recovery.json"
    write_json(path, summary)
    print(json.dumps(summary, indent=1))
    return path


def _score(config: Config, job: tuple[int, int]) -> Row:
    return score_policies(config, *job)


def random_truth(index: int, customers: int, weeks: int) -> SyntheticTruth:
    """Return a shop whose effects, targeting and seasons are drawn anew: none to strong, fair to badly biased."""
    rng = np.random.default_rng([20_017, index])
    return SyntheticTruth(
        seed=1000 + index,
        customers=customers,
        weeks=weeks,
        effects=EffectPriors(
            visit_coupon=float(rng.uniform(0.0, 0.8)),
            spend_elasticity=float(rng.uniform(0.0, 1.2)),
            fatigue=float(rng.uniform(0.0, 0.3)),
            redeem_coupon=2.0,
        ),
        heterogeneity=float(rng.uniform(0.0, 0.8)),
        targeting_bias=float(rng.uniform(0.0, 2.0)),
        seasonality=float(rng.uniform(0.0, 0.2)),
        drift=float(rng.uniform(-0.005, 0.005)),
        shock=float(rng.uniform(0.0, 0.1)),
    )


def cover(config: Config, index: int) -> Row:
    """Estimate the effects from one small log, and set them beside the truth."""
    set_up(config)
    truth = random_truth(index, config.recovery.customers, config.recovery.weeks)
    shop = open_shop(truth)
    log = live_through(shop)
    panel, market = build_panel(log.events), shop.market
    weeks = range(QUIET_WEEKS, truth.weeks)
    everyone = np.arange(truth.customers)
    rows = offer_rows(panel, log.targeting, market.catalog, market.categories, everyone, weeks)
    priors = EffectPriors()
    found = estimate_offers(rows, priors.fatigue, priors.fatigue * priors.relative_spread, seed=0)
    lift = float(market.effects.visit[shop.kind, COUPON].mean())
    row: Row = {"bias": truth.targeting_bias, "verdict": found.verdict}
    for name, effect, value in (
        ("visit", found.visit.get("coupon"), lift),
        ("naive_visit", found.naive.get("coupon"), lift),
        ("spend", found.spend, truth.effects.spend_elasticity),
        ("fatigue", found.fatigue, truth.effects.fatigue),
    ):
        if effect is not None:
            row[name] = {"truth": value, "value": effect.value, "lo": effect.lo, "hi": effect.hi}
    return row


def summarise_effects(rows: list[Row]) -> Row:
    """Return coverage with its exact 95 % interval, bias and width of each effect's intervals."""
    summary: Row = {"truths": len(rows)}
    for name in ("visit", "naive_visit", "spend", "fatigue"):
        found = [row[name] for row in rows if name in row]
        if found:
            summary[name] = _coverage(found)
    return summary


def _coverage(found: list[Mapping[str, float]]) -> Row:
    held = int(sum(one["lo"] <= one["truth"] <= one["hi"] for one in found))
    exact = stats.binomtest(held, len(found)).proportion_ci()
    error = np.array([one["value"] - one["truth"] for one in found])
    width = np.array([one["hi"] - one["lo"] for one in found])
    return {
        "estimated": len(found),
        "coverage": held / len(found),
        "lo": float(exact.low),
        "hi": float(exact.high),
        "bias": float(error.mean()),
        "bias_error": float(error.std() / len(found) ** 0.5),
        "median_width": float(np.median(width)),
    }


def summarise(rows: list[Row]) -> list[Row]:
    """Return, by size of the shop, the shares of the upper bound and how often others were beaten."""
    summary = []
    for size in sorted({row["customers"] for row in rows}):
        of_size = [row for row in rows if row["customers"] == size]
        names = of_size[0]["policies"]
        summary.append(
            {
                "customers": size,
                "truths": len(of_size),
                "share": {n: float(np.median([row["policies"][n]["share"] for row in of_size])) for n in names},
                "share_of_profiles": {
                    n: float(np.median([row["policies"][n]["share_of_profiles"] for row in of_size])) for n in names
                },
                "least_share": {n: min(row["policies"][n]["share"] for row in of_size) for n in names},
                "cost_over_budget": {
                    n: float(np.median([row["policies"][n]["cost_ratio"] for row in of_size])) for n in names
                },
                "better_than_no_offer": sum(row["policies"]["learned"]["share"] > 0 for row in of_size),
                "worse_than_no_offer": sum(row["policies"]["learned"]["hi"] < 0 for row in of_size),
                "better_than_knapsack": sum(
                    row["policies"]["learned"]["share"] > row["policies"]["knapsack_on_log"]["share"] for row in of_size
                ),
            }
        )
    return summary


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(run_recovery)
