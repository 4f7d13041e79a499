"""Detects, without a GPU, operations that a CUDA graph cannot replay: waits for the GPU and data-dependent shapes.

Some of torch's CUDA operations wait for the GPU although their result does not show it. Known ones are listed by name.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GPU = torch.device("cuda:0")
# Without a GPU, autograd does not work on fake GPU tensors, but it does on meta tensors.
META = torch.device("meta")
DATA_DEPENDENT = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
# matrix_exp sorts matrices by their norms on the host, and decompositions check their success there (vector norms
# are sums and do not wait); lift_fresh converts Python numbers to tensors
WAITS = ("linalg_", "lift_fresh")
MAX_EMBEDDINGS = 768  # for more rows, the gradient of embedding sorts them and may count duplicates on the host


class Capturable(TorchDispatchMode):
    """Fails at an operation that a CUDA graph cannot replay.

    Args:
        device: required device of every tensor; None for any.
    """

    def __init__(self, device: torch.device | None = None):
        super().__init__()
        self.device = device
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().split("::")[1]
        self.names.add(name)
        if name.split(".")[0] in ("index", "index_put", "index_put_", "_unsafe_index"):  # data-dependent only for masks
            masks = [t for t in tree_leaves(args[1]) if isinstance(t, Tensor) and t.dtype in (torch.bool, torch.uint8)]
            assert not masks, f"{name} has a mask as index"
        else:
            assert not any(tag in func.tags for tag in DATA_DEPENDENT), f"{name} has a data-dependent result"
        waits = name.startswith(WAITS) and not name.startswith("linalg_vector_norm")
        assert not waits, f"{name} waits for the GPU"
        if name.startswith("embedding_dense_backward"):
            assert args[1].numel() <= MAX_EMBEDDINGS, f"{name} of {args[1].numel()} rows"
        result = func(*args, **(kwargs or {}))
        if self.device is not None:
            for tensor in tree_leaves((args, kwargs, result)):
                if isinstance(tensor, Tensor):
                    assert tensor.device == self.device, f"{name} reads or creates a tensor on {tensor.device}"
        return result


def fake_tensor(value: Tensor, device: torch.device = GPU) -> Tensor:
    """A tensor without values on ``device``; call it under ``FakeTensorMode``.

    A small tensor keeps its values in the cache of ``cached_list``, as if an earlier step had read them.
    """
    fake = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=device)
    if value.numel() <= 3:
        fake._cached_list = (fake._version, value.tolist())
    return nn.Parameter(fake) if isinstance(value, nn.Parameter) else fake


def move(module: nn.Module, device: torch.device = GPU) -> None:
    """Replaces all parameters and buffers of a module by ``fake_tensor``."""
    replaced: dict[int, Tensor] = {}
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, value in tensors.items():
                if value is not None:
                    tensors[name] = replaced.setdefault(id(value), fake_tensor(value, device))
