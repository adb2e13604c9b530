"""One episode of the vector env, played by anything that chooses, and the credit that its decisions earn."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.agent import LearningWorld
from campaigns.decision import Context

Decide = Callable[[Context[Tensor]], Tensor]
"""From a context of n customers to their offers, shape (n,), int64."""


@dataclass(frozen=True, eq=False)
class Episode:
    """All customers from reset to the end.

    Attributes:
        rows: Observations before each decision, shape (horizon, n, layout.width), float32.
        action: Offers, shape (horizon, n), int64.
        net: Uplift net margin of each week [USD], shape (horizon, n), float64.
        cost: Promo and contact cost of each week [USD], shape (horizon, n), float64.
    """

    rows: Tensor
    action: Tensor
    net: Tensor
    cost: Tensor


@dataclass(frozen=True, eq=False)
class Decisions:
    """m decisions of customers who could be offered something, with what they are credited with.

    Attributes:
        context: What was known, n = m.
        action: Offers, shape (m,), int64.
        outcome: Credited net margin and cost [USD], shape (m, 2), float64.
    """

    context: Context[Tensor]
    action: Tensor
    outcome: Tensor


def play(world: LearningWorld, seed: int, number: int, decide: Decide) -> Episode:
    """Play episode `number` of a learner with `seed` from reset to the end."""
    observation, _ = world.vector.reset(seed=episode_seed(seed, number))
    rows, actions, nets, costs = [], [], [], []
    for _ in range(world.horizon):
        row = torch.from_numpy(np.array(observation))  # a copy: an env may write its next rows into the same memory
        action = decide(world.layout.split(row))
        observation, _, terminated, _, info = world.vector.step(action.numpy())
        # With SAME_STEP autoreset, Gymnasium moves the last step's info aside into "final_info".
        week = info if "net" in info else info["final_info"]
        rows.append(row)
        actions.append(action)
        nets.append(_column(week["net"]))
        costs.append(_column(week["cost"]))
    if not terminated.all():
        raise RuntimeError(f"the env did not terminate after its horizon of {world.horizon} weeks")
    return Episode(torch.stack(rows), torch.stack(actions), torch.stack(nets), torch.stack(costs))


def episode_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def credited(week: Tensor, weeks: int) -> Tensor:
    """Sum each week's value with those of the weeks after it, `weeks` in all; shape of `week`, (horizon, n)."""
    total = torch.cat([week.cumsum(0), week.sum(0, keepdim=True).expand(weeks, -1)])
    before = torch.cat([torch.zeros_like(week[:1]), total])[: len(week)]
    return total[weeks - 1 : weeks - 1 + len(week)] - before


def decisions(world: LearningWorld, episode: Episode, credit_weeks: int) -> Decisions:
    """Return the decisions of an episode that were a choice, in the order of weeks, then customers."""
    outcome = torch.stack([credited(episode.net, credit_weeks), credited(episode.cost, credit_weeks)], dim=2)
    context = world.layout.split(episode.rows.flatten(0, 1))
    choice = context.mask.sum(dim=1) > 1
    chosen = Context(features=context.features[choice], mask=context.mask[choice], price=context.price[choice])
    return Decisions(chosen, episode.action.flatten()[choice], outcome.flatten(0, 1)[choice])


def _column(values: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float64))
