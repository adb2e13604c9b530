"""A masked categorical choice, laid out column by column: torch's softmax takes rows of ten logits one by one.

Values and gradients are those of `decide.masked_log_softmax`, to rounding.
"""

from typing import Any, Final

import torch
from torch import Tensor

from agents.decide import FORBIDDEN

LEAST: Final = -80.0
"""Logit, below the row's highest, that a forbidden offer is given for the while: exp is slow where it underflows."""


def masked_columns(logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities, exactly 0 where forbidden, and their logarithms, `FORBIDDEN` there; (n_actions, n) each.

    Args:
        logits: Shape (n, n_actions).
        mask: What is allowed, same shape, bool; one action at least in each row.
    """
    allowed = mask.t()
    forbidden = ~allowed
    log_dist = logits.t().contiguous()
    log_dist = log_dist - log_dist.masked_fill(forbidden, -torch.inf).amax(dim=0)
    dist = log_dist.masked_fill_(forbidden, LEAST).exp().mul_(allowed)
    total = dist.sum(dim=0)
    return dist.div_(total), log_dist.sub_(total.log()).masked_fill_(forbidden, FORBIDDEN)


class _Choice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, mask: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        dist, log_dist = masked_columns(logits, mask)
        entropy = (dist * log_dist).sum(dim=0).neg_()
        index = action.unsqueeze(0)
        ctx.save_for_backward(dist, log_dist, entropy, index, mask)
        return log_dist.gather(0, index).squeeze(0), entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        dist, log_dist, entropy, index, mask = ctx.saved_tensors
        of_log_prob, of_entropy = grads
        grad = (log_dist + entropy).mul_(of_entropy).add_(of_log_prob).mul_(dist).neg_()
        return grad.scatter_add_(0, index, of_log_prob.unsqueeze(0)).mul_(mask.t()).t(), None, None


def choice_of(logits: Tensor, mask: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log-probability of each action, shape (n,), and the entropy of each row [nats], shape (n,).

    The gradient with respect to a logit is 1[chosen] - p for the former and -p (log p + entropy) for the latter.

    Args:
        logits, mask: As `masked_columns` takes them.
        action: Shape (n,), int64.
    """
    found: tuple[Tensor, Tensor] = _Choice.apply(logits, mask, action)  # type: ignore[no-untyped-call]
    return found


def draw(dist: Tensor) -> Tensor:
    """Draw from each column's distribution by its cumulated probabilities, shape (n,); what has none never comes.

    No look at a value is needed, and it takes a small part of the time of `multinomial`.

    Args:
        dist: Shape (n_actions, n).
    """
    cumulated = dist.cumsum(dim=0)
    luck = torch.rand(dist.shape[1], device=dist.device) * cumulated[-1]
    action = (cumulated <= luck).sum(dim=0)
    possible: Tensor = (dist > 0) * torch.arange(len(dist), device=dist.device).unsqueeze(1)
    return torch.minimum(action, possible.amax(dim=0))  # rounding may pass the last offer that is allowed
