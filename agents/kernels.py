"""Ways to evaluate an actor-critic: as torch does it, and ones that are quicker on some machines.

All compute the same thing, to the rounding of the number format they multiply in. Which one is quickest depends on the
machine, so it is measured, not assumed.
"""

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from campaigns.errors import InputError

KERNELS: Final = ("plain", "fused", "bf16", "tf32", "compiled")
"""plain: torch as it is. fused: oneDNN's fused layers and a gradient by hand (CPU). bf16: matrix products in bfloat16,
everything else in float32. tf32: matrix products in TensorFloat-32 (GPU). compiled: torch.compile, with CUDA graphs on
a GPU."""
ROUNDS: Final = 5
"""Interleaved rounds in which kernels are timed."""


class Layer(Protocol):
    """A linear layer: weight, shape (out, in), and bias, shape (out,)."""

    @property
    def weight(self) -> Tensor: ...
    @property
    def bias(self) -> Tensor: ...


class _TanhStack(torch.autograd.Function):
    """A stack of linear layers with tanh between them, each one fused call of oneDNN; its gradient by hand."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *layers: Tensor) -> Tensor:
        depth = len(layers) // 2
        kept = [x]
        for i in range(depth):
            kept.append(_fused_linear(kept[-1], layers[2 * i], layers[2 * i + 1], "tanh" if i < depth - 1 else "none"))
        ctx.save_for_backward(*layers, *kept[:-1])
        ctx.depth = depth
        return kept[-1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        depth, (grad,) = ctx.depth, grads
        layers, kept = ctx.saved_tensors[: 2 * depth], ctx.saved_tensors[2 * depth :]
        found: list[Tensor] = []
        for i in reversed(range(depth)):
            found[:0] = [grad.t() @ kept[i], grad.sum(dim=0)]
            if i:
                back = _fused_linear(grad, layers[2 * i].t().contiguous(), None, "none")
                grad = torch.ops.aten.tanh_backward(back, kept[i])
        return (None, *found)


def _fused_linear(x: Tensor, weight: Tensor, bias: Tensor | None, after: str) -> Tensor:
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, after, [], "")
    return y


def tanh_stack(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """Return a tanh network's last linear output, shape (n, out of the last layer).

    tanh(a) is 2 sigmoid(2a) - 1, and the factors and the 1 go into the weights: torch takes a third of the time for a
    sigmoid.
    """
    weight, bias = layers[0].weight, layers[0].bias
    for layer in layers[1:]:
        x = torch.sigmoid(functional.linear(x, 2.0 * weight, 2.0 * bias))
        weight, bias = 2.0 * layer.weight, layer.bias - layer.weight.sum(dim=1)
    return functional.linear(x, weight, bias)


def fused_tanh_stack(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """Return what `tanh_stack` returns, where `fused_works`; `x` gets no gradient."""
    parameters = [part.contiguous() for layer in layers for part in (layer.weight, layer.bias)]  # oneDNN crawls else
    found: Tensor = _TanhStack.apply(x, *parameters)  # type: ignore[no-untyped-call]
    return found


def bf16_tanh_stack(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """Return what `tanh_stack` returns, multiplied in bfloat16, as float32."""
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        return tanh_stack(x, layers).float()


def available(device: torch.device) -> tuple[str, ...]:
    """Return the kernels that this machine can run on this device."""
    if device.type == "cuda":
        return ("plain", "bf16", "tf32", "compiled")
    return ("plain", *(("fused",) if fused_works() else ()), "bf16")


def check_kernel(name: str, device: torch.device) -> None:
    """Raise an InputError where this machine cannot run this kernel on this device."""
    if name not in available(device):
        raise InputError(
            f"agent ppo: kernel is {name!r}, which cannot run here on {device.type}; expected auto or one of "
            f"{', '.join(available(device))}"
        )


def stack_of(name: str) -> Callable[[Tensor, Sequence[Layer]], Tensor]:
    """Return the function that evaluates a network under a kernel, and set up torch for it."""
    torch.backends.cuda.matmul.fp32_precision = "tf32" if name == "tf32" else "none"
    if name == "compiled":
        compiled: Callable[[Tensor, Sequence[Layer]], Tensor] = torch.compile(tanh_stack, mode="reduce-overhead")
        return compiled
    return {"fused": fused_tanh_stack, "bf16": bf16_tanh_stack}.get(name, tanh_stack)


def measure(work: Callable[[str], Any], names: tuple[str, ...], device: torch.device) -> dict[str, float]:
    """Time some work under each kernel, interleaved.

    Args:
        work: Does it under the named kernel.
        names: Of the kernels.
        device: Whose work is waited for.

    Returns:
        Median seconds by kernel; those that failed are left out.
    """
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(ROUNDS + 1):
        for name in list(seconds):
            start = time.perf_counter()
            try:
                work(name)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
            except RuntimeError:
                if name == "plain":
                    raise
                del seconds[name]
                continue
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    return {name: sorted(times)[len(times) // 2] for name, times in seconds.items()}


def quick_linear(x: Tensor, weight: Tensor) -> Tensor:
    """Return x weight', shape (n, m), of x, shape (n, p), and a contiguous weight, shape (m, p); no gradient.

    On a CPU by oneDNN where there is that: torch's own library runs at half the speed on AMD's processors.
    """
    if x.device.type == "cpu" and fused_works():
        return _fused_linear(x, weight, None, "none")
    return functional.linear(x, weight)


@cache
def fused_works() -> bool:
    """Return whether this build of torch has the private operation behind the fused layers, with the known result."""
    x, weight, bias = torch.eye(2), torch.tensor([[0.5, 0.0], [0.0, -0.5]]), torch.tensor([0.1, 0.2])
    try:
        found = _fused_linear(x, weight, bias, "tanh")
    except (AttributeError, RuntimeError):
        return False
    return bool(torch.allclose(found, torch.tanh(functional.linear(x, weight, bias))))
