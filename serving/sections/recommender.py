"""The report's section on what is promoted to whom: the comparison of the recommender's models, and what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from serving.figures import FAINT, SERIES, Chart, draw
from serving.section import Heading, Note, Section, Table
from serving.words import decimal, percent

NAMES: Final = {
    "popularity": "what sells most",
    "buy_again": "bought again (own weeks counted)",
    "buy_again_recent": "bought again (recent weeks count more)",
    "factors": "similar customers (ALS)",
    "content": "similar products (text)",
    "towers": "two towers",
    "blend": "blend (rhythm and similar customers)",
    "category_popularity": "what its category sells",
    "taste": "own share of spend",
    "distinctive": "own share against the shop's",
    "refitted": "fitted anew",
    "folded_in": "refreshed without a refit",
}
TASKS: Final = {
    "all": "Everything bought later",
    "repeat": "Bought before, bought again",
    "new": "New to the customer",
    "new_customers_1": "New customers, one week of shopping known",
    "new_customers_3": "New customers, three weeks of shopping known",
    "new_products": "New products, never sold before",
}
MEASURES: Final = {"recall": "recall@10", "ndcg": "NDCG@10", "precision": "precision@10"}
_DRAWN: Final = ("repeat", "new", "new_products")
_MOST_PROMOTED: Final = 8


def section(data: Mapping[str, Any], currency: str) -> Section:
    """Show recommender.json, as `experiments.recommendation.write_recommender` writes it."""
    products, categories = data["products"], data["categories"]
    blocks: list[Note | Heading | Table | Chart] = [Note(data["objective"]), _promoted(categories), *_chosen(data)]
    if products["verdict"]:
        blocks += [Heading("Products"), Note(products["verdict"])]
    else:
        blocks += [Heading("Products"), Note(_scope(data)), _recall_chart(products["tasks"])]
        blocks += [_table(TASKS[task], products["tasks"][task]) for task in TASKS]
        blocks += [Heading("Refresh"), Note(_refresh(products["refresh"]))]
    return Section("recommender", "What is promoted to whom", _verdict(data), blocks)


def _verdict(data: Mapping[str, Any]) -> str:
    products = data["products"]
    kind = NAMES[data["kind"]]
    if products["verdict"]:
        return f"Categories are chosen by: {kind}; {products['verdict']}."
    found = []
    for task, model, baseline in (
        ("repeat", "blend", "counting what they bought before"),
        ("new", "blend", "what sells most"),
        ("new_products", "towers", "what its category sells"),
    ):
        over = products["tasks"][task]["models"][model]["over_baseline"]
        found.append(f"{TASKS[task].lower()}, against {baseline}: {_outcome(over)}")
    return f"The recommender on later weeks of customers it never saw. {'. '.join(found)}."


def _outcome(over: Mapping[str, Any]) -> str:
    """Say by which measures a model is better or worse, by an interval that excludes 0."""
    known = {MEASURES[name]: gain for name, gain in over.items() if gain is not None}
    better = [name for name, gain in known.items() if gain["lo"] > 0]
    worse = [name for name, gain in known.items() if gain["hi"] < 0]
    level = [name for name in known if name not in (*better, *worse)]
    sides = (("better", better), ("worse", worse), ("not told apart", level))
    return ", ".join(f"{side} in {' and '.join(names)}" for side, names in sides if names) or "too few customers"


def _promoted(categories: Mapping[str, Any]) -> Table:
    order = sorted(categories["promoted"].items(), key=lambda item: (-item[1], item[0]))[:_MOST_PROMOTED]
    rows = [(name, percent(share)) for name, share in order]
    return Table("Categories promoted most, share of the held-out customers", ("category", "customers"), rows)


def _chosen(data: Mapping[str, Any]) -> Sequence[Note | Table]:
    categories, kind = data["categories"], data["kind"]
    weeks, anyway = categories["horizon_weeks"], categories["bought_anyway"]
    losses = [
        (NAMES[name], _interval(loss, 3), _signed(categories["gain_over_taste"].get(name), 3))
        for name, loss in categories["log_loss"].items()
    ]
    return [
        Note(
            f"The chance of buying in each category within {weeks} weeks comes from {NAMES[kind]}, best on the "
            f"validation customers. Of the promoted categories {_share(anyway['promoter'])} are bought in "
            f"{weeks} weeks on record ({_share(anyway['distinctive'])} where the most distinctive one is promoted). "
            f"The model expects {percent(categories['expected_anyway'])}: whoever picks what looks uncertain also "
            "picks where the model is too low."
        ),
        Table(
            f"Chance of buying in a category within {weeks} weeks: mean log-loss, lower is better; 95 % intervals over "
            "held-out customers",
            ("model", "log-loss", "better than own share by"),
            losses,
        ),
        _table(f"Ranking of a customer's categories, the first five, next {weeks} weeks", categories["tasks"]["all"]),
    ]


def _scope(data: Mapping[str, Any]) -> str:
    products, (first, last) = data["products"], data["weeks"]
    within = products["purchases_within"]
    share = "" if within is None else f", {percent(within)} of the purchases in those weeks"
    text = (
        f"Judged on customers of the test split in weeks {first} to {last}, by what they bought of "
        f"{products['products']:,} products{share}; a list has ten. Products with fewer than five buyers in the "
        f"training split are left out. New products: {products['held_out']:,} that the two towers never learned from."
    )
    if not products["described"]:
        text += " The history describes no product: similar products and the towers have no text to go by."
    return text


def _refresh(task: Mapping[str, Any]) -> str:
    gain = task["models"]["folded_in"]["over_baseline"]["ndcg"]
    if gain is None:
        return "A refresh without a refit cannot be judged here: too few customers bought anything new to them."
    return (
        "New weeks enter without a refit: counts are added up, similar customers are found from a customer's purchases "
        f"alone. On products new to the customer that changes NDCG@10 by {_signed(gain, 4)} against factors fitted "
        "anew on every week before the test weeks."
    )


def _table(caption: str, task: Mapping[str, Any]) -> Table:
    """Return measures by model, the baseline's row marked."""
    rows = []
    for name in sorted(task["models"], key=list(NAMES).index):
        model = task["models"][name]
        over = model["over_baseline"]
        rows.append(
            (
                f"{NAMES[name]} (baseline)" if over is None else NAMES[name],
                *(_interval(model[measure], 3) for measure in ("recall", "ndcg", "precision")),
                percent(model["coverage"]),
                "" if over is None else _signed(over["ndcg"], 3),
            )
        )
    headings = ("model", "recall", "NDCG", "precision", "coverage", "NDCG over the baseline")
    return Table(f"{caption}: mean over customers with 95 % intervals", headings, rows)


