"""The policy that PPO leaves behind: a small network over features and λ, written down as plain tensors."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from agents.decide import Placed, best_allowed, certain, masked_softmax
from agents.linear_model import columns_of, other_layout, place_coefficients
from campaigns.decision import Context, ObservationLayout


def network_input(features: Tensor, price: Tensor) -> Tensor:
    """Return what a network sees: features, log(1 + λ), and their products; shape (n, 2 n_features + 1).

    What an offer is worth falls by λ times its cost, which differs by customer: the products put that within reach of
    the first layer.
    """
    logarithm = torch.log1p(price).unsqueeze(1)
    return torch.cat([features, logarithm, features * logarithm], dim=1)


class ActorPolicy:
    """A tanh network's softmax over the allowed offers, or only the likeliest one of them (`greedy`)."""

    kind: ClassVar[str] = "ppo"

    def __init__(self, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Place a network before a layout's offers, also before some that it was not trained on.

        Args:
            layout: Whose offers.
            meta: Of the training: "config", "model" as `names_of` says it, and "greedy".
            tensors: Hidden layers `weight_0`, `bias_0`, `weight_1`, ..., each weight of shape (out, in), and the parts
                of the last one, `shared` and `own` (`offer_head.OfferHead`).

        Raises:
            InputError: The layout is another one than the network can serve.
        """
        self._meta = dict(meta)
        self._greedy, self._depth = bool(meta["greedy"]), len(meta["config"]["hidden"])
        hidden = [f"{part}_{i}" for i in range(self._depth) for part in ("weight", "bias")]
        self._tensors = {name: tensors[name] for name in (*hidden, "shared", "own")}
        columns = columns_of(layout, meta["model"])
        shared, own = (tensors[name].unsqueeze(2) for name in ("shared", "own"))
        last, place = place_coefficients(layout, meta["model"], shared, own)
        if not layout.offers.names and bool((place < 0).any()):
            raise other_layout(layout)  # nothing says what the new offer is like
        self._placed = Placed(self._tensors | {"columns": columns, "last": last.squeeze(2)})

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        data = self._placed.on(context.features.device)
        hidden = network_input(context.features.index_select(1, data["columns"]), context.price)
        for i in range(self._depth):
            hidden = torch.tanh(functional.linear(hidden, data[f"weight_{i}"], data[f"bias_{i}"]))
        logits = functional.linear(hidden, data["last"][:, :-1], data["last"][:, -1])
        if self._greedy:
            return certain(best_allowed(logits, context.mask), logits.shape[1])
        return masked_softmax(logits, context.mask)

    def tensors(self) -> dict[str, Tensor]:
        return dict(self._tensors)

    def meta(self) -> dict[str, Any]:
        return dict(self._meta)

    @classmethod
    def restore(cls, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        return cls(layout, meta, tensors)
