"""What a CUDA graph cannot repeat, found without a card: operations that wait for it, and shapes that data decide.

Some of torch's CUDA operations wait although nothing in their result tells: those that this project came upon are
listed by name.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CARD = torch.device("cuda:0")
# without a card, gradients cannot flow through tensors that say that they lie on one, but through those of no device
NOWHERE = torch.device("meta")
DATA_DECIDE = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
# matrix_exp sorts matrices by their norms on the host, decompositions ask there whether they succeeded (a norm of
# vectors is a sum); lift_fresh is how numbers of the host become a tensor
WAITS = ("linalg_", "lift_fresh")
MAX_EMBEDDINGS = 768  # of more rows, embedding's gradient sorts them and may count on the host which are alike


class Capturable(TorchDispatchMode):
    """Fails at an operation that a CUDA graph cannot repeat.

    Args:
        device: where every tensor has to lie; None does not look.
    """

    def __init__(self, device: torch.device | None = None):
        super().__init__()
        self.device = device
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().split("::")[1]
        self.names.add(name)
        if name.split(".")[0] in ("index", "index_put", "index_put_", "_unsafe_index"):  # whose masks alone are counted
            masks = [t for t in tree_leaves(args[1]) if isinstance(t, Tensor) and t.dtype in (torch.bool, torch.uint8)]
            assert not masks, f"{name} counts a mask"
        else:
            assert not any(tag in func.tags for tag in DATA_DECIDE), f"{name}: data decide what it gives"
        waits = name.startswith(WAITS) and not name.startswith("linalg_vector_norm")
        assert not waits, f"{name} waits for the card"
        if name.startswith("embedding_dense_backward"):
            assert args[1].numel() <= MAX_EMBEDDINGS, f"{name} of {args[1].numel()} rows"
        made = func(*args, **(kwargs or {}))
        if self.device is not None:
            for tensor in tree_leaves((args, kwargs, made)):
                if isinstance(tensor, Tensor):
                    assert tensor.device == self.device, f"{name} reads or makes a tensor on {tensor.device}"
        return made


def as_on_card(value: Tensor, device: torch.device = CARD) -> Tensor:
    """A tensor without numbers on ``device``; call it under ``FakeTensorMode``.

    A small one has its numbers beside it (``cached_list``), as if they had been read in a step before.
    """
    made = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=device)
    if value.numel() <= 3:
        made._cached_list = (made._version, value.tolist())
    return nn.Parameter(made) if isinstance(value, nn.Parameter) else made


def move(module: nn.Module, device: torch.device = CARD) -> None:
    """All parameters and buffers as ``as_on_card`` makes them."""
    done: dict[int, Tensor] = {}
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, value in tensors.items():
                if value is not None:
                    tensors[name] = done.setdefault(id(value), as_on_card(value, device))
