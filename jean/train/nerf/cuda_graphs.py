"""CUDA graphs: what a step launches is recorded once and launched again as one.

A graph repeats the launches of one call, with the numbers and addresses that they had. So what is recorded must be
free of the host: it reads nothing back, its shapes never change, what differs from step to step lies in tensors, and
random numbers come from generators that the graph knows, which go on as if every step had been launched by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch

WARM = 3  # calls before one is recorded: kernels are loaded, libraries take their memory, Adam makes its state


class Graphs:
    """Calls functions, each by its key: by hand at first, then recorded, then as a graph.

    Every call does what calling the function would do, recorded or not.

    Args:
        device: the card.
        generators: that the functions draw from, beside the card's own.
        warn: told once, if a function could not be recorded; everything is then called by hand.
    """

    def __init__(
        self, device: torch.device, generators: Sequence[torch.Generator], warn: Callable[[str], None] | None = None
    ):
        self.device, self.generators, self.warn = device, list(generators), warn
        self.stream = torch.cuda.Stream(device)
        self.pool: Any = None  # memory of all graphs: they run one after the other, and their results are kept
        self.calls: dict[Hashable, int] = {}
        self.recorded: dict[Hashable, tuple[Any, Any]] = {}  # graph and what its function returned
        self.failed = False

    def run(self, key: Hashable, work: Callable[[], Any]) -> Any:
        """What ``work`` returns, done once. Tensors of an earlier call with the same key may change meanwhile.

        Args:
            key: functions that launch the same have the same key.
            work: ends without waiting for the card; tensors that it returns stay where they are.
        """
        if not self.failed and key not in self.recorded and self.calls.get(key, 0) >= WARM:
            self._record(key, work)
        if key in self.recorded:
            graph, made = self.recorded[key]
            graph.replay()
            return made
        self.calls[key] = self.calls.get(key, 0) + 1
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):  # gradients must not remember the stream that nothing is recorded on
            made = work()
        current.wait_stream(self.stream)
        return made

    def forget(self) -> None:
        """Drops all graphs: what they write to is no longer in use."""
        self.recorded.clear()
        self.calls.clear()

    def _record(self, key: Hashable, work: Callable[[], Any]) -> None:
        states = [(generator, generator.clone_state()) for generator in self._all_generators()]
        try:
            graph = torch.cuda.CUDAGraph()
            for generator in self.generators:
                graph.register_generator_state(generator)
            if self.pool is None:
                self.pool = torch.cuda.graph_pool_handle()
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
                made = work()
        except RuntimeError as error:
            self.failed = True
            self.forget()
            for generator, state in states:  # in the midst of a broken recording a generator refuses to draw
                generator.graphsafe_set_state(state)
            if self.warn is not None:
                reason = str(error).strip().split("\n")[0]
                self.warn(f"steps could not be recorded as CUDA graphs ({reason}): each is launched by hand.")
            return
        self.recorded[key] = (graph, made)

    def _all_generators(self) -> list[torch.Generator]:
        index = torch.cuda.current_device() if self.device.index is None else self.device.index
        return [*self.generators, torch.cuda.default_generators[index]]
