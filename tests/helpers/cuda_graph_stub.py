"""A stub of CUDA graphs on the CPU: records operations once and replays them on the same memory.

Like a CUDA graph, it replays the scalars and addresses of the recording, and runs none of the Python code around them.
The results of the recording itself are undone, because a GPU computes nothing while it records.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Recording(TorchDispatchMode):
    """Records operations, and the previous contents of the memory that they write to."""

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
        result = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, result))
        return result

    def undo(self) -> None:
        """Restores the memory that the operations wrote to."""
        for storage, contents in self.before.values():
            storage.copy_(contents)

    @torch.no_grad()
    def repeat(self) -> None:
        """Runs all operations again and writes their results to the recorded tensors."""
        for func, args, kwargs, recorded in self.calls:
            writes = any(a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments)
            if not writes and any(r.alias_info is not None for r in func._schema.returns):
                continue  # a view of unchanged memory
            result = func(*args, **kwargs)
            if not writes:
                for old, new in zip(tree_leaves(recorded), tree_leaves(result), strict=True):
                    if isinstance(old, Tensor):
                        old.copy_(new)


class StandInGenerator:
    """A generator of the CPU with the two additional methods of a GPU's generator."""

    def __init__(self, generator: torch.Generator):
        self.generator = generator
        self.get_state, self.set_state = generator.get_state, generator.set_state

    def clone_state(self) -> Tensor:
        return self.get_state()

    def graphsafe_set_state(self, state: Tensor) -> None:
        self.set_state(state)


class StandInGraph:
    """Stub of ``torch.cuda.CUDAGraph``.

    Attributes:
        instances: all graphs that were created since ``install``.
        error: message with which recording fails; empty for success.
    """

    instances: ClassVar[list[StandInGraph]] = []
    error = ""

    def __init__(self) -> None:
        self.recording, self.replays = Recording(), 0
        self.generators: list[StandInGenerator] = []
        StandInGraph.instances.append(self)

    def register_generator_state(self, generator: StandInGenerator) -> None:
        self.generators.append(generator)

    def replay(self) -> None:
        self.replays += 1
        self.recording.repeat()


@contextmanager
def record(graph: StandInGraph, pool: Any = None, stream: Any = None) -> Any:
    """Stub of ``torch.cuda.graph``."""
    generators = [*graph.generators, torch.default_generator]
    states = [generator.get_state() for generator in generators]
    with graph.recording:
        yield
    graph.recording.undo()
    if StandInGraph.error:  # the generators keep their state of the recording, as on a GPU
        raise RuntimeError(StandInGraph.error)
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)


class StandInStream:
    """Stub of ``torch.cuda.Stream``."""

    def __init__(self, device: Any = None) -> None:
        self.waits = 0

    def wait_stream(self, other: Any) -> None:
        self.waits += 1


def install(monkeypatch: Any) -> None:
    """Replaces the functions of ``torch.cuda`` by these stubs."""
    StandInGraph.instances, StandInGraph.error = [], ""
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
