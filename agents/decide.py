"""From scores to a distribution over allowed offers, and tensors that follow the data to its device."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

FORBIDDEN = -1e8
"""Logit of a forbidden offer: finite, so that p * log p is 0 and not NaN; its probability underflows to exactly 0."""


def best_allowed(score: Tensor, mask: Tensor) -> Tensor:
    """Return the allowed offer with the highest finite score, shape (n,), int64; the first one of equals.

    A score that is no finite number never wins: without any other, it is "no offer".
    """
    return finite_or_least(score.masked_fill(~mask, -torch.inf)).argmax(dim=1)


def finite_or_least(score: Tensor) -> Tensor:
    """Return scores with -inf for whatever is not finite: `argmax` would take NaN for the highest of all."""
    return score.nan_to_num(nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf)


def certain(offer: Tensor, n_actions: int) -> Tensor:
    """Return the distribution that gives `offer`, shape (n,), all its weight; shape (n, n_actions), float32."""
    dist = torch.zeros(len(offer), n_actions, device=offer.device)
    return dist.scatter_(1, offer.unsqueeze(1), 1.0)


def shares_of(choices: Iterable[Tensor], count: int, mask: Tensor) -> Tensor:
    """Return how often each offer comes in `count` choices, each of shape (n,); shape of `mask`, (n, n_actions)."""
    wins = torch.zeros(mask.shape, device=mask.device)
    for offer in choices:
        wins.scatter_add_(1, offer.unsqueeze(1), torch.ones_like(wins[:, :1]))
    return wins / count


def masked_log_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Return log-probabilities over allowed offers, shape of `logits`; `FORBIDDEN`, roughly, elsewhere."""
    return torch.log_softmax(logits.masked_fill(~mask, FORBIDDEN), dim=1)


def masked_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Return probabilities, shape of `logits`: exactly 0 where an offer is forbidden or its logit is not finite.

    A row without any finite logit gives "no offer", so that a spoilt network offers nothing.
    """
    usable = finite_or_least(logits.masked_fill(~mask, -torch.inf))
    spoilt = usable.amax(dim=1) == -torch.inf
    none = torch.where(spoilt, torch.zeros_like(usable[:, 0]), usable[:, 0])
    return torch.softmax(torch.cat([none.unsqueeze(1), usable[:, 1:]], dim=1), dim=1)


class Placed:
    """Tensors that follow the data: copied to a device once, when the first decision is made there."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._at = {torch.device("cpu"): {name: value.detach().cpu().contiguous() for name, value in tensors.items()}}

    def on(self, device: torch.device) -> dict[str, Tensor]:
        if device not in self._at:
            self._at[device] = {name: value.to(device) for name, value in self._at[torch.device("cpu")].items()}
        return self._at[device]

    def data(self) -> dict[str, Tensor]:
        """Return the tensors on the CPU."""
        return dict(self._at[torch.device("cpu")])
