"""Fit and judge what is known of customers, and write it: profiles, segments, and the figures of the report."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from experiments.customer_judging import judge_churn, judge_sensitivity, judge_value
from experiments.history import PreparedHistory
from history.artifacts import read_table, write_json, write_table
from history.panel import states_before
from history.state import State
from simulators.profiles.bg_bb import BgBb, chance_of_silence, weeks_of
from simulators.profiles.churn import SILENCE, ChurnScore, score_churn
from simulators.profiles.demographics import describe_demographics, wilson_interval
from simulators.profiles.grouping import CustomersConfig, Grouping, fit_segments
from simulators.profiles.lifetime import HALF_YEAR, Lifetime, Value, fit_lifetime, value_customers
from simulators.profiles.migration import describe_migration, quarter_positions
from simulators.profiles.preferences import favourite_categories, segment_tastes
from simulators.profiles.rhythm import describe_rhythm
from simulators.profiles.segment_count import RULE
from simulators.profiles.segments import assign_segment
from simulators.profiles.sensitivity import fit_sensitivity, promotion_shares, score_sensitivity
from simulators.promotion import Categories

Floats = NDArray[np.float64]
PROFILES = "profiles.parquet"
FIGURES = "customers.json"
RECENCY_EDGES = (0, 1, 2, 4, 8, 13)
"""Weeks since the last visit at which a row of the map begins; the last has no end."""
FREQUENCY_EDGES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
"""Share of weeks with a visit at which a column of the map begins; the last ends at 1."""


def write_customers(
    folder: Path,
    history: PreparedHistory,
    customers: pd.DataFrame,
    categories: Categories,
    config: CustomersConfig,
    seed: int,
) -> dict[str, Any]:
    """Fit profiles on the training split, judge them on the test split, and write all into `folder`.

    Writes profiles.parquet, one row per customer at the end of the history; segments.safetensors and segments.json; and
    customers.json, the figures that the report shows, which are returned.

    Args:
        folder: Where to write.
        history: Replayed.
        customers: Demographics in the order of the panel, for description only: nothing is fitted to them.
        categories: As the training customers bought them.
        config: How much is resampled.
        seed: Same seed, same files.
    """
    n_weeks = history.panel.n_weeks
    states = states_before(history.panel.events, range(n_weeks + 1))
    now, train = states[n_weeks], history.splits.train
    grouping = fit_segments(
        states[train.weeks.stop].take(torch.from_numpy(train.customers)),
        history.quality.currency,
        seed,
        config.resamples,
    )
    churn, churn_figures = judge_churn(history, states, config.intervals)
    lifetime = fit_lifetime(history.panel.events, states, train.customers, n_weeks, min(HALF_YEAR, (n_weeks - 1) // 2))
    profiles = _profiles(history, now, categories, grouping, lifetime, churn)
    figures = {
        "currency": history.quality.currency,
        "customers": len(profiles),
        "segmentation": _segmentation(grouping, profiles, history, categories, now),
        "value": judge_value(history, states, lifetime)
        | {"end": _value_at_the_end(profiles, history.quality.currency)},
        "churn": churn_figures,
        "sensitivity": judge_sensitivity(history, states, config.intervals),
        "map": _map(profiles, history.quality.currency),
        "migration": _migration(history, states, grouping),
        "demographics": describe_demographics(customers, profiles["segment"]),
    }
    write_table(folder / PROFILES, profiles)
    grouping.segments.save(folder)
    write_json(folder / FIGURES, figures)
    return figures


def read_profiles(folder: Path) -> pd.DataFrame:
    """Read the customers' profiles that `write_customers` wrote.

    Raises:
        InputError: they are missing or unreadable.
    """
    return read_table(folder / PROFILES, "fit")


def _profiles(
    history: PreparedHistory, now: State, categories: Categories, grouping: Grouping, lifetime: Lifetime,
    churn: ChurnScore | None,
) -> pd.DataFrame:  # fmt: skip
    events, code = history.panel.events, history.quality.currency.lower()
    active = (events.baskets > 0).astype(np.float64)
    value = value_customers(lifetime, now, active[:, 1:])
    segment = assign_segment(grouping.segments, now).numpy()
    learners = torch.from_numpy(history.splits.train.customers)
    scores = {
        "customer_id": pd.Series(events.customer_ids, dtype="str"),
        "segment": pd.Series([grouping.segments.names[i] for i in segment], dtype="str"),
        **_value_columns(value, code),
        "p_alive": value.alive,
        "churn_risk": _churn_risk(churn, lifetime.survival, now, active[:, 1:]),
        "price_sensitivity": score_sensitivity(fit_sensitivity(now.take(learners)), now).numpy(),
        "promo_share": promotion_shares(now).numpy(),
        "redemptions": events.redeemed.sum(axis=1).astype(np.int64),
    }
    rhythm = describe_rhythm(now, active, history.quality.currency)
    return pd.concat([pd.DataFrame(scores), rhythm, favourite_categories(categories, now)], axis=1)


def _value_columns(value: Value, code: str) -> dict[str, Floats]:
    """Return mean and 95 % interval of the spend in 26 and 52 weeks."""
    columns = {}
    for weeks, factor in ((HALF_YEAR, np.ones(len(value.alive))), (2 * HALF_YEAR, value.year_ratio)):
        quantiles = value.half_year * factor[:, None]
        columns[f"value_{weeks}w_{code}"] = quantiles.mean(axis=1)
        columns[f"value_{weeks}w_lo_{code}"] = quantiles[:, 0]
        columns[f"value_{weeks}w_hi_{code}"] = quantiles[:, -1]
    return columns


def _churn_risk(churn: ChurnScore | None, survival: BgBb, now: State, active: Floats) -> Floats:
    """Return the chance of a long silence, by the fitted score or, without one, by the survival model."""
    if churn is None:
        return np.clip(chance_of_silence(survival, weeks_of(active), SILENCE), 0.0, 1.0)
    score: Floats = score_churn(churn, now).numpy()
    return score


def _segmentation(
    grouping: Grouping, profiles: pd.DataFrame, history: PreparedHistory, categories: Categories, now: State
) -> dict[str, Any]:
    names, code = grouping.segments.names, history.quality.currency.lower()
    tastes = segment_tastes(categories, now, assign_segment(grouping.segments, now), len(names))
    rows = [_segment_row(name, profiles, code) | {"tastes": t} for name, t in zip(names, tastes, strict=True)]
    trials = [vars(trial) for trial in grouping.trials]
    return {"verdict": grouping.verdict, "rule": RULE, "trials": trials, "k": len(names), "rows": rows}


def _segment_row(name: str, profiles: pd.DataFrame, code: str) -> dict[str, Any]:
    members = profiles[profiles["segment"] == name]
    n, total = len(members), len(profiles)
    lo, hi = wilson_interval(n, total)

    def mean(column: str) -> float:
        return float(members[column].mean()) if n else 0.0

    worth = f"value_26w_{code}"
    error = float(members[worth].std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    return {
        "segment": name,
        "customers": n,
        "share": n / total,
        "share_lo": lo,
        "share_hi": hi,
        "weeks_since_visit": float(members["weeks_since_visit"].median()) if n else 0.0,
        "visit_weeks": mean("visit_weeks_13w"),
        "weeks_between_visits": float(members["weeks_between_visits"].median()) if n else 0.0,
        "spend": mean(f"spend_13w_{code}"),
        "basket": mean(f"spend_per_visit_week_{code}"),
        "promo_share": mean("promo_share"),
        "redeemed": float((members["redemptions"] > 0).mean()) if n else 0.0,
        "value": mean(worth),
        "value_lo": mean(worth) - 1.96 * error,
        "value_hi": mean(worth) + 1.96 * error,
        "value_share": float(members[worth].sum() / max(profiles[worth].sum(), 1e-9)),
        "churn_risk": mean("churn_risk"),
        "price_sensitivity": mean("price_sensitivity"),
    }


def _value_at_the_end(profiles: pd.DataFrame, currency: str) -> dict[str, float]:
    code = currency.lower()
    worth = np.sort(profiles[f"value_26w_{code}"].to_numpy())[::-1]
    tenth = max(round(len(worth) / 10), 1)
    return {
        "mean_26w": float(worth.mean()),
        "mean_52w": float(profiles[f"value_52w_{code}"].mean()),
        "top_tenth_share": float(worth[:tenth].sum() / max(worth.sum(), 1e-9)),
        "p_alive_mean": float(profiles["p_alive"].mean()),
        "p_alive_below_half": int((profiles["p_alive"] < 0.5).sum()),
    }


def _map(profiles: pd.DataFrame, currency: str) -> dict[str, Any]:
    """Return customers and their mean spend per week by recency (rows) and share of weeks with a visit (columns)."""
    row = np.searchsorted(RECENCY_EDGES, profiles["weeks_since_visit"].to_numpy(), side="right") - 1
    column = np.searchsorted(FREQUENCY_EDGES, profiles["visit_weeks_13w"].to_numpy(), side="right") - 1
    count = np.zeros((len(RECENCY_EDGES), len(FREQUENCY_EDGES)))
    total = np.zeros_like(count)
    np.add.at(count, (row, column), 1)
    np.add.at(total, (row, column), profiles[f"spend_13w_{currency.lower()}"].to_numpy())
    return {
        "recency": RECENCY_EDGES,
        "frequency": FREQUENCY_EDGES,
        "customers": count.astype(int).tolist(),
        "spend": (total / np.maximum(count, 1)).tolist(),
    }


def _migration(history: PreparedHistory, states: list[State], grouping: Grouping) -> dict[str, Any]:
    positions = quarter_positions(history.panel.n_weeks)
    at = [assign_segment(grouping.segments, states[position]) for position in positions]
    weeks = [int(history.panel.events.weeks[position - 1]) for position in positions]
    moved = describe_migration(at, weeks, len(grouping.segments.names))
    return {"segments": grouping.segments.names, **moved}
