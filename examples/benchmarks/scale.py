"""Measures ``jean.cluster`` on a Ray cluster of several nodes in this machine, which it starts and stops itself.

    python examples/benchmarks/scale.py [--clips 500] [--no-ops 100000] [--json]

1. Clips without pictures are written by this process alone, and then by the cluster, while a worker
   is killed (SIGKILL) and a node is removed. Every clip must come back once, and be equal, by its hash.
2. Items that sleep 50 ms: what an item costs beyond that. The limit is 5 ms and 2 %.
3. Items that do nothing: the memory of this process after a tenth of them and after all.

It ends with 1 if a limit is missed. Needs Ray (``pip install "jean[cluster]"``).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus_scale import write_clip

from jean.clips.clip import Clip, is_clip
from jean.cluster.base import Engine, Task
from jean.cluster.local import InProcess
from jean.cluster.ray_engine import RayEngine
from jean.progress import Silent

SLEEP_S = 0.05
LIMIT_S, LIMIT_FRACTION = 0.005, 0.02  # of the overhead per item
GROWTH_MB = 20.0  # of the driver's memory that counts as flat
NODES = (1, 2, 1)  # cores of the head, of the node that stays, and of the node that is removed


@dataclass(frozen=True)
class WriteClips:
    """Writes clips, and returns their hashes; leaves a file per worker and one per finished write."""

    folder: Path

    def start(self) -> Callable[[int], str]:
        """Nothing to load."""
        notes = notes_of(self.folder)
        notes.mkdir(exist_ok=True)
        (notes / f"worker-{os.getpid()}").touch()

        def write(number: int) -> str:
            folder = self.folder / f"{number:06d}"
            if not is_clip(folder):  # a lost worker may have finished it
                write_clip(folder, number)
                (notes / f"written-{number}-{os.getpid()}").touch()
            return Clip.open(folder, pictures=False).digest()

        return write


def notes_of(folder: Path) -> Path:
    """The folder in which workers note what they do."""
    return folder.with_name(folder.name + ".notes")


@dataclass(frozen=True)
class Sleep:
    """Sleeps."""

    seconds: float

    def start(self) -> Callable[[int], None]:
        """Nothing to load."""
        return self.handle

    def handle(self, number: int) -> None:
        """Sleeps once."""
        if self.seconds:
            time.sleep(self.seconds)


def all_of(engine: Engine, task: Task[Any, Any], items: list[Any]) -> list[Any]:
    """Outputs in the order of the items; every item must come back once and without an error."""
    outputs: dict[int, Any] = {}
    for done in engine.run(task, items, "work", Silent(), len(items)):
        if done.index in outputs or done.error is not None:
            raise RuntimeError(f"item {done.index} came back twice or failed: {done.error}")
        outputs[done.index] = done.output
    return [outputs[index] for index in range(len(items))]


def clips(cluster: Any, folder: Path, count: int) -> dict[str, Any]:
    """Part 1."""
    items = list(range(count))
    began = time.perf_counter()
    alone = all_of(InProcess(), WriteClips(folder / "alone"), items)
    alone_s = time.perf_counter() - began
    removed = cluster.add_node(num_cpus=NODES[2])
    cluster.wait_for_nodes()
    engine, notes = RayEngine(cluster.address), notes_of(folder / "cluster")
    facts: dict[str, Any] = {}

    def disturb() -> None:
        while len(list(notes.glob("written-*"))) < len(items) // 4:
            time.sleep(0.02)
        facts["killed_at"] = len(list(notes.glob("written-*")))
        os.kill(int(next(notes.glob("worker-*")).name.split("-")[1]), signal.SIGKILL)
        while len(list(notes.glob("written-*"))) < len(items) // 2:
            time.sleep(0.02)
        facts["removed_at"] = len(list(notes.glob("written-*")))
        cluster.remove_node(removed)

    notes.mkdir()
    disturber = threading.Thread(target=disturb)
    disturber.start()
    began = time.perf_counter()
    spread = all_of(engine, WriteClips(folder / "cluster"), items)
    spread_s = time.perf_counter() - began
    disturber.join()
    return {
        "clips": len(items),
        "workers": engine.count,
        "equal_hashes": sum(a == b for a, b in zip(alone, spread, strict=True)),
        "written": len(list(notes.glob("written-*"))),
        "alone_s": round(alone_s, 1),
        "cluster_s": round(spread_s, 1),
        **facts,
    }


def overhead(cluster: Any, count: int) -> dict[str, Any]:
    """Part 2: the time between the end of the first items, when all workers have started, and that of the last."""
    engine = RayEngine(cluster.address)
    first = 10 * engine.count
    ends = [
        time.perf_counter() for _ in engine.run(Sleep(SLEEP_S), range(first + count), "work", Silent(), first + count)
    ]
    per_item = (ends[-1] - ends[first - 1]) * engine.count / count - SLEEP_S
    return {
        "items": count,
        "workers": engine.count,
        "item_ms": 1000 * SLEEP_S,
        "overhead_ms": round(1000 * per_item, 2),
        "limit_ms": 1000 * (LIMIT_S + LIMIT_FRACTION * SLEEP_S),
    }


def memory(cluster: Any, count: int) -> dict[str, Any]:
    """Part 3."""
    engine = RayEngine(cluster.address)
    sizes: list[float] = []

    def numbers() -> Iterable[int]:
        yield from range(count)

    began, finished = time.perf_counter(), 0
    for _ in engine.run(Sleep(0.0), numbers(), "work", Silent()):
        finished += 1
        if finished % (count // 10) == 0:
            sizes.append(resident_mb())
    seconds = time.perf_counter() - began
    if finished != count:
        raise RuntimeError(f"{finished} of {count} items came back")
    return {
        "items": count,
        "seconds": round(seconds, 1),
        "ms_per_item": round(1000 * seconds / count, 3),
        "driver_mb": [round(size, 1) for size in sizes],
        "growth_mb": round(max(sizes) - sizes[0], 1),
    }


def resident_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    """Runs the parts and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--sleeps", type=int, default=300)
    parser.add_argument("--no-ops", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)])
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": NODES[0]})
    folder = Path(tempfile.mkdtemp(prefix="jean-scale-"))
    try:
        cluster.add_node(num_cpus=NODES[1])
        cluster.wait_for_nodes()
        parts = {
            "clips": lambda: clips(cluster, folder, options.clips),
            "overhead": lambda: overhead(cluster, options.sleeps),
            "memory": lambda: memory(cluster, options.no_ops),
        }
        facts: dict[str, Any] = {}
        for name, part in parts.items():
            facts[name] = part()
            print(f"{name}: {facts[name]}", file=sys.stderr, flush=True)
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(folder)
    facts["passed"] = (
        facts["clips"]["equal_hashes"] == facts["clips"]["clips"]
        and facts["overhead"]["overhead_ms"] <= facts["overhead"]["limit_ms"]
        and facts["memory"]["growth_mb"] <= GROWTH_MB
    )
    print(json.dumps(facts, indent=1) if options.json else f"passed: {facts['passed']}")
    return 0 if facts["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
