"""The multiple-choice knapsack against brute force and a linear program."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from agents.allocation import knapsack_dual

Instance = tuple[torch.Tensor, torch.Tensor, float]


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    n, k = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    whole = draw(st.booleans())  # whole numbers make ties
    value = rng.integers(-3, 6, (n, k)) if whole else rng.normal(1, 3, (n, k))
    cost = rng.integers(0, 4, (n, k)) if whole else rng.exponential(1, (n, k))
    value, cost = value.astype(float), cost.astype(float)
    value[:, 1:][rng.random((n, k - 1)) < 0.2] = -np.inf
    cost[:, 0] = 0.0
    budget = draw(st.floats(0, 1)) * float(cost.max(axis=1).sum())
    return torch.from_numpy(value), torch.from_numpy(cost), budget


def total(column: torch.Tensor, choice: torch.Tensor) -> float:
    return float(column.gather(1, choice.unsqueeze(1)).sum())


@settings(max_examples=200, deadline=None)
@given(instances())
def test_the_choice_keeps_the_budget_and_is_within_one_customer_of_the_best(instance: Instance) -> None:
    value, cost, budget = instance
    choice = knapsack_dual(value, cost, budget)
    assert choice.dtype == torch.int64 and value.gather(1, choice.unsqueeze(1)).isfinite().all()
    assert total(cost, choice) <= budget + 1e-9
    combinations = [torch.tensor(c) for c in product(range(value.shape[1]), repeat=len(value))]
    best = max(total(value, c) for c in combinations if total(cost, c) <= budget)
    step = float((value.max(dim=1).values - value[:, 0]).max())
    assert best - step - 1e-9 <= total(value, choice) <= best + 1e-9


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_many_customers_come_within_one_step_of_the_linear_program(share: float) -> None:
    rng = np.random.default_rng(1)
    n, k = 120, 5
    value, cost = rng.normal(1, 2, (n, k)), rng.exponential(1, (n, k))
    cost[:, 0] = value[:, 0] = 0.0
    budget = share * n
    rows = np.kron(np.eye(n), np.ones(k))
    program = linprog(-value.ravel(), cost.ravel()[None], [budget], rows, np.ones(n), (0, 1))
    choice = knapsack_dual(torch.from_numpy(value), torch.from_numpy(cost), budget)
    assert -program.fun - value.max() <= total(torch.from_numpy(value), choice) <= -program.fun + 1e-6


def test_twins_share_a_budget_that_serves_only_some_of_them() -> None:
    value, cost = torch.tensor([[0.0, 3.0]] * 10), torch.tensor([[0.0, 2.0]] * 10)
    assert int(knapsack_dual(value, cost, 7.0).sum()) == 3


def test_without_a_budget_only_what_is_free_is_given() -> None:
    value, cost = torch.tensor([[0.0, 1.0, 9.0]]), torch.tensor([[0.0, 0.0, 2.0]])
    assert knapsack_dual(value, cost, 0.0).tolist() == [1]


@pytest.mark.parametrize(
    ("value", "cost", "budget", "message"),
    [
        ([[0.0, 1.0]], [[0.0, 1.0]], -1.0, "budget is -1.0 USD"),
        ([[0.0, 1.0]], [[0.0, 1.0]], float("nan"), "budget is nan USD"),
        ([[-torch.inf, 1.0]], [[0.0, 1.0]], 1.0, "column 0"),
        ([[0.0, 1.0]], [[1.0, 1.0]], 1.0, "column 0"),
        ([[0.0, 1.0]], [[0.0, -1.0]], 1.0, "no cost be negative"),
    ],
)
def test_an_impossible_instance_is_refused(
    value: list[list[float]], cost: list[list[float]], budget: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        knapsack_dual(torch.tensor(value), torch.tensor(cost), budget)
