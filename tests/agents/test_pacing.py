"""The price of money follows what is really spent, and the budget is met although costs were believed wrongly."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.pacing import SPENT_UP, PacedPolicy, Pacer
from campaigns.allocation import knapsack_dual
from campaigns.decision import Context
from campaigns.errors import InputError

WEEKS, CUSTOMERS, SHARE = 26, 2000, 0.3


def week(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what offers bring to the customers of a week, and what they are believed to cost [USD]."""
    generator = torch.Generator().manual_seed(number)
    cost = torch.rand(CUSTOMERS, 5, generator=generator) * 2
    value = cost * torch.exp(0.7 * torch.randn(CUSTOMERS, 5, generator=generator))
    value[:, 0] = cost[:, 0] = 0.0
    return value, cost


class Knapsack:
    """Chooses by the first features as values and the others as believed costs."""

    def action_dist(self, context: Context[torch.Tensor]) -> torch.Tensor:
        value, cost = context.features.chunk(2, dim=1)
        best = (value - context.price.unsqueeze(1) * cost).argmax(dim=1)
        return torch.nn.functional.one_hot(best, 5).float()


def spend(pacer: Pacer, truth: float, paced: bool) -> float:
    """Return what the campaign really costs where each offer costs `truth` times what is believed [USD]."""
    policy, first, total = PacedPolicy(Knapsack(), pacer), pacer.price, 0.0
    for number in range(WEEKS):
        value, cost = week(1000 + number)
        context = Context(
            torch.cat([value, cost], dim=1), torch.ones(CUSTOMERS, 5).bool(), torch.full((CUSTOMERS,), first)
        )
        dist = policy.action_dist(context) if paced else Knapsack().action_dist(context)
        generator = torch.Generator().manual_seed(number)
        luck = torch.rand(CUSTOMERS, generator=generator) * 2
        realised = float(((dist * cost).sum(dim=1) * truth * luck).sum())
        total += realised
        pacer.observe(realised)
    return total


def planned() -> Pacer:
    value, cost = week(0)
    budget = SHARE * CUSTOMERS
    return Pacer([budget] * WEEKS, float(knapsack_dual(value, cost, budget).price))


@pytest.mark.parametrize("truth", [0.8, 1.0, 1.2])
def test_the_budget_is_met_although_costs_are_believed_a_fifth_off(truth: float) -> None:
    budget = planned().budget
    assert abs(spend(planned(), truth, paced=True) / budget - 1.0) < 0.01
    if truth != 1.0:
        assert abs(spend(planned(), truth, paced=False) / budget - 1.0) > 0.15


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.floats(0, 20))
def test_any_costs_leave_a_price_that_is_a_number_and_none_to_spend_once_all_is_gone(
    costs: list[float], price: float
) -> None:
    pacer = Pacer([10.0] * len(costs), price)
    for i, cost in enumerate(costs):
        pacer.observe(cost)
        assert 0 <= pacer.price <= SPENT_UP * 5 and not math.isnan(pacer.price)
        if sum(costs[: i + 1]) > pacer.budget:
            assert pacer.left <= 0 and pacer.price == SPENT_UP


def test_spending_as_planned_keeps_the_price_and_more_raises_it() -> None:
    calm, eager, slow = (Pacer([10.0, 30.0, 20.0], 2.0) for _ in range(3))
    calm.observe(10.0)
    eager.observe(12.0)
    slow.observe(8.0)
    assert calm.price == pytest.approx(2.0) and slow.price < 2.0 < eager.price


def test_a_free_start_rises_from_the_first_price() -> None:
    pacer = Pacer([10.0, 10.0], 0.0)
    pacer.observe(15.0)
    assert pacer.price > 0.05


@pytest.mark.parametrize(
    ("plan", "price", "elasticity", "memory"),
    [
        ([], 1.0, 1.0, 0.5),
        ([0.0], 1.0, 1.0, 0.5),
        ([-1.0, 2.0], 1.0, 1.0, 0.5),
        ([1.0], -1.0, 1.0, 0.5),
        ([1.0], 1.0, 0.0, 0.5),
        ([1.0], 1.0, 1.0, 0.0),
    ],
)
def test_an_impossible_plan_is_refused(plan: list[float], price: float, elasticity: float, memory: float) -> None:
    with pytest.raises(InputError, match=r"^pacing: .*expected"):
        Pacer(plan, price, elasticity, memory)


def test_more_weeks_than_planned_are_refused() -> None:
    pacer = Pacer([1.0], 1.0)
    pacer.observe(0.5)
    with pytest.raises(InputError, match="week 2 was observed; the plan has 1"):
        pacer.observe(0.5)
