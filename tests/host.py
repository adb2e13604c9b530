"""A guard that turns red where a tensor program looks at a value or copies between devices."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class HostRoundTripError(AssertionError):
    pass


class NoHostRoundTrip(TorchDispatchMode):
    """Refuses whatever makes an accelerator wait for the host: values read, shapes that depend on them, copies."""

    forbidden = (
        aten._local_scalar_dense,
        aten.nonzero,
        aten.masked_select,
        aten.equal,
        aten.is_nonzero,
        aten._unique2,
        aten.bincount,
    )

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket in self.forbidden:
            raise HostRoundTripError(str(func))
        indexed = args[1] if func.overloadpacket in (aten.index, aten.index_put, aten.index_put_) else ()
        if any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indexed):
            raise HostRoundTripError(f"{func} with a mask")
        if func.overloadpacket is aten._to_copy and kwargs.get("device") not in (None, args[0].device):
            raise HostRoundTripError(f"{func} to {kwargs['device']}")
        return func(*args, **kwargs)
