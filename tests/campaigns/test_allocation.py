"""The multiple-choice knapsack against brute force, a linear program and an integer program."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_matrix, eye, kron, vstack

from campaigns.allocation import allocate, knapsack_dual

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


@settings(max_examples=60, deadline=None)
@given(instances())
def test_the_choice_keeps_the_budget_and_is_within_one_customer_of_the_best(instance: Instance) -> None:
    value, cost, budget = instance
    allocation = knapsack_dual(value, cost, budget)
    choice = allocation.choice
    assert choice.dtype == torch.int64 and value.gather(1, choice.unsqueeze(1)).isfinite().all()
    assert total(cost, choice) <= budget + 1e-9
    combinations = [torch.tensor(c) for c in product(range(value.shape[1]), repeat=len(value))]
    best = max(total(value, c) for c in combinations if total(cost, c) <= budget)
    step = float((value.max(dim=1).values - value[:, 0]).max())
    assert best - step - 1e-9 <= total(value, choice) <= best + 1e-9
    assert best - 1e-9 <= float(allocation.bound) <= best + step + 1e-9


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_many_customers_come_within_one_step_of_the_linear_program(share: float) -> None:
    rng = np.random.default_rng(1)
    n, k = 120, 5
    value, cost = rng.normal(1, 2, (n, k)), rng.exponential(1, (n, k))
    cost[:, 0] = value[:, 0] = 0.0
    budget = share * n
    rows = np.kron(np.eye(n), np.ones(k))
    program = linprog(-value.ravel(), cost.ravel()[None], [budget], rows, np.ones(n), (0, 1))
    choice = knapsack_dual(torch.from_numpy(value), torch.from_numpy(cost), budget).choice
    assert -program.fun - value.max() <= total(torch.from_numpy(value), choice) <= -program.fun + 1e-6


def campaign(number: int) -> Instance:
    """Draw 8 to 80 customers, some offers forbidden; odd ones have offers of rising depth and falling returns."""
    rng = np.random.default_rng(number)
    n, k = int(rng.integers(8, 80)), int(rng.integers(2, 11))
    value, cost = rng.normal(0.3, 1, (n, k)), rng.exponential(1, (n, k)) * rng.uniform(0.5, 2, (n, 1))
    if number % 2:
        cost = np.sort(rng.uniform(0.2, 5, k)) * rng.uniform(0.1, 1, (n, 1))
        value = rng.uniform(0, 2, (n, 1)) * np.log1p(cost * rng.uniform(0.5, 3, (n, 1))) - 0.1 * rng.random((n, k))
    value[:, 0] = cost[:, 0] = 0.0
    value[:, 1:][rng.random((n, k - 1)) < 0.2] = -np.inf
    most = np.where(np.isfinite(value), cost, 0.0).max(axis=1).sum()
    return torch.from_numpy(value), torch.from_numpy(cost), rng.uniform(0.02, 0.45) * most


def optimum(value: torch.Tensor, cost: torch.Tensor, budget: float) -> float:
    """Solve the integer program by HiGHS's branch and bound."""
    n, k = value.shape
    each = kron(eye(n), np.ones((1, k)))
    rows = vstack([csr_matrix(cost.numpy().ravel()[None]), each]).tocsr()
    found = milp(
        -value.nan_to_num(neginf=0.0).numpy().ravel(),
        constraints=LinearConstraint(rows, np.append(-np.inf, np.ones(n)), np.append(budget, np.ones(n))),
        integrality=np.ones(n * k),
        bounds=Bounds(0, value.isfinite().numpy().ravel().astype(float)),
        options={"mip_rel_gap": 1e-6, "time_limit": 10},
    )
    return -float(found.fun)


def shares_of_the_optimum(instances: range) -> np.ndarray:
    shares = []
    for number in instances:
        value, cost, budget = campaign(number)
        choice = knapsack_dual(value, cost, budget).choice
        assert total(cost, choice) <= budget + 1e-9
        shares.append(total(value, choice) / optimum(value, cost, budget))
    return np.array(shares)


def test_little_campaigns_come_close_to_the_integer_optimum() -> None:
    shares = shares_of_the_optimum(range(30))
    assert shares.mean() >= 0.995 and shares.min() >= 0.98


@pytest.mark.slow
def test_a_thousand_campaigns_come_close_to_the_integer_optimum() -> None:
    shares = shares_of_the_optimum(range(1000))
    assert shares.mean() >= 0.995 and shares.min() >= 0.98


def test_nothing_waits_for_the_device() -> None:
    value, cost = torch.zeros(500, 6, device="meta"), torch.zeros(500, 6, device="meta")
    allocation = allocate(value, cost, torch.zeros((), device="meta"))  # an `.item()` has no data to read here
    assert allocation.choice.shape == (500,) and allocation.price.shape == ()


def test_more_money_is_never_worth_less_and_lowers_its_price() -> None:
    value, cost, budget = campaign(3)
    found = [knapsack_dual(value, cost, budget * share) for share in (0.0, 0.3, 1.0, 2.0, 50.0)]
    bounds, prices = [float(a.bound) for a in found], [float(a.price) for a in found]
    assert bounds == sorted(bounds) and prices == sorted(prices, reverse=True) and prices[-1] == 0.0


def test_twins_share_a_budget_that_serves_only_some_of_them() -> None:
    value, cost = torch.tensor([[0.0, 3.0]] * 10), torch.tensor([[0.0, 2.0]] * 10)
    assert int(knapsack_dual(value, cost, 7.0).choice.sum()) == 3


def test_without_a_budget_only_what_is_free_is_given() -> None:
    value, cost = torch.tensor([[0.0, 1.0, 9.0]]), torch.tensor([[0.0, 0.0, 2.0]])
    assert knapsack_dual(value, cost, 0.0).choice.tolist() == [1]


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
