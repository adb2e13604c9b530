"""What shelf discounts and feature or display do, from how prices and displays moved in a household's own store.

They were not aimed at single households. Household and week effects are swept out; what is left is the week to week
movement of the household's usual products in its usual store against those of others. Promotions of next week are the
placebo: they cannot move this week's purchase.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from history.exposures import Exposures
from history.panel import Panel
from simulators.effects.crossfit import Floats, Ints
from simulators.effects.inference import Effect
from simulators.effects.within import ratio_of_slopes, within_effects, within_fit

PLACEBO_MARGIN: Final = 0.05
"""Equivalence margin of next week's promotions, as a share of the mean outcome."""
ALPHA: Final = 0.05
MEMORY_WEEKS: Final = 8
"""Weeks whose mean price cut stands for the reference price."""
NO_SHELF: Final = "shelf effects: assumed, the history has no promotions or prices of usual products that vary"


@dataclass(frozen=True, eq=False)
class ShelfEffects:
    """What the shelf tells.

    Attributes:
        verdict: One sentence.
        spend: Log of a week's spend at full prices, given a visit, per share cut in price; None where not estimable.
        dip: Share of what feature or display brought in a category that is missing the week after; None likewise.
        reference: Log of that spend lost per share cut in price over the last 8 weeks; None likewise.
        steepest: Deepest mean price cut seen, 95 % quantile; 0 without any.
        data: All of it as plain data.
    """

    verdict: str
    spend: Effect | None
    dip: Effect | None
    reference: Effect | None
    steepest: float
    data: dict[str, Any]


def estimate_shelf(panel: Panel, exposures: Exposures | None, customers: Ints, weeks: range) -> ShelfEffects:
    """Estimate shelf effects on some customers and weeks (positions), at category and at basket level."""
    if exposures is None or not len(exposures.shelf):
        return ShelfEffects(NO_SHELF, None, None, None, 0.0, {"verdict": NO_SHELF})
    table = exposures.shelf
    chosen = table["customer"].isin(customers) & (table["slot"] >= weeks.start) & (table["slot"] < weeks.stop)
    table = table[chosen]
    category, dip = _category(panel, table)
    basket, steepest = _basket(panel, exposures, table, weeks)
    if not category and not basket:
        return ShelfEffects(NO_SHELF, None, None, None, 0.0, {"verdict": NO_SHELF})
    passed = bool(category.get("lead", {}).get("passes", False))
    verdict = (
        "shelf effects: visible in the category, next week's promotions are as good as zero"
        if passed
        else "shelf effects: not identified: next week's promotions fail the equivalence test; the priors stand"
    )
    plain = {name: {key: effect.to_dict() for key, effect in part.items()} for name, part in basket.items()}
    usable = basket if passed else {}
    return ShelfEffects(
        verdict=verdict,
        spend=usable.get("log_spend", {}).get("depth"),
        dip=dip if passed else None,
        reference=usable.get("log_spend_memory", {}).get("past_depth"),
        steepest=steepest,
        data={"verdict": verdict, "category": category, "basket": plain, "steepest": steepest},
    )


def _category(panel: Panel, table: pd.DataFrame) -> tuple[dict[str, Any], Effect | None]:
    """Estimate purchase and spend of a category on its exposure now, last week and next week; and the dip after."""
    who, slot, place = (table[name].to_numpy(dtype=np.int64) for name in ("customer", "slot", "position"))
    if not len(who):
        return {}, None
    spend = panel.events.category_spend[who, slot, place].astype(np.float64)
    unit, time = who * 1000 + place, slot * 1000 + place
    groups = table.groupby(["customer", "position"], sort=False)["shown"]
    shown = np.column_stack([table["shown"], groups.shift(1), groups.shift(-1)])
    full = ~np.isnan(shown).any(axis=1)
    depth = table["depth"].to_numpy(dtype=np.float64)
    priced = ~np.isnan(depth)
    result: dict[str, Any] = {"rows": int(full.sum()), "rows_with_prices": int(priced.sum())}
    for name, outcome in (("bought", (spend > 0).astype(np.float64)), ("spend", spend)):
        effects = within_effects(outcome[full], shown[full], unit[full], time[full], who[full])
        if effects is not None:
            names = ("shown", "shown_last_week", "shown_next_week")
            result[name] = {key: effect.to_dict() for key, effect in zip(names, effects, strict=True)}
            if name == "bought":
                result["lead"] = _lead(effects[2], PLACEBO_MARGIN * float(outcome[full].mean()))
            result[name]["mean"] = float(outcome[full].mean())
        both = np.column_stack([shown[:, 0], depth])[priced]
        priced_effects = within_effects(outcome[priced], both, unit[priced], time[priced], who[priced])
        if priced_effects is not None:
            keys = ("shown", "depth")
            result[f"{name}_with_prices"] = {
                key: effect.to_dict() for key, effect in zip(keys, priced_effects, strict=True)
            }
    dip = _dip(spend[full], shown[full], unit[full], time[full], who[full]) if "lead" in result else None
    if dip is not None:
        result["dip"] = dip.to_dict()
    return (result if "lead" in result else {}), dip


