"""The policy that PPO leaves behind: a small network over features and λ, written down as plain tensors."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from agents.decide import Placed, best_allowed, certain, masked_softmax
from campaigns.decision import Context, ObservationLayout


def network_input(context: Context[Tensor]) -> Tensor:
    """Return what a network sees, not the mask: features, log(1 + λ), and their products; shape (n, 2 n_features + 1).

    What an offer is worth falls by λ times its cost, which differs by customer: the products put that within reach of
    the first layer.
    """
    price = torch.log1p(context.price).unsqueeze(1)
    return torch.cat([context.features, price, context.features * price], dim=1)


class ActorPolicy:
    """A tanh network's softmax over the allowed offers, or only the likeliest one of them (`greedy`)."""

    kind: ClassVar[str] = "ppo"

    def __init__(self, layers: Mapping[str, Tensor], greedy: bool, meta: Mapping[str, Any]) -> None:
        """Keep the layers `weight_0`, `bias_0`, `weight_1`, ...; each weight has shape (out, in)."""
        self._greedy = greedy
        self._placed = Placed(layers)
        self._depth = len(layers) // 2
        self._meta = dict(meta)

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        layers = self._placed.on(context.features.device)
        hidden = network_input(context)
        for i in range(self._depth - 1):
            hidden = torch.tanh(functional.linear(hidden, layers[f"weight_{i}"], layers[f"bias_{i}"]))
        last = self._depth - 1
        logits = functional.linear(hidden, layers[f"weight_{last}"], layers[f"bias_{last}"])
        if self._greedy:
            return certain(best_allowed(logits, context.mask), logits.shape[1])
        return masked_softmax(logits, context.mask)

    def tensors(self) -> dict[str, Tensor]:
        return self._placed.data()

    def meta(self) -> dict[str, Any]:
        return self._meta | {"greedy": self._greedy}

    @classmethod
    def restore(cls, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        depth = len(meta["config"]["hidden"]) + 1
        names = [f"{part}_{i}" for i in range(depth) for part in ("weight", "bias")]
        return cls({name: tensors[name] for name in names}, bool(meta["greedy"]), meta)
