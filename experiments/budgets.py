"""The published budget and ten others: λ of each, what it is expected to bring and cost, and whom it gives what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from agents.agent import TrainedPolicy
from evaluation.budget import DEAREST, BudgetMode, Priced, PriceSearch, best_hard_price, whole_budget
from evaluation.estimate import estimate_mean
from evaluation.rollout import Play, play
from experiments.drawing import Limit, Trial, draw_offers
from experiments.headline import held_out_point
from serving.by_budget import PUBLISHED, STEPS, count_offers
from simulators.market import look, open_market

HARD_WORLDS = 2
"""Copies of the customers in which the λ of a hard limit is chosen for budgets other than the published one."""


@dataclass(frozen=True, eq=False)
class Slider:
    """What the budgets are played with.

    Attributes:
        policy: The chosen one.
        limit: Of the published table.
        search: Prices of that policy in the deployment market.
        where: Deployment market.
        held_out: The market that judges.
        trial: The arms.
        prices: λs among which a hard limit chooses.
    """

    policy: TrainedPolicy
    limit: Limit
    search: PriceSearch
    where: Play
    held_out: Play
    trial: Trial
    prices: Sequence[float]


def price_budgets(
    slider: Slider, evaluation: Mapping[str, Any], agent: str, customer_ids: Sequence[str]
) -> tuple[list[dict[str, Any]], NDArray[np.int64]]:
    """Return the manifest's `budgets`, and every customer's offer at each, shape (STEPS, n).

    Offers are drawn as those of the table are: the same arms, queue and luck. Without any money there is no offer.
    """
    catalog, n = slider.where.market.catalog, slider.where.start.n
    offers = np.zeros((STEPS, n), dtype=np.int64)
    nothing = torch.zeros(n, dtype=torch.int64, device=slider.where.start.weeks_seen.device)
    state = open_market(slider.where.market, slider.where.start, nothing)
    seen = state, look(slider.where.market, state)
    rows = []
    for step in tqdm(range(STEPS), desc="other budgets", unit="budget", disable=None, leave=False):
        limit, met = _limit(slider, step)
        zero = {"value": 0.0, "lo": 0.0, "hi": 0.0}
        figures = {"cost": zero, "uplift": zero}
        if step > 0:
            drawn = draw_offers(slider.policy, limit, slider.where, seen, slider.trial, list(customer_ids))
            offers[step] = drawn.offer
            figures = _figures(slider, limit, evaluation, agent)
        rows.append(
            {
                "step": step,
                "published": step == PUBLISHED,
                "per_customer_week": limit.per_customer_week,
                "campaign": whole_budget(limit.per_customer_week, slider.where),
                "price": limit.price,
                "met": met,
                **figures,
                "offers": count_offers(catalog, offers[step]),
            }
        )
    return rows, offers


def _limit(slider: Slider, step: int) -> tuple[Limit, bool]:
    """Return budget and λ of a step, and whether the policy costs no more than that there."""
    budget = slider.limit.per_customer_week * (step / PUBLISHED)
    if step == 0:
        return replace(slider.limit, per_customer_week=0.0, price=DEAREST), True
    if slider.limit.mode is BudgetMode.HARD:
        price, met = slider.limit.price, True
        if step != PUBLISHED:
            few = replace(slider.where, worlds=HARD_WORLDS)
            price = best_hard_price(slider.policy, slider.prices, budget, few)
        return replace(slider.limit, per_customer_week=budget, price=price), met
    priced: Priced = slider.search.at(slider.limit.price, budget) if step == PUBLISHED else slider.search.near(budget)
    return replace(slider.limit, per_customer_week=budget, price=priced.price), priced.met


def _figures(slider: Slider, limit: Limit, evaluation: Mapping[str, Any], agent: str) -> dict[str, Any]:
    """Return what a budget costs and brings per customer and campaign week on the held-out market, with intervals."""
    if limit.mode is BudgetMode.HARD:
        whole = int(whole_budget(limit.per_customer_week, slider.held_out) * 100)
        result = play(slider.policy, limit.price, replace(slider.held_out, budget_cents=whole))
        weeks = slider.held_out.market.horizon.campaign_weeks
        cost, uplift = estimate_mean(result.cost / weeks), estimate_mean(result.uplift / weeks)
        spent, gained = (cost.value, cost.lo, cost.hi), (uplift.value, uplift.lo, uplift.hi)
    else:
        point = held_out_point(evaluation, agent, limit.price)
        spent = point["cost"], point["cost_lo"], point["cost_hi"]
        gained = point["uplift"], point["lo"], point["hi"]
    return {
        "cost": {"value": spent[0], "lo": min(max(spent[1], 0.0), spent[0]), "hi": spent[2]},
        "uplift": dict(zip(("value", "lo", "hi"), gained, strict=True)),
    }
