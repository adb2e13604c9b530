"""Try off-policy estimators on logs with known truth: how often limits hold it, and what is refused.

python -m experiments.off_policy name=off_policy

Writes runs/<name>/off_policy/: one line per block of logs as it is done, so that a broken-off study goes on where it
stopped, and off_policy.json with the shares.
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from evaluation.estimate import Estimate, Verdict
from evaluation.off_policy import intervals
from evaluation.off_policy.coverage import Coverage
from evaluation.off_policy.estimators import doubly_robust, ips, snips
from evaluation.off_policy.fitted_q import fit_q, fitted_q_evaluation
from evaluation.off_policy.intervals import Bounds, with_normal
from evaluation.off_policy.marginal import marginal_ips
from evaluation.off_policy.propensity import doubt_support, estimate_propensity
from evaluation.off_policy.reward_model import fit_reward
from evaluation.off_policy.rounds import condense
from evaluation.off_policy.table import Estimator, Interval, estimate_all
from evaluation.off_policy.trajectories import per_decision_ips, sequential_dr
from experiments.config import Config
from experiments.main import main, run_folder, set_up
from experiments.off_policy_logs import (
    Case,
    draw_blind,
    draw_case,
    draw_large,
    draw_logistic,
    draw_trajectories,
    draw_uniform,
)
from experiments.resumable import Row, go_on
from history.artifacts import write_json

BLOCK: Final = 25
"""Logs of a line."""
Found = dict[str, tuple[Estimate, float]]
"""Estimates by name, each with the truth."""


def run_off_policy(config: Config) -> Path:
    """Draw logs and judge them, going on where an earlier run stopped; return the file of the shares."""
    chosen = config.off_policy
    folder = run_folder(config) / "off_policy"
    folder.mkdir(parents=True, exist_ok=True)
    firsts = range(0, chosen.logs, BLOCK)
    jobs: list[list[Any]] = [["limits", n, first] for n in chosen.sizes for first in firsts]
    jobs += [["refusals", n, first] for n in chosen.sizes for first in firsts]
    rows = go_on(folder / "off_policy.jsonl", jobs, partial(_block, config), config.run.jobs, "block")
    found = {
        kind: {n: summarise([row for row in rows if row["job"][:2] == [kind, n]]) for n in chosen.sizes}
        for kind in ("limits", "refusals")
    }
    path = folder / "off_policy.json"
    write_json(path, {"logs": chosen.logs, "found": found})
    print(json.dumps(found, indent=1))
    return path


def summarise(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Return the mean of what the logs of all blocks gave, by name of the estimator."""
    logs = [log for row in sorted(rows, key=lambda row: row["job"]) for log in row["logs"]]
    names = sorted({name for log in logs for name in log})
    found = {}
    for name in names:
        seen = np.array([log[name] for log in logs if name in log], np.float64)
        found[name] = {"logs": len(seen), "share": float(seen[:, 0].mean()), "width": float(np.nanmean(seen[:, 1]))}
    return found


def _block(config: Config, job: list[Any]) -> Row:
    set_up(config)
    kind, n, first = job
    judge = _judge_limits if kind == "limits" else _judge_refusals
    seeds = range(first, min(first + BLOCK, config.off_policy.logs))
    return {"logs": [judge(n, 1009 * n + seed, config.off_policy.resamples) for seed in seeds]}


def _judge_limits(n: int, seed: int, resamples: int) -> dict[str, list[float]]:
    """Return whether the limits hold the truth and their width, by estimator and kind, where there is a number."""
    found = single_rounds(n, seed, resamples) | bounded(n, seed) | weeks(n, seed)
    return {name: [float(e.lo <= truth <= e.hi), e.hi - e.lo] for name, (e, truth) in found.items() if e.lo == e.lo}