def _recall_chart(tasks: Mapping[str, Any]) -> Chart:
    """Draw recall@10 by model for the tasks that tell the models apart."""

    def paint(axes: list[Axes]) -> None:
        for ax, task in zip(axes, _DRAWN, strict=True):
            models = tasks[task]["models"]
            order = [name for name in reversed(NAMES) if name in models and models[name]["recall"] is not None]
            for i, name in enumerate(order):
                mean, base = models[name]["recall"], models[name]["over_baseline"] is None
                reach = [[mean["value"] - mean["lo"]], [mean["hi"] - mean["value"]]]
                color, marker = (SERIES[1], "D") if base else (SERIES[0], "o")
                ax.errorbar(mean["value"], i, xerr=reach, fmt=marker, ms=6, color=color, ecolor=color)
            ax.set_yticks(
                np.arange(len(order)), [NAMES[name].split(" (")[0] + _mark(name) for name in order], fontsize=9
            )
            ax.set(title=_TITLES[task], xlabel="recall@10", ylim=(-0.6, max(len(order), 1) - 0.4))
            ax.set_xlim(left=0)
            ax.grid(axis="x", color=FAINT)

    see = (
        "Recall@10 is the share of what a customer then bought that the list of ten had named; bars are 95 % intervals "
        "over customers, the diamond is the baseline to beat."
    )
    parts = [
        f"{TASKS[task]}: "
        + ", ".join(f"{NAMES[n]} {_interval(m['recall'], 3)}" for n, m in tasks[task]["models"].items())
        for task in _DRAWN
    ]
    return Chart(draw("recommender", (11.0, 3.4), 3, paint), "Recall@10 by model. " + ". ".join(parts), see)


_TITLES: Final = {"repeat": "Bought again", "new": "New to the customer", "new_products": "New products"}


def _mark(name: str) -> str:
    return {"buy_again": ", all weeks", "buy_again_recent": ", recent"}.get(name, "")


def _interval(mean: Mapping[str, float] | None, digits: int) -> str:
    if mean is None:
        return "too few customers"
    return f"{decimal(mean['value'], digits)} ({decimal(mean['lo'], digits)} to {decimal(mean['hi'], digits)})"


def _signed(mean: Mapping[str, float] | None, digits: int) -> str:
    if mean is None:
        return ""
    sign = "+" if mean["value"] >= 0 else ""
    return f"{sign}{_interval(mean, digits)}"


def _share(mean: Mapping[str, float] | None) -> str:
    return "an unknown share" if mean is None else percent(mean["value"])
