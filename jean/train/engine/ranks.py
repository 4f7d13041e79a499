"""Training on several GPUs or machines: one process ("rank") per GPU, started by ``torchrun``.

Data parallelism as in DDP (Li et al., 2020): all ranks hold the same weights, each has its share of every batch, and
the mean of their gradients updates the weights. The batch of a configuration is that of all ranks together, so the
number of ranks is no setting of a run. Without ``torchrun`` there is one rank and nothing here does anything.
"""

from __future__ import annotations

import atexit
import functools
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from jean.errors import SetupError
from jean.launch import local_rank, rank_count

_PATIENCE = timedelta(hours=2)  # longer than any evaluation, for which the other ranks wait
Value = TypeVar("Value")
Function = TypeVar("Function", bound=Callable[..., Any])


class LostRankError(SetupError):
    """Another rank has ended, so this one cannot go on."""


def joined(function: Function) -> Function:
    """Decorator of a trainer: it connects the ranks that ``torchrun`` has started, until the process ends.

    Raises:
        SetupError: the ranks cannot be connected.
    """

    @functools.wraps(function)
    def connected(*arguments: Any, **options: Any) -> Any:
        if rank_count() == 1 or dist.is_initialized():
            return function(*arguments, **options)
        try:
            dist.init_process_group(_backends(), timeout=_PATIENCE)
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0].rstrip(".")
            raise SetupError(f"the ranks cannot be connected: {reason}.", "Start them with torchrun.") from error
        atexit.register(dist.destroy_process_group)
        return function(*arguments, **options)

    return connected  # type: ignore[return-value]  # a wrapper with the signature of what it wraps


def count() -> int:
    """Number of connected ranks."""
    return dist.get_world_size() if dist.is_initialized() else 1


def index() -> int:
    """Number of this rank, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this rank writes files and speaks: exactly one does."""
    return index() == 0


def share(items: np.ndarray) -> np.ndarray:
    """This rank's items of a batch [B], of which all ranks have the same copy.

    Shares are equally long, so that the mean of the ranks' gradients is that of the batch: where the ranks do not
    divide it, its first items are taken twice.
    """
    ranks = count()
    if ranks == 1:
        return items
    return np.resize(items, (share_size(len(items)) * ranks, *items.shape[1:]))[index() :: ranks]


def share_size(batch: int) -> int:
    """Items of a batch for each rank; rounded up."""
    return -(-batch // count())


def average_gradients(optimiser: torch.optim.Optimizer) -> None:
    """Replaces the gradients of an optimiser by their means over all ranks.

    A parameter that has a gradient on some ranks counts as zero on the others, and stays without where none has one.
    """
    ranks = count()
    if ranks == 1:
        return
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    present = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
    _reduce(present)  # on the CPU, so that a GPU is not synchronised
    learning = [parameter for parameter, ranks_with in zip(parameters, present.tolist(), strict=True) if ranks_with]
    with torch.no_grad():
        parts = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in learning]
        flat = torch.cat([part.float() for part in parts])
        _reduce(flat)
        for parameter, total in zip(learning, torch.split(flat, [part.numel() for part in parts]), strict=True):
            parameter.grad = (total / ranks).view_as(parameter).to(parameter.dtype)


def average(tensors: Iterable[Tensor]) -> None:
    """Replaces float tensors by their means over all ranks, in place."""
    if count() > 1:
        for tensor in tensors:
            _reduce(tensor)
            tensor /= count()


def copy_from_first(tensors: Iterable[Tensor]) -> None:
    """Replaces tensors by those of the first rank, in place."""
    if count() > 1:
        with _explained(), torch.no_grad():
            for tensor in tensors:
                whole = tensor.detach().contiguous()
                dist.broadcast(whole, 0)
                if whole.data_ptr() != tensor.data_ptr():
                    tensor.copy_(whole)


def from_first(value: Value) -> Value:
    """The value that the first rank has; it can be pickled. All ranks wait for it."""
    if count() == 1:
        return value
    box = [value]
    with _explained():
        dist.broadcast_object_list(box, 0, device=torch.device("cpu"))
    return box[0]


def largest(number: int) -> int:
    """The largest of the ranks' numbers. All ranks wait for it; a GPU is not synchronised."""
    if count() == 1:
        return number
    box = torch.tensor(number)
    with _explained():
        dist.all_reduce(box, dist.ReduceOp.MAX)
    return int(box)


def seed_globals(seed: int, step: int) -> None:
    """Gives every rank but the first its own global random numbers for one step, such as those of dropout.

    They depend on seed, rank and step alone, so that nothing has to be stored for a resume.
    """
    if not is_first():
        number = own_seed(seed, step)
        torch.manual_seed(number)
        np.random.seed(number % 2**32)
        random.seed(number)


def own_seed(seed: int, step: int) -> int:
    """A seed that no other rank and no other step has."""
    return int(np.random.SeedSequence([0xDD, seed, index(), step]).generate_state(1, np.uint64)[0] >> 1)


def _backends() -> str:
    if not torch.cuda.is_available():
        return "gloo"
    torch.cuda.set_device(local_rank() % torch.cuda.device_count())
    return "cpu:gloo,cuda:nccl"


def _reduce(tensor: Tensor) -> None:
    with _explained():
        dist.all_reduce(tensor)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # gloo's and NCCL's, when a connection breaks
        raise LostRankError(
            "another rank of this training has ended.", "Its message says why. The same command resumes the training."
        ) from error