def single_rounds(n: int, seed: int, resamples: int) -> Found:
    """Estimate from rounds without memory: known and estimated pscores, a uniform log, a large catalog."""
    case = draw_case(n, seed)
    rounds = condense(case.log, case.policy, fit_reward(case.log, case.x, seed))
    found: Found = {}
    for interval in Interval:
        every = estimate_all(rounds, interval, seed, resamples)
        found |= {f"{name}, {interval}": (estimate, case.truth) for name, estimate in every.items()}
    like = draw_logistic(n, seed)
    fitted = estimate_propensity(like.log.action, like.x, 4)
    log = replace(like.log, pscore=fitted.pscore, behavior=None, score=fitted.score)
    guessed = condense(log, like.policy, fit_reward(log, like.x, seed))
    for name, terms in (("IPS", ips(guessed)), ("SNIPS", snips(guessed)), ("DR", doubly_robust(guessed))):
        found[f"{name}, estimated pscore"] = with_normal(terms, guessed), like.truth
    even = draw_uniform(n, seed)
    found["replay, normal"] = estimate_all(condense(even.log, even.policy))[Estimator.REPLAY], even.truth
    large, kind = draw_large(n, seed)
    of_kinds = condense(large.log, large.policy, category=kind)
    found["MIPS, normal"] = with_normal(ips(of_kinds), of_kinds), large.truth
    of_offers = condense(large.log, large.policy)
    found["IPS of the same catalog, normal"] = with_normal(ips(of_offers), of_offers), large.truth
    return found


def bounded(n: int, seed: int) -> Found:
    """Estimate from rewards of 0 and 1, with limits that hold in a log of any length."""
    case = draw_case(n, seed, binary=True)
    rounds = condense(case.log, case.policy)
    bounds = Bounds(0.0, 1.0, 1 / 0.05)  # the log explores with 0.2 over four actions
    found = {
        "IPS of 0 and 1, normal": with_normal(ips(rounds), rounds),
        "IPS of 0 and 1, empirical Bernstein": intervals.with_bernstein(rounds, bounds),
        "IPS of 0 and 1, confidence sequence": intervals.with_confidence_sequence(rounds, bounds),
        "IPS of 0 and 1, asymptotic sequence": intervals.with_asymptotic_sequence(ips(rounds), rounds, n),
    }
    return {name: (estimate, case.truth) for name, estimate in found.items()}


def weeks(n: int, seed: int) -> Found:
    """Estimate from trajectories."""
    lived, state, truth = draw_trajectories(n, seed)
    q = fit_q(lived, seed)
    found = {
        "per-decision IPS": per_decision_ips(lived),
        "sequential DR": sequential_dr(lived, q),
        "fitted Q evaluation": fitted_q_evaluation(lived, q),
        "marginal weights": marginal_ips(lived, state),
    }
    return {name: (estimate, truth) for name, estimate in found.items()}


def _judge_refusals(n: int, seed: int, _: int) -> dict[str, list[float]]:
    """Return whether a log that misses the truth, and one that is fine, are refused."""
    good, blind = draw_case(n, seed), draw_blind(n, seed)
    found = {"good log": [float(refused(good, seed)), 0.0]}
    if misled(blind):
        found["blind log that misleads"] = [float(refused(blind, seed)), 0.0]
    return found


def refused(case: Case, seed: int) -> bool:
    """Say whether the log gives no number when its own probabilities of other actions are not known."""
    doubt = doubt_support(case.log.action, case.x, case.log.n_actions, seed)
    overlap = condense(replace(case.log, behavior=None, doubt=doubt), case.policy).coverage.judge()
    return overlap.verdict is Verdict.NOT_ESTIMABLE


def misled(case: Case) -> bool:
    """Say whether the truth is outside the limits of each estimator that asks nothing of the overlap."""
    rounds = condense(case.log, case.policy, fit_reward(case.log, case.x, 0))
    trusting = replace(rounds, coverage=Coverage(float(rounds.n), 1.0, 0.0, 0.0))
    every = [with_normal(terms, trusting) for terms in (ips(trusting), snips(trusting), doubly_robust(trusting))]
    return all(not e.lo <= case.truth <= e.hi for e in every)


if __name__ == "__main__":
    main(run_off_policy)
