"""The features by a second road: one SQL query over the raw weekly rows, weighted sums of the past and nothing else.

A rate is the mean of the weeks before, each weighing half as much as one a half-life younger; a clock counts from the
last week in which it happened. Nothing here calls `history.state` or `history.features`.
"""

import duckdb
import numpy as np
import pyarrow as pa

from history.events import ARRAYS, WeeklyEvents
from history.features import FEATURES

_PAST = "OVER (PARTITION BY customer ORDER BY week ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
_LAST_EIGHT = "OVER (PARTITION BY customer ORDER BY week ROWS BETWEEN 8 PRECEDING AND 1 PRECEDING)"
_HALF_LIVES = (1, 4, 13, 52)


def _total(value: str, half_life: int) -> str:
    """Sum the past, week - 1 counting in full and each week before it by half a half-life less."""
    return (
        f"coalesce(sum(({value}) * pow(2.0, week / {half_life}.0)) {_PAST} / pow(2.0, (week - 1) / {half_life}.0), 0)"
    )


def _mean(value: str, half_life: int) -> str:
    return f"({_total(value, half_life)} / greatest({_total('1.0', half_life)}, 1e-9))"


def _part(value: str, half_life: int) -> str:
    """Weigh the past so that an endless one would have weights that sum to 1."""
    return f"({_total(value, half_life)} * (1.0 - pow(0.5, 1.0 / {half_life})))"


def _clock(happened: str) -> str:
    return f"least(53.0, coalesce(week - 1 - max(CASE WHEN {happened} THEN week END) {_PAST}, 53.0))"


def _columns() -> dict[str, str]:
    visit = "CASE WHEN baskets > 0 THEN 1.0 ELSE 0.0 END"
    whole = f"greatest({_mean('spend', 13)}, 0.01)"
    return {
        "weeks_since_visit": f"ln(1 + {_clock('baskets > 0')})",
        **{f"visit_rate_{h}w": _mean(visit, h) for h in _HALF_LIVES},
        **{f"spend_{h}w": f"ln(1 + {_mean('spend', h)})" for h in _HALF_LIVES},
        "basket_rate": f"ln(1 + {_mean('baskets', 13)})",
        "spend_per_active_week": f"ln(1 + {_part('spend', 13)} / greatest({_part(visit, 13)}, 1e-3))",
        "promo_share": f"{_mean('promo_spend', 13)} / {whole}",
        "saving_share": f"{_mean('saving', 13)} / {whole}",
        "redemption_rate": _mean("redeemed", 13),
        "weeks_since_contact": f"ln(1 + {_clock('contacted > 0')})",
        "contacts_8w": f"coalesce(sum(contacted) {_LAST_EIGHT}, 0)",
        "weeks_since_redemption": f"ln(1 + {_clock('redeemed > 0')})",
        "exposure": _mean("exposure", 13),
        "pantry": f"ln(1 + {_total('saving', 2)})",
        "taste_focus": "focus",
        "weeks_seen": "ln(1 + week)",
    }


def oracle_features(events: WeeklyEvents) -> np.ndarray:
    """Return the features before each week as SQL finds them, shape (n, t, n_features), float64."""
    columns = _columns()
    assert tuple(columns) == FEATURES
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        connection.register("weeks", _long(events))
        connection.register("categories", _long_categories(events))
        connection.execute(f"CREATE TABLE tastes AS {_focus_sql()}")
        listed = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
        rows = connection.execute(
            f"SELECT {listed} FROM weeks LEFT JOIN tastes USING (customer, week) ORDER BY customer, week"
        ).fetchnumpy()
    table = np.stack([np.asarray(rows[name], dtype=np.float64) for name in FEATURES], axis=1)
    return table.reshape(events.n, len(events.weeks), len(FEATURES))


def _focus_sql() -> str:
    total = _total("spend", 26).replace("PARTITION BY customer", "PARTITION BY customer, category")
    return f"""
        SELECT customer, week, coalesce(sum(spent * spent) / nullif(pow(sum(spent), 2), 0), 0) AS focus
        FROM (SELECT customer, week, {total} AS spent FROM categories) GROUP BY ALL
    """


def _long(events: WeeklyEvents) -> pa.Table:
    n, t = events.n, len(events.weeks)
    keys = {"customer": np.repeat(np.arange(n), t), "week": np.tile(np.arange(t), n)}
    return pa.table(keys | {name: getattr(events, name).ravel() for name in ARRAYS})


def _long_categories(events: WeeklyEvents) -> pa.Table:
    n, t, k = events.category_spend.shape
    customer, week, category = np.indices((n, t, k)).reshape(3, -1)
    return pa.table({"customer": customer, "week": week, "category": category, "spend": events.category_spend.ravel()})
