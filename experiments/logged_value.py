"""What trained policies are worth by the shop's own record of test customers and weeks, beside the held-out market.

docs/off-policy.md says why a decision is judged by itself, and what a log of campaigns can and cannot tell.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from campaigns.errors import InputError
from envs.world import World
from evaluation.estimate import Verdict
from evaluation.off_policy.checks import check_features
from evaluation.off_policy.coverage import TOLERATED
from experiments.config import Config
from experiments.history import PreparedHistory
from experiments.logged_judge import Judge, always, decide, make_judge, row_of
from experiments.main import run_folder
from experiments.train import Trained
from history.decisions import NAME, load_decisions
from simulators.logged_campaigns import collect_campaigns
from simulators.logged_rounds import LoggedRounds, collect_rounds, offers_of

FILE: Final = "off_policy.json"
FEWEST: Final = 200
"""Fewest rounds from which anything is estimated."""
FEWEST_TAKEN: Final = 20
"""Fewest of them with an offer, and without one."""
Agents = Mapping[str, Sequence[Trained]]


def judge_on_log(config: Config, history: PreparedHistory, world: World, trained: Agents) -> dict[str, Any]:
    """Estimate what each agent is worth from what the shop logged for the test customers in the test weeks.

    An agent with several seeds is judged as the even mixture of their policies. A number is that of one decision and
    of what came in `evaluate.log_weeks` weeks from it on, the log going on as it did.

    Args:
        config: Of the run.
        history: Only the test split's customers and weeks are looked at, and what came before them.
        world: The training market and what policies see of it, on the CPU.
        trained: Policies by agent.

    Returns:
        What is written to off_policy.json. `kind` is "decisions" (each logged with its offer), "campaigns" (only
        whether one reached a customer is logged) or "none"; `said` is a sentence; `agents` holds a row for each.

    Raises:
        InputError: A logged offer is none of the catalog's, or a policy looks at features that the log lacks.
    """
    decisions, weeks = load_decisions(run_folder(config) / "prepare"), config.evaluate.log_weeks
    none = {"kind": "none", "weeks": weeks, "currency": world.market.catalog.currency, "agents": []}
    if world.market.shops > 1:
        return none | {"said": "not estimable: the log is kept per person, and here a person buys on several shops"}
    if decisions is None or not len(decisions):
        rounds = collect_campaigns(world.market, world.observer, history.panel, history.splits.test, history.targeting)
        return none | _from_rounds(config, trained, world, rounds, "campaigns")
    rounds = _decided(history, world, decisions)
    return none | _from_rounds(config, trained, world, rounds, "decisions")


def _decided(history: PreparedHistory, world: World, decisions: pd.DataFrame) -> LoggedRounds:
    offer = offers_of(decisions, world.market.catalog, history.quality.tables[NAME].file)
    split = history.splits.test
    return collect_rounds(world.market, world.observer, history.panel, split, decisions, offer, forbidden_too=True)


def _from_rounds(config: Config, trained: Agents, world: World, collected: LoggedRounds, kind: str) -> dict[str, Any]:
    """Judge all agents by rounds, if these are enough to judge anything by."""
    check_features(world.observer.layout(world.market).feature_names, collected.feature_names)
    weeks = config.evaluate.log_weeks
    rounds = collected.followed_for(weeks)
    taken = int((rounds.action > 0).sum())
    held: dict[str, Any] = {
        "kind": kind,
        "rounds": rounds.n,
        "with_offer": taken,
        "customers": len(np.unique(rounds.customer)),
        "left_out": collected.left_out | {f"fewer than {weeks} weeks of the test follow": collected.n - rounds.n},
        "pscore": "estimated" if np.isnan(rounds.pscore).any() else "logged",
    }
    if rounds.n < FEWEST or min(taken, rounds.n - taken) < FEWEST_TAKEN:
        return held | {
            "said": f"not estimable: {rounds.n:,} decisions of test customers and weeks can be followed for {weeks} "
            f"weeks, {taken:,} of them with an offer; at least {FEWEST} are needed, {FEWEST_TAKEN} with and without one"
        }
    try:
        judge = make_judge(rounds, 2 if kind == "campaigns" else world.market.n_actions, weeks, config.seed)
    except InputError as unusable:
        if held["pscore"] == "logged":
            raise
        return held | {"said": f"not estimable: {unusable}"}
    held["as_logged"] = judge.uplift_as_logged().to_dict()
    if kind == "campaigns":
        return held | _by_campaigns(judge, trained, rounds)
    rows = [row_of(agent, judge, decide(group, rounds)) for agent, group in trained.items()]
    return held | {"agents": rows, "said": _said(rows, rounds, held["pscore"])}


def _by_campaigns(judge: Judge, trained: Agents, rounds: LoggedRounds) -> dict[str, Any]:
    """Judge "a campaign for everyone"; of agents only those that make no offers can be judged by a log of campaigns."""
    campaign = row_of("a campaign for everyone", judge, always(1, rounds.n, 2))
    rows = []
    for agent, group in trained.items():
        offers = float(1 - decide(group, rounds)[:, 0].mean())
        if offers <= TOLERATED:
            rows.append(row_of(agent, judge, always(0, rounds.n, 2)) | {"offers": offers})
        else:
            why = (
                f"{offers:.0%} of its decisions are offers of the catalog; the log tells only whether a campaign of "
                "the shop's reached a customer, never which offer, nor by what chance"
            )
            rows.append({"agent": agent, "offers": offers, "verdict": str(Verdict.NOT_ESTIMABLE), "why": why})
    said = (
        "not estimable for any agent that makes offers: the shop's campaigns were not drawn at random and bundle many "
        f"coupons. What {rounds.n:,} choices of campaign or none say is told by estimated chances, and weakly at best"
    )
    return {"campaign": campaign, "agents": rows, "said": said}


def _said(rows: list[dict[str, Any]], rounds: LoggedRounds, pscore: str) -> str:
    of = f"{rounds.n:,} logged decisions of {len(np.unique(rounds.customer)):,} test customers"
    chances = "their chances logged" if pscore == "logged" else "their chances estimated, so weakly at best"
    judged = [row for row in rows if row["uplift"]["overlap"]["verdict"] != Verdict.NOT_ESTIMABLE]
    return f"{len(judged)} of {len(rows)} agents can be judged by {of}, {chances}"


def beside_market(record: Mapping[str, Any], agents: list[dict[str, Any]]) -> dict[str, Any]:
    """Add to the record what the held-out market says of each agent, and the optimism gap, best there first."""
    found = {row["agent"]: row for row in record["agents"]}
    rows = [{"agent": row["agent"], "market": row["uplift"], "gap": row["gap"]} for row in agents]
    return dict(record) | {"agents": [row | found.get(row["agent"], {}) for row in rows]}


def log_line(record: Mapping[str, Any]) -> str:
    """Return the verdict on one line of the terminal, with what the log says of the agents that it can judge best."""
    judged = [row for row in record["agents"] if row.get("uplift", {}).get("value") is not None and row["offers"] > 0]
    best = sorted(judged, key=lambda row: -row["uplift"]["value"])[:3]
    told = ", ".join(
        f"{row['agent']} {row['uplift']['value']:+.3f} [{row['uplift']['lo']:+.3f}, {row['uplift']['hi']:+.3f}]"
        for row in best
    )
    return f"off-policy: {record['said']}" + (f"; uplift per decision: {told}" if told else "")
