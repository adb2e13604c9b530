"""What the shop's own logged decisions can teach a bandit before its first one: found by `fit`, used by `train`."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from agents.online import OnlineConfig
from agents.warm_start import CLIP, Weighting, clipped_weights, effective
from campaigns.offers import Catalog
from envs.world import World
from experiments.history import PreparedHistory
from history.artifacts import read_json, read_tensors, write_json, write_tensors
from history.decisions import NAME, load_decisions
from history.feedback import LoggedFeedback
from simulators.logged_rounds import MOST_WEEKS, LoggedRounds, collect_rounds, offers_of

FOLDER: Final = "feedback"
RECORD: Final = "feedback.json"
ROUNDS: Final = "rounds.safetensors"
FEWEST: Final = 30.0
"""Fewest decisions drawn at random that those for an offer must be worth for a comparison with it."""

_ARRAYS: Final = ("features", "mask", "action", "pscore", "customer", "weeks", "net", "cost")


def write_feedback(folder: Path, prepared: Path, history: PreparedHistory, world: World) -> str:
    """Turn the logged decisions of the training customers and weeks into rounds; write them, and how far they reach.

    Args:
        folder: Where to write feedback.json, and rounds.safetensors where a bandit can begin from them.
        prepared: Folder of `prepare`.
        history: The history.
        world: The training market, on the CPU.

    Returns:
        One sentence that says what came of it.

    Raises:
        InputError: A logged offer is none of the catalog's.
    """
    decisions, catalog = load_decisions(prepared), world.market.catalog
    record: dict[str, Any] = {"usable": False, "logged": 0 if decisions is None else len(decisions), "offers": []}
    if decisions is None:
        verdict = "not estimable: the source has no table of decisions"
    else:
        offer = offers_of(decisions, catalog, history.quality.tables[NAME].file)
        if not len(decisions) or decisions["pscore"].isna().any():
            verdict = "not estimable: the table of decisions has no pscore, so it speaks only for whom the shop chose"
        elif world.market.shops > 1:
            verdict = "not estimable: decisions are logged per person, and here a person buys on several shops"
        else:
            split = history.splits.train
            rounds = collect_rounds(world.market, world.observer, history.panel, split, decisions, offer)
            verdict = _judge(record, rounds, catalog)
            if record["usable"]:
                tensors = {name: torch.from_numpy(np.ascontiguousarray(getattr(rounds, name))) for name in _ARRAYS}
                write_tensors(folder / ROUNDS, tensors)
                record["features"] = list(rounds.feature_names)
    write_json(folder / RECORD, record | {"verdict": verdict})
    return verdict


def _judge(record: dict[str, Any], rounds: LoggedRounds, catalog: Catalog) -> str:
    """Add to the record what was found, and say it in a sentence."""
    offers = overlap(rounds.action, rounds.pscore, catalog)
    credited = {str(weeks): int((rounds.weeks >= weeks).sum()) for weeks in range(1, MOST_WEEKS + 1)}
    record |= {"rounds": rounds.n, "credited": credited, "left_out": rounds.left_out, "offers": offers}
    enough = [row["offer"] for row in offers[1:] if row["effective"] >= FEWEST]
    if offers[0]["effective"] < FEWEST or not enough:
        what = "no offer" if offers[0]["effective"] < FEWEST else "any offer"
        return f"not estimable: the decisions for {what} are worth fewer than {FEWEST:g} that were drawn at random"
    record["usable"] = True
    rare = [row["offer"] for row in offers[1:] if row["offer"] not in enough]
    seldom = f"; too seldom given to be told: {', '.join(rare)}" if rare else ""
    worth = ", ".join(f"{row['effective']:,.0f} of {row['offer']}" for row in offers)
    return f"{rounds.n:,} logged decisions of the training customers and weeks, worth {worth} drawn at random{seldom}"


def overlap(action: np.typing.NDArray[np.int64], pscore: np.typing.NDArray[np.float64], catalog: Catalog) -> list[Any]:
    """Return how far logged decisions speak for all customers, one row per offer.

    Args:
        action: Offers given, shape (n,).
        pscore: Their chances, shape (n,).
        catalog: The offers.

    Returns:
        Of each offer: `rounds`, `effective` (sample size of the weighted rounds, Kish), `least_pscore`, and `clipped`
        (rounds whose weight was cut).
    """
    weight = clipped_weights(pscore)
    worth = effective(action, weight, catalog.n)
    rows = []
    for place, name in enumerate(catalog.names):
        mine = pscore[action == place]
        rows.append(
            {
                "offer": name,
                "rounds": len(mine),
                "effective": float(worth[place]),
                "least_pscore": float(mine.min()) if len(mine) else None,
                "clipped": int((1.0 / mine > CLIP).sum()),
            }
        )
    return rows


def begin_from(folder: Path, agent: Any, catalog: Catalog, seed: int) -> tuple[LoggedFeedback | None, dict[str, Any]]:
    """Return the log that an agent begins from, None for none, and what is noted of that; {} where it never does.

    Args:
        folder: Where `write_feedback` wrote.
        agent: The agent's config.
        catalog: The offers.
        seed: Of the folds.
    """
    if not isinstance(agent, OnlineConfig) or not agent.begins_from_log:
        return None, {}
    record = read_json(folder / RECORD)
    if agent.warm_start is Weighting.OFF:
        return None, {"rounds": 0, "verdict": "not asked for: agent.warm_start is off"}
    if not record["usable"]:
        return None, {"rounds": 0, "verdict": record["verdict"]}
    if agent.credit_weeks > MOST_WEEKS:
        verdict = f"not estimable: logged decisions are followed for {MOST_WEEKS} weeks, agent.credit_weeks is more"
        return None, {"rounds": 0, "verdict": verdict}
    log = _read(folder, record).credited(agent.credit_weeks, seed)
    assert log.pscore is not None
    offers = overlap(log.action, log.pscore, catalog)
    verdict = f"begins from {log.n:,} logged decisions, each followed for {agent.credit_weeks} weeks"
    return log, {"rounds": log.n, "weighting": agent.warm_start.value, "offers": offers, "verdict": verdict}


def _read(folder: Path, record: dict[str, Any]) -> LoggedRounds:
    arrays = {name: tensor.numpy() for name, tensor in read_tensors(folder / ROUNDS).items()}
    return LoggedRounds(feature_names=tuple(record["features"]), left_out=record["left_out"], **arrays)
