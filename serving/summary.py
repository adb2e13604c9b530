"""The first screen of the report in sentences: what is recommended, what it brings, how sure that is."""

from dataclasses import dataclass

from serving.charts import named
from serving.report_data import Interval, ReportData
from serving.words import decimal, money, percent, signed_money


@dataclass(frozen=True)
class Tile:
    """One figure of the first screen: its name, its value, and a line on what it means."""

    name: str
    value: str
    line: str


def recommendation(data: ReportData) -> str:
    """Return what to do, in one sentence: a policy that is not shown to pay is not recommended."""
    head = data.headline
    if head.with_offer == 0:
        return f"Make no offer to any of the {head.customers:,} customers this week"
    who = f"{head.with_offer:,} of {head.customers:,} customers"
    if head.uplift.above_zero:
        return f"Make an offer to {who} this week"
    if head.uplift.below_zero:
        return f"Make no offers this week: those to {who} are expected to lose money"
    return f"Test an offer to {who} before you rely on it: it may bring nothing"


def mostly(data: ReportData, most: int = 3) -> str:
    """Return the most frequent offers and how many customers get each."""
    given = data.policy.loc[data.policy["offer"] != data.nothing, "offer_label"].value_counts().sort_index()
    top = given.sort_values(ascending=False, kind="stable").head(most)
    return "; ".join(f"{label} ({count:,})" for label, count in top.items())


def tiles(data: ReportData) -> list[Tile]:
    """Return the four figures of the first screen."""
    head, budget, currency = data.headline, data.budget, data.currency
    cost = f"{money(budget.cost, currency, 3)} of {money(budget.per_customer_week_usd, currency, 3)}"
    return [
        Tile(
            "Expected gain per week",
            signed_money(head.uplift.value, currency, 0),
            f"{_interval_words(head.uplift, currency)}margin after all costs, against making no offer",
        ),
        Tile(
            "Expected cost per week",
            money(head.cost.value, currency, 0),
            f"{_interval_words(head.cost, currency)}offers redeemed and messages sent",
        ),
        Tile(
            f"Gain per {currency} spent",
            "–" if head.roi is None else decimal(head.roi, 2),
            "nothing is spent" if head.roi is None else "return on investment, costs already deducted",
        ),
        Tile("Budget", "kept" if budget.met else "not kept", f"{cost} per customer and week"),
    ]


def honesty(data: ReportData) -> str:
    """Return how sure the gain is and what it rests on."""
    uplift = data.headline.uplift
    if uplift.above_zero:
        sure = "The interval lies above zero: a gain is likely, its size is uncertain."
    elif uplift.below_zero:
        sure = "The interval lies below zero: expect a loss, do not use this policy."
    else:
        sure = "The interval includes zero: the offers may bring nothing."
    assumed = sum(row.origin == "assumed" for row in data.provenance)
    return (
        f"{_fidelity(data)}{sure} {data.source} The gain is computed in a simulated market, in which {assumed} of "
        f"{len(data.provenance)} numbers are assumed, not learned from this shop: the table below says from where."
    )


def _fidelity(data: ReportData) -> str:
    """Return the warning that a market which did not pass its fidelity check owes; nothing where it passed."""
    gate = data.manifest.get("fidelity")
    if gate is None or gate["override"] is None:
        return ""
    unknown = "nothing shows that the simulated market behaves like the customers"
    failed = f"the simulated market failed {len(gate['failed'])} checks of whether it behaves like the customers"
    return (
        f"Warning: {failed if gate['failed'] else unknown}; published all the same because: "
        f"{gate['override'].rstrip('.')}. "
    )


def comparison(data: ReportData) -> str:
    """Return how the chosen agent stands beside the best other one."""
    others = [score for score in data.agents if score.agent != data.chosen]
    if not others:
        return f"{named(data.chosen)} is the only agent that was judged."
    best = max(others, key=lambda score: score.uplift.value)
    mine, names = data.score.uplift, f"{named(data.chosen)} (chosen) and {named(best.agent)}, the best other one,"
    if mine.lo > best.uplift.hi:
        return f"The intervals of {names} lie apart: the chosen one is better."
    if mine.hi < best.uplift.lo:
        return f"The intervals of {names} lie apart: the chosen one is worse."
    return f"The intervals of {names} overlap: which of the two is better is not settled."


def distilled(data: ReportData) -> str:
    """Return how well the rules stand for the policy."""
    segments, n = data.segments, len(data.segments.rules)
    kept = less = ""
    they, keep = ("it", "keeps") if n == 1 else ("they", "keep")
    held = segments.held_out
    where = "" if held is None else " on the held-out market"
    share = segments.uplift_kept if held is None else held.uplift_kept
    if share is not None:
        kept = f" and {keep} {percent(share)} of its expected gain{where}"
        if held is not None and held.lo is not None and held.hi is not None:
            kept += f" (95 % interval {percent(held.lo)} to {percent(held.hi)})"
        less = "" if segments.enough else " That is less than was asked of them: prefer the table by customer."
    elif data.headline.with_offer:
        less = f" What share {they} {keep} of its expected gain{where} cannot be told: it is not clearly above zero."
    stands = "One rule stands for the policy: it gives" if n == 1 else f"{n} rules stand for the policy: they give"
    return (
        f"{stands} {percent(segments.agreement)} of the customers the same{kept}, and {'costs' if n == 1 else 'cost'} "
        f"{money(segments.cost, data.currency, 3)} per customer, the policy "
        f"{money(segments.policy_cost, data.currency, 3)}.{less}"
    )


def _interval_words(value: Interval, currency: str) -> str:
    """Return the interval in words; nothing where none was computed."""
    return f"95 % interval {interval(value, 0)} {currency}; " if value.lo < value.hi else ""


def interval(value: Interval, digits: int) -> str:
    return f"{decimal(value.lo, digits)} to {decimal(value.hi, digits)}"
