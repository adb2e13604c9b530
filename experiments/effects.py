"""What offers do: estimates from the training split that meet the priors, and how they fare on held-out customers."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from campaigns.offers import Catalog
from evaluation.planner_baseline import Weeks, compare_models
from evaluation.uplift import Ranked, judge_ranking
from experiments.config import Config
from experiments.history import PreparedHistory
from history.artifacts import read_json, write_json
from history.exposures import Exposures, load_exposures
from history.splits import Split
from simulators.effects.audit import audit_bundles
from simulators.effects.bundles import collect_bundles
from simulators.effects.heterogeneity import predict_uplift, pseudo_outcomes
from simulators.effects.logged_offers import estimate_offers
from simulators.effects.offer_log import OfferRows, offer_rows, unknown_offers
from simulators.effects.posterior import EffectPosterior, Estimates, posterior
from simulators.effects.redeeming import learn_redeeming
from simulators.effects.shelf import estimate_shelf
from simulators.fit import customer_weeks
from simulators.fitting import mean_spend_given_visit, mean_visit_probability
from simulators.priors import EffectPriors
from simulators.promotion import Categories
from simulators.response import ResponseModel
from simulators.worlds import FittedWorld

FILE = "effects.json"


def write_effects(
    folder: Path, prepared: Path, history: PreparedHistory, world: FittedWorld, config: Config
) -> tuple[EffectPriors, EffectPriors]:
    """Estimate effects on the training split, let them meet the priors, and write effects.json into `folder`.

    Args:
        folder: Where to write.
        prepared: Folder of `prepare`, which holds the exposures.
        history: The history.
        world: Fitted on the training split.
        config: Priors, offers and seed.

    Returns:
        What is believed under the priors of the training market, and under those of the judging market.
    """
    estimates, rows = estimate_effects(history, load_exposures(prepared), world.categories, config)
    believed, judging = (
        _with_redeeming(posterior(priors, estimates), history, rows, world.response, config)
        for priors in (config.market.effects, config.market.judge_effects)
    )
    catalog = Catalog.from_dict(config.offers)
    data = {
        **believed.to_dict(),
        "judge_priors": asdict(judging.priors),
        "bundles": estimates.bundles.data,
        "offers": {
            **estimates.offers.to_dict(),
            "unknown": unknown_offers(history.targeting, catalog),
            "catalog": list(catalog.names[1:]),
        },
        "shelf": estimates.shelf.data,
        "map": {"coupon_value": estimates.coupon_value, "coupons_used": estimates.coupons_used},
    }
    write_json(folder / FILE, data)
    return believed.priors, judging.priors


def _with_redeeming(
    believed: EffectPosterior,
    history: PreparedHistory,
    rows: OfferRows | None,
    response: ResponseModel,
    config: Config,
) -> EffectPosterior:
    catalog = Catalog.from_dict(config.offers)
    return replace(believed, priors=learn_redeeming(believed.priors, history.panel, rows, response, catalog))


def read_priors(run: Path, judging: bool = False) -> EffectPriors:
    """Return what `fit` believed of the effects: in the market of training, or in the one that judges."""
    data: dict[str, Any] = read_json(run / "fit" / "effects" / FILE)
    return EffectPriors(**data["judge_priors" if judging else "priors"])


def effects_note(priors: EffectPriors) -> str:
    """Say in two sentences what is learned of offers and what that means for a comparison of markets."""
    informed = ", ".join(name.replace("_", " ") for name in sorted(priors.spreads))
    learned = (
        f"Of what offers do, the history informs {informed}; the rest is assumed, with sources."
        if informed
        else "What offers do is assumed, with sources, not learned: the history identifies none of it."
    )
    return f"{learned} Two markets that share these beliefs agree more than the world would."


def estimate_effects(
    history: PreparedHistory, exposures: Exposures, categories: Categories, config: Config
) -> tuple[Estimates, OfferRows | None]:
    """Estimate all that the training customers and weeks can say of offers; and return the rows of a named log."""
    train, panel, log = history.splits.train, history.panel, history.targeting
    priors, value = config.market.effects, history.quality.coupon_values.quartiles
    rows = offer_rows(panel, log, Catalog.from_dict(config.offers), categories, train.customers, train.weeks)
    bundles = collect_bundles(panel, log, exposures, train.customers, range(train.weeks.stop))
    audit = audit_bundles(bundles, config.seed, trees=True)
    used = log.loc[log["redeemed"] & log["customer_id"].isin(_ids(history, train)), "n_redeemed"]
    estimates = Estimates(
        bundles=audit,
        offers=estimate_offers(rows, priors.fatigue, priors.fatigue * priors.relative_spread, config.seed),
        shelf=estimate_shelf(panel, exposures, train.customers, train.weeks),
        coupon_value=float(value[1]) if value else 1.0,
        coupons_used=float(used.mean()) if len(used) else 1.0,
        bundle_weeks=float(audit.data.get("mean_weeks", 1.0)),
    )
    return estimates, rows


def judge_effects(prepared: Path, history: PreparedHistory, response: ResponseModel, config: Config) -> dict[str, Any]:
    """Judge on the test customers and weeks: the ranking by uplift, and the market's model beside a planner's trees.

    The audit of the whole log stands beside the one of the training split, for the reader; nothing is learned from it.
    """
    exposures, panel, log = load_exposures(prepared), history.panel, history.targeting
    train, test = history.splits.train, history.splits.test
    everyone = np.arange(panel.events.n)
    whole = collect_bundles(panel, log, exposures, everyone, range(panel.n_weeks - 1))
    learned = collect_bundles(panel, log, exposures, train.customers, range(train.weeks.stop))
    later = collect_bundles(panel, log, exposures, test.customers, test.weeks)
    fitted, judged = pseudo_outcomes(learned, config.seed), pseudo_outcomes(later, config.seed)
    rankings = {}
    if fitted is not None and judged is not None:
        for name, predicted in predict_uplift(fitted, judged.x, config.seed).items():
            rankings[name] = judge_ranking(Ranked(judged.household, predicted, judged.score), config.seed)
    return {
        "whole_log": audit_bundles(whole, config.seed).data,
        "rankings": rankings,
        "models": compare_models(
            _weeks(history, train),
            _weeks(history, test),
            {"market's model": _predict(response, history, test)},
            config.seed,
        ),
    }


def _ids(history: PreparedHistory, split: Split) -> set[str]:
    return {history.panel.events.customer_ids[i] for i in split.customers}


def _weeks(history: PreparedHistory, split: Split) -> Weeks:
    rows = customer_weeks(history.panel, split)
    return Weeks(rows.features.double().numpy(), (rows.baskets > 0).numpy(), rows.spend.double().numpy())


def _predict(response: ResponseModel, history: PreparedHistory, split: Split) -> tuple[Any, Any]:
    rows = customer_weeks(history.panel, split)
    with torch.no_grad():
        chance = mean_visit_probability(response, rows.features)
        spend = mean_spend_given_visit(response, rows.features)
    return chance.double().numpy(), spend.double().numpy()
