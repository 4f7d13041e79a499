"""A stand-in for a card's CUDA graphs: operations of a processor, recorded once and repeated on the same memory.

As a graph does, it repeats the numbers that the host gave and the addresses that were used when it was recorded, and
runs none of the Python around them. What recording computed is undone, since a card computes nothing meanwhile.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Recording(TorchDispatchMode):
    """Operations as they are called, and what memory held that they write to."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self.before: dict[int, tuple[Any, Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                for tensor in tree_leaves(value):
                    storage = tensor.untyped_storage()
                    self.before.setdefault(storage.data_ptr(), (storage, storage.clone()))
        made = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, made))
        return made

    def undo(self) -> None:
        """Gives memory back what it held."""
        for storage, held in self.before.values():
            storage.copy_(held)

    @torch.no_grad()
    def repeat(self) -> None:
        """All operations again, their results to where they were."""
        for func, args, kwargs, made in self.calls:
            writes = any(a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments)
            if not writes and any(r.alias_info is not None for r in func._schema.returns):
                continue  # a view of memory that is the same
            again = func(*args, **kwargs)
            if not writes:
                for old, new in zip(tree_leaves(made), tree_leaves(again), strict=True):
                    if isinstance(old, Tensor):
                        old.copy_(new)


class StandInGenerator:
    """A processor's generator with the two functions that a card's has beside."""

    def __init__(self, generator: torch.Generator):
        self.generator = generator
        self.get_state, self.set_state = generator.get_state, generator.set_state

    def clone_state(self) -> Tensor:
        return self.get_state()

    def graphsafe_set_state(self, state: Tensor) -> None:
        self.set_state(state)


class StandInGraph:
    """``torch.cuda.CUDAGraph``; ``made`` lists all that there were."""

    made: ClassVar[list[StandInGraph]] = []
    fails = ""  # what recording ends with, if anything

    def __init__(self) -> None:
        self.recording, self.replays = Recording(), 0
        self.generators: list[StandInGenerator] = []
        StandInGraph.made.append(self)

    def register_generator_state(self, generator: StandInGenerator) -> None:
        self.generators.append(generator)

    def replay(self) -> None:
        self.replays += 1
        self.recording.repeat()


@contextmanager
def record(graph: StandInGraph, pool: Any = None, stream: Any = None) -> Any:
    """``torch.cuda.graph``."""
    generators = [*graph.generators, torch.default_generator]
    states = [generator.get_state() for generator in generators]
    with graph.recording:
        yield
    graph.recording.undo()
    if StandInGraph.fails:  # generators are then left in the midst of it, as a card leaves them
        raise RuntimeError(StandInGraph.fails)
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)


class StandInStream:
    def __init__(self, device: Any = None) -> None:
        self.waits = 0

    def wait_stream(self, other: Any) -> None:
        self.waits += 1


def install(monkeypatch: Any) -> None:
    """Puts all of it in the place of ``torch.cuda``'s."""
    StandInGraph.made, StandInGraph.fails = [], ""
    for name, value in {
        "Stream": StandInStream,
        "stream": lambda stream: nullcontext(),
        "current_device": lambda: 0,
        "current_stream": StandInStream,
        "CUDAGraph": StandInGraph,
        "graph": record,
        "graph_pool_handle": object,
        "default_generators": (StandInGenerator(torch.default_generator),),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
