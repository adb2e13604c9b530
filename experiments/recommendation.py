"""What to promote to whom: fit the recommender, judge it on customers and weeks it never saw, keep both."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from evaluation.estimate import Estimate
from evaluation.ranking import clustered_mean
from evaluation.recommending import (
    SHOPPING_WEEKS,
    judge_categories,
    judge_new_customers,
    judge_new_products,
    judge_products,
    judge_refresh,
)
from experiments.history import PreparedHistory
from history.artifacts import read_json, read_tensors, write_json, write_tensors
from simulators.promotion import Categories, choose_category
from simulators.recommender.habits import gather_habits
from simulators.recommender.items import promoted_items
from simulators.recommender.learning import Timeline, fit_recommender, refusal, unroll
from simulators.recommender.models import Recommender
from simulators.recommender.promoter import Promoter, restore_promoter
from simulators.recommender.promoting import (
    HORIZON,
    Outlook,
    best_kind,
    fit_promoters,
    likeness_of,
    log_loss,
    look_ahead,
)
from simulators.recommender.rhythm import product_facts
from simulators.recommender.storage import read_products, write_products

FOLDER: Final = "recommender"
OBJECTIVE: Final = (
    "A category counts by the margin that a small push would add: the chance that the customer would not buy there in "
    f"the next {HORIZON} weeks anyway, times the margin of what they usually spend there. What is bought anyway counts "
    "little: promoting it only gives margin away."
)


def write_recommender(folder: Path, history: PreparedHistory, categories: Categories, seed: int) -> Promoter:
    """Fit and judge the recommender, and write it into `folder`.

    Writes promoter.safetensors, recommender.json (the comparison) and, where the history has products to recommend,
    products.safetensors and products.json.

    Args:
        folder: Where to; is made.
        history: Fitted on the train split, chosen on the validation split, judged on the test split.
        categories: What is sold, without a promoter.
        seed: Same seed, same files.

    Returns:
        What chooses the category to promote.
    """
    timeline = unroll(history.panel, history.purchases, history.splits, seed)
    reason = refusal(timeline)
    recommender = None if reason else fit_recommender(timeline, history.splits, seed)
    likeness = None
    if recommender is not None:
        buyers = product_facts(timeline.habits[history.splits.train.weeks.stop]).buyers
        likeness = likeness_of(timeline.assortment, recommender.factors, buyers, len(categories.names))
        write_products(folder, recommender)
    outlooks = {split.name: look_ahead(history.panel, split) for split in history.splits}
    promoters = fit_promoters(outlooks["train"], categories.margin, categories.popularity, likeness, seed)
    kind = best_kind(promoters, outlooks["validation"])
    write_tensors(folder / "promoter.safetensors", promoters[kind].tensors())
    report = {
        "kind": kind,
        "objective": OBJECTIVE,
        "weeks": [
            int(history.panel.events.weeks[i]) for i in (history.splits.test.weeks[0], history.splits.test.weeks[-1])
        ],
        "products": {"verdict": reason} if recommender is None else _judge(timeline, recommender, history, seed),
        "categories": _judge_promoters(promoters, kind, outlooks["test"], categories),
    }
    write_json(folder / "recommender.json", report)
    return promoters[kind]


def read_promoter(folder: Path) -> Promoter:
    """Read back what `write_recommender` returned."""
    kind = read_json(folder / "recommender.json")["kind"]
    return restore_promoter(kind, read_tensors(folder / "promoter.safetensors"))


def name_items(
    folder: Path, history: PreparedHistory, categories: Categories, promoted: "pd.Series[str]", customer: Tensor
) -> "pd.Series[str]":
    """Name the products to put forward in the promoted categories.

    Args:
        folder: Where `write_recommender` wrote.
        history: Whose customers.
        categories: What is sold.
        promoted: Name of the promoted category, one per row.
        customer: Position of each row's customer in the history, shape (rows,), int64; a customer may have several.

    Returns:
        Names as one text, "" where the recommender knows none, one per row.
    """
    recommender = read_products(folder)
    if recommender is None:
        return pd.Series([""] * len(promoted), dtype="str")
    panel = history.panel
    habits = gather_habits(history.purchases, recommender.assortment, panel.events.n, panel.n_weeks)
    place = {name: index for index, name in enumerate(categories.names)}
    state, owner = panel.state_before(panel.n_weeks), customer.numpy()
    names = np.full(len(promoted), "", dtype=object)
    for _, rows in pd.Series(np.arange(len(owner))).groupby(pd.Series(owner).groupby(owner).cumcount().to_numpy()):
        position = np.zeros(panel.events.n, dtype=np.int64)
        position[owner[rows]] = promoted.iloc[rows].map(place).to_numpy()
        items = promoted_items(recommender, history.purchases.products, habits, state, position)
        names[rows] = items.to_numpy()[owner[rows]]
    return pd.Series(names, dtype="str")


def _judge(timeline: Timeline, recommender: Recommender, history: PreparedHistory, seed: int) -> dict[str, Any]:
    splits, purchases = history.splits, history.purchases
    later = purchases.between(splits.test.weeks.start, splits.test.weeks.stop)
    within = timeline.assortment.code[later.product] >= 0
    tasks = judge_products(timeline, recommender, splits.test)
    for weeks in SHOPPING_WEEKS:
        tasks[f"new_customers_{weeks}"] = judge_new_customers(timeline, recommender, splits.test, weeks)
    tasks["new_products"] = judge_new_products(timeline, recommender, splits.test)
    return {
        "verdict": "",
        "described": purchases.described,
        "products": timeline.assortment.n,
        "held_out": int(timeline.assortment.held_out.sum()),
        "purchases_within": float(within.mean()) if len(within) else None,
        "discovery": recommender.discovery,
        "factors": recommender.factors.config.factors,
        "tasks": tasks,
        "validation": judge_products(timeline, recommender, splits.validation),
        "refresh": judge_refresh(timeline, recommender, splits, seed),
    }


def _judge_promoters(
    promoters: dict[str, Promoter], kind: str, seen: Outlook, categories: Categories
) -> dict[str, Any]:
    losses = {name: log_loss(promoter, seen) for name, promoter in promoters.items()}
    rules = {"promoter": replace(categories, promoter=promoters[kind]), "distinctive": categories}
    chosen = {name: choose_category(rule, seen.state) for name, rule in rules.items()}
    share = torch.bincount(chosen["promoter"], minlength=len(categories.names)) / max(seen.state.n, 1)
    return {
        "tasks": judge_categories(promoters, seen, categories.promotable),
        "horizon_weeks": HORIZON,
        "log_loss": {name: _plain(clustered_mean(loss, seen.customer)) for name, loss in losses.items()},
        "gain_over_taste": {
            name: _plain(clustered_mean(losses["taste"] - losses[name], seen.customer))
            for name in promoters
            if name != "taste"
        },
        "bought_anyway": {
            name: _plain(clustered_mean(_of(seen.bought, index).double().numpy(), seen.customer))
            for name, index in chosen.items()
        },
        "expected_anyway": float(_of(promoters[kind].chance(seen.state), chosen["promoter"]).mean()),
        "promoted": {
            categories.names[i]: float(share[i])
            for i in torch.argsort(share, descending=True, stable=True).tolist()
            if share[i] > 0
        },
        "differing": float((chosen["promoter"] != chosen["distinctive"]).float().mean()),
    }


def _of(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return each row's entry at its index, shape (n,)."""
    return values.gather(1, index.unsqueeze(1)).squeeze(1)


def _plain(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.to_dict()
