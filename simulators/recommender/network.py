"""Small dense networks as plain tensors: initialised, run and fitted under an explicit seed."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

Layers = tuple[Tensor, ...]
"""Weights and biases in turn, shapes (inputs, outputs) and (outputs,)."""

_DECAY: Final = 1e-4
"""Weight decay of the fits."""


def init_layers(sizes: Sequence[int], generator: torch.Generator, last: float = 1.0) -> Layers:
    """Return layers of the given sizes with normal weights of variance 1 / inputs, `last` the last layer's scale."""
    layers: list[Tensor] = []
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        scale = (last if index == len(sizes) - 2 else 1.0) / math.sqrt(inputs)
        layers += [scale * torch.randn(inputs, outputs, generator=generator), torch.zeros(outputs)]
    return tuple(layers)


def run_layers(layers: Layers, rows: Tensor) -> Tensor:
    """Return the outputs for rows, shape (n, outputs); SiLU between layers."""
    for index in range(0, len(layers), 2):
        rows = rows @ layers[index] + layers[index + 1]
        if index + 2 < len(layers):
            rows = F.silu(rows)
    return rows


def descend(
    parameters: Sequence[Tensor], loss: Callable[[Tensor], Tensor], batches: Sequence[Tensor], rate: float
) -> None:
    """Fit parameters in place by AdamW under a one-cycle schedule.

    Args:
        parameters: Leaf tensors; after the fit they need no gradient.
        loss: Of a batch of row numbers.
        batches: Row numbers of each step, in order.
        rate: Peak learning rate.

    References:
        Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; Smith & Topin, "Super-Convergence",
        2019.
    """
    if not batches:
        return
    for tensor in parameters:
        tensor.requires_grad_(True)
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=len(batches) + 1)
    for batch in batches:
        optimizer.zero_grad()
        loss(batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    for tensor in parameters:
        tensor.requires_grad_(False)


def shuffled_batches(rows: int, size: int, epochs: int, generator: torch.Generator) -> list[Tensor]:
    """Return row numbers in batches, each epoch in a new order; an incomplete last batch is left out of an epoch."""
    return list(_shuffled(rows, min(size, rows), epochs, generator)) if rows else []


def _shuffled(rows: int, size: int, epochs: int, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(epochs):
        order = torch.randperm(rows, generator=generator)
        yield from order[: rows - rows % size].view(-1, size).unbind(dim=0)


def named_layers(prefix: str, layers: Layers) -> dict[str, Tensor]:
    """Name layers for a file."""
    return {f"{prefix}.{index}": layer for index, layer in enumerate(layers)}


def layers_of(prefix: str, tensors: Mapping[str, Tensor]) -> Layers:
    """Return the layers that `named_layers` named."""
    count = sum(name.startswith(f"{prefix}.") for name in tensors)
    return tuple(tensors[f"{prefix}.{index}"] for index in range(count))