def _lead(effect: Effect, margin: float) -> dict[str, Any]:
    p = effect.equivalence_p(margin)
    return {**effect.to_dict(), "margin": margin, "p": p, "passes": p < ALPHA}


def _dip(spend: Floats, shown: Floats, unit: Ints, time: Ints, who: Ints) -> Effect | None:
    """Return the share of the extra spend that is missing a week later, where there is extra spend to speak of."""
    fitted = within_fit(spend, shown, unit, time)
    effects = within_effects(spend, shown, unit, time, who)
    if fitted is None or effects is None or effects[0].lo <= 0:
        return None
    slopes, influence = fitted
    ratio = ratio_of_slopes(slopes, influence, 1, 0, who)
    return Effect(-ratio.value, ratio.error, -ratio.hi, -ratio.lo, ratio.freedom, ratio.n)


def _basket(
    panel: Panel, exposures: Exposures, table: pd.DataFrame, weeks: range
) -> tuple[dict[str, dict[str, Effect]], float]:
    """Estimate visits and log spend at full prices on the exposure of all usual products, and on past price cuts."""
    rows = _weekly(table)
    if not len(rows):
        return {}, 0.0
    who, slot = rows["customer"].to_numpy(dtype=np.int64), rows["slot"].to_numpy(dtype=np.int64)
    visited = panel.events.baskets[who, slot] > 0
    cut = exposures.departments.groupby(["customer", "slot"])["cut"].sum()
    saved = cut.reindex(pd.MultiIndex.from_arrays([who, slot])).fillna(0.0).to_numpy()
    gross = panel.events.spend[who, slot].astype(np.float64) + saved
    now = rows[["shown", "depth"]].to_numpy()
    past = rows.groupby("customer", sort=False)["depth"].transform(
        lambda depth: depth.shift(1).rolling(MEMORY_WEEKS, min_periods=MEMORY_WEEKS // 2).mean()
    )
    result: dict[str, dict[str, Effect]] = {}
    priced = ~np.isnan(now).any(axis=1)
    seen = priced & visited & (gross > 0.0)
    remembered = seen & past.notna().to_numpy()
    log_gross = np.log(np.maximum(gross, 0.01))
    jobs = (
        ("visits", priced, visited.astype(np.float64), now, ("shown", "depth")),
        ("log_spend", seen, log_gross, now, ("shown", "depth")),
        ("log_spend_memory", remembered, log_gross, np.column_stack([now, past]), ("shown", "depth", "past_depth")),
    )
    for name, keep, outcome, x, names in jobs:
        effects = within_effects(outcome[keep], x[keep], who[keep], slot[keep], who[keep])
        if effects is not None:
            result[name] = dict(zip(names, effects, strict=True))
    if "log_spend_memory" in result:  # a reference price that falls lowers spend: its loss is the slope turned round
        slope = result["log_spend_memory"]["past_depth"]
        result["log_spend_memory"]["past_depth"] = Effect(
            -slope.value, slope.error, -slope.hi, -slope.lo, slope.freedom, slope.n
        )
    depths = now[priced, 1]
    return result, float(np.quantile(depths, 0.95)) if len(depths) else 0.0


def _weekly(table: pd.DataFrame) -> pd.DataFrame:
    """Average exposure over a customer's categories, weighed by usual lines; cuts over those with a price."""
    lines = table["lines"].to_numpy(dtype=np.float64)
    priced = table["depth"].notna().to_numpy()
    sums = pd.DataFrame(
        {
            "customer": table["customer"],
            "slot": table["slot"],
            "lines": lines,
            "shown": lines * table["shown"],
            "priced": lines * priced,
            "cut": lines * table["depth"].fillna(0.0),
        }
    )
    rows = sums.groupby(["customer", "slot"], as_index=False).sum()
    rows["shown"] /= rows["lines"]
    rows["depth"] = (rows["cut"] / rows["priced"].where(rows["priced"] > 0)).astype(np.float64)
    return rows
