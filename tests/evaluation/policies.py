"""Policies so simple that what they bring is known."""

from dataclasses import dataclass

import torch
from torch import Tensor

from campaigns.decision import Context


def certain(action: Tensor, n_actions: int) -> Tensor:
    return torch.nn.functional.one_hot(action, n_actions).to(torch.float32)


class Nothing:
    def action_dist(self, context: Context[Tensor]) -> Tensor:
        return certain(torch.zeros(len(context.mask), dtype=torch.int64), context.mask.shape[1])


class Anything:
    """Every allowed offer with the same probability."""

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        return context.mask / context.mask.sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class First:
    """The first offer of a list that is allowed, else none."""

    preferred: tuple[int, ...]

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        action = torch.zeros(len(context.mask), dtype=torch.int64)
        for offer in reversed(self.preferred):
            action = torch.where(context.mask[:, offer], offer, action)
        return certain(action, context.mask.shape[1])


@dataclass(frozen=True)
class Headless:
    """One offer, allowed or not."""

    offer: int

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        return certain(torch.full((len(context.mask),), self.offer), context.mask.shape[1])


@dataclass(frozen=True)
class Thrifty:
    """A coupon to a share of the customers that falls with the price of money."""

    offer: int

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        chance = torch.exp(-2.0 * context.price) * context.mask[:, self.offer]
        dist = torch.zeros(context.mask.shape)
        dist[:, self.offer], dist[:, 0] = chance, 1.0 - chance
        return dist
