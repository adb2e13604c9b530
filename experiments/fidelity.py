"""The fidelity of a run's market: what it is judged by, and the gate that a published policy passes."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campaigns.errors import InputError
from envs.world import World
from evaluation.fidelity.judgement import Record, judge_fidelity
from evaluation.fidelity.trajectories import recorded_trajectories, simulate_trajectories
from experiments.config import Config
from experiments.history import PreparedHistory, full_weeks, starting_states
from experiments.judging import Learned, simulate_redemptions
from history.artifacts import read_json
from history.calendar import Calendar
from simulators.scenario import Population, Season

FILE = "fidelity.json"
SEED = 20_013


def measure_fidelity(
    config: Config,
    history: PreparedHistory,
    world: World,
    learned: Learned,
    fits: Mapping[str, Any],
) -> dict[str, Any]:
    """Let a run's training market run free from the test customers' states and judge it by what they really did.

    Whatever the scenario, it is the plain market of all customers that is held against the record.

    Args:
        config: How many runs.
        history: The record.
        world: The training market.
        learned: What the run learned.
        fits: Fit on the test split of "visit" and "offers", as `judge_fidelity` takes them.
    """
    split, events = history.splits.test, history.panel.events
    before = range(full_weeks(history.panel.n_weeks).start, split.weeks.start)
    record = Record(
        weeks=events.weeks[split.weeks.start : split.weeks.stop],
        past=recorded_trajectories(events, split.customers, before),
        lived=recorded_trajectories(events, split.customers, split.weeks),
        assumed=assumed_weeks(history.quality.calendar, events.weeks, split.weeks),
    )
    first = range(split.weeks.start, split.weeks.start + 1)
    start = starting_states(history.panel, split, first).state.to(world.pool.weeks_seen.device)
    market = replace(world.market, level=learned.level, population=Population(), season=Season(), shops=1, cleared=None)
    lives = simulate_trajectories(market, start, len(split.weeks), config.evaluate.fidelity_runs, SEED)
    redemptions = simulate_redemptions(learned.redemption, history, lives.active, SEED)
    return judge_fidelity(record, lives, fits, seed=SEED, redemptions=redemptions)


def assumed_weeks(calendar: Calendar, weeks: NDArray[np.int64], held_out: range) -> dict[int, str]:
    """Return the held-out weeks of Christmas that nothing could be learned of, with the reason, by number.

    Args:
        calendar: Of the history.
        weeks: Numbers of all its weeks.
        held_out: Positions of the held-out ones.
    """
    christmas = [int(week) for week in weeks if _holds_christmas(calendar.monday(int(week)))]
    earlier = sum(week < weeks[held_out.start] for week in christmas)
    if earlier > 1:
        return {}
    seen = "never" if earlier == 0 else "once"
    return {
        week: f"Christmas is assumed to be a week like its neighbours: the earlier weeks held it {seen}, and one year "
        "cannot tell Christmas from trend"
        for week in christmas
        if weeks[held_out.start] <= week <= weeks[held_out.stop - 1]
    }


def _holds_christmas(monday: date) -> bool:
    """Return whether a week holds Christmas Eve, the last day of shopping for it, or Christmas Day."""
    days = [monday + timedelta(days=i) for i in range(7)]
    return any((day.month, day.day) in ((12, 24), (12, 25)) for day in days)


def read_fidelity(folder: Path) -> dict[str, Any]:
    """Read what `evaluate` wrote of a run's market."""
    result: dict[str, Any] = read_json(folder / "evaluate" / FILE)
    return result


def fidelity_line(fidelity: Mapping[str, Any]) -> str:
    """Return the verdict on one line of the terminal."""
    line = f"fidelity of the market: {fidelity['verdict']}"
    return line if fidelity["verdict"] == "PASS" else f"{line}: {_trouble(fidelity)}"


def pass_gate(fidelity: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """Let a market's policy be published, or refuse it.

    Args:
        fidelity: What `judge_fidelity` found.
        reason: Why a market that does not pass is published all the same; "" for none.

    Returns:
        What the manifest says of it: verdict, failed and missing metrics and, where it did not pass, the reason.

    Raises:
        InputError: the market does not pass and no reason is given.
    """
    verdict, reason = fidelity["verdict"], " ".join(reason.split())
    about = {
        "verdict": verdict,
        "failed": [metric["label"] for metric in fidelity["metrics"] if metric["name"] in fidelity["failed"]],
        "not_measured": [m["label"] for m in fidelity["metrics"] if m["name"] in fidelity["not_measured"]],
    }
    if verdict == "PASS":
        return {**about, "override": None}
    if not reason:
        raise InputError(
            f"export: the market does not behave like the customers: {_trouble(fidelity)}; mend the market "
            "(evaluate/fidelity.json says where it differs), or publish all the same with "
            "export.override_fidelity='the reason in words'"
        )
    return {**about, "override": reason}


def _trouble(fidelity: Mapping[str, Any]) -> str:
    if fidelity["failed"]:
        return f"failed {', '.join(fidelity['failed'])}"
    metrics = {metric["name"]: metric for metric in fidelity["metrics"]}
    missing = fidelity["missing_required"]
    return f"not measured {', '.join(missing)} ({metrics[missing[0]]['why_not']})"
