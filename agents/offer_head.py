"""The last layer of an actor, one logit per offer, in which offers lean on what describes them."""

import torch
from torch import Tensor, nn

from agents.shared import offer_rows
from campaigns.decision import ObservationLayout


class OfferHead(nn.Module):
    """A linear layer whose row for offer a is W z_a + v_a, so that an offer that was never made is W z.

    z_a describes the offer (`shared.offer_rows`), W is common to all, v_a is the offer's own. Where a layout describes
    nothing, W stays 0 and this is an ordinary linear layer.
    """

    shared: Tensor
    """W, shape (described, width + 1); the last column makes the bias."""

    def __init__(self, width: int, layout: ObservationLayout) -> None:
        super().__init__()
        rows = offer_rows(layout).float()
        self.register_buffer("rows", rows, persistent=False)
        shared = torch.zeros(rows.shape[1], width + 1)
        if layout.offers.names:
            self.shared = nn.Parameter(shared)
        else:
            self.register_buffer("shared", shared)
        own = torch.zeros(layout.n_actions, width + 1)
        nn.init.orthogonal_(own[:, :width], gain=0.01)  # SB3's: nearly uniform at the start
        self.own = nn.Parameter(own)
        """v, shape (n_actions, width + 1)."""

    @property
    def weight(self) -> Tensor:
        """Shape (n_actions, width)."""
        return self._both()[:, :-1]

    @property
    def bias(self) -> Tensor:
        """Shape (n_actions,)."""
        return self._both()[:, -1]

    def forward(self, hidden: Tensor) -> Tensor:
        return nn.functional.linear(hidden, self.weight, self.bias)

    def _both(self) -> Tensor:
        return torch.addmm(self.own, self.rows, self.shared)  # type: ignore[arg-type]
