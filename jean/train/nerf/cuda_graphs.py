"""CUDA graphs: the kernel launches of a training step are recorded once and replayed as one launch.

A graph replays the launches of one call with the same scalars and addresses. A recorded function must therefore not
depend on the host: it reads nothing back from the GPU, its shapes are constant, and values that change between steps
are in tensors. Random numbers come from generators that are registered with the graph, so that their sequence is
that of eager execution.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch

# Eager calls before a function is recorded. They load kernels, allocate workspaces and create Adam's state.
WARMUP_CALLS = 3


class Graphs:
    """Runs functions eagerly at first, then records each as a CUDA graph and replays it.

    Every call has the same effect as calling the function.

    Args:
        device: the GPU.
        generators: generators that the functions draw from, besides the GPU's default generator.
        warn: called once if a function cannot be recorded; all functions then run eagerly.
    """

    def __init__(
        self, device: torch.device, generators: Sequence[torch.Generator], warn: Callable[[str], None] | None = None
    ):
        self.device, self.generators, self.warn = device, list(generators), warn
        self.stream = torch.cuda.Stream(device)
        # One memory pool for all graphs, which run one after the other; the tensors they return stay allocated.
        self.pool: Any = None
        self.calls: dict[Hashable, int] = {}
        self.recorded: dict[Hashable, tuple[Any, Any]] = {}  # graph and result of each function
        self.failed = False

    def run(self, key: Hashable, work: Callable[[], Any]) -> Any:
        """Runs a function and returns its result. Tensors returned for the same key before may be overwritten.

        Args:
            key: identifies the launches; functions with the same launches have the same key.
            work: the function; it must not wait for the GPU. Replays write its results to the same memory.
        """
        if not self.failed and key not in self.recorded and self.calls.get(key, 0) >= WARMUP_CALLS:
            self._record(key, work)
        if key in self.recorded:
            graph, result = self.recorded[key]
            graph.replay()
            return result
        self.calls[key] = self.calls.get(key, 0) + 1
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        # the recording's stream, because autograd remembers the stream on which gradients were first accumulated
        with torch.cuda.stream(self.stream):
            result = work()
        current.wait_stream(self.stream)
        return result

    def forget(self) -> None:
        """Drops all graphs, for example because the tensors that they write to have been replaced."""
        self.recorded.clear()
        self.calls.clear()

    def _record(self, key: Hashable, work: Callable[[], Any]) -> None:
        """Records a function, or switches to eager execution if that fails."""
        states = [(generator, generator.clone_state()) for generator in self._all_generators()]
        try:
            graph = torch.cuda.CUDAGraph()
            for generator in self.generators:
                graph.register_generator_state(generator)
            if self.pool is None:
                self.pool = torch.cuda.graph_pool_handle()
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
                result = work()
        except RuntimeError as error:
            self.failed = True
            self.forget()
            for generator, state in states:  # after a failed recording a generator refuses to draw
                generator.graphsafe_set_state(state)
            if self.warn is not None:
                reason = str(error).strip().split("\n")[0]
                self.warn(f"steps cannot be recorded as CUDA graphs ({reason}): they run eagerly.")
            return
        self.recorded[key] = (graph, result)

    def _all_generators(self) -> list[torch.Generator]:
        index = torch.cuda.current_device() if self.device.index is None else self.device.index
        return [*self.generators, torch.cuda.default_generators[index]]
