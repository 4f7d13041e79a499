"""Times rasterised Gaussians: pictures and training steps by the compiled kernels and by readable torch, in turn.

    python examples/benchmarks/splat_speed.py [--rounds 5] [--threads 2] [--targets avx512 avx2] [--json]

The Gaussians fill an ellipse of three quarters of the picture, as a head does: 20,000 at 256×256 and 60,000 at 512×512,
with standard deviations around 1.5 px. A step is the forward and the backward pass of a whole picture with gradients of
every input. Torch computes one round, since a round takes it seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from jean.kernels import library, reference_splat
from jean.kernels.ops.splat import splat
from jean.kernels.reference_splat import SeenGaussians

CASES = {"256": (20_000, 256), "512": (60_000, 512)}
DISTANCE_CM, SPREAD_CM = 60.0, 10.0
FOCAL = 2.8  # sides of the picture
SIGMA_PX = 1.5


def head_of_gaussians(count: int, size: int) -> list[Tensor]:
    """The values of ``SeenGaussians``: an upright ellipse of Gaussians at random depths."""
    generator = torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    focal = FOCAL * size
    depth = DISTANCE_CM + SPREAD_CM * (uniform(count) - 0.5)
    radius, angle = 0.38 * size * uniform(count).sqrt(), 2 * math.pi * uniform(count)
    across, down = radius * angle.cos() * depth / focal, 1.15 * radius * angle.sin() * depth / focal
    centres = torch.stack([across, down, depth - DISTANCE_CM], 1)
    scales = SIGMA_PX * DISTANCE_CM / focal * (0.5 + uniform(count, 3))
    rotations = torch.randn(count, 4, generator=generator)
    pose = torch.eye(3, 4)
    pose[2, 3] = DISTANCE_CM
    lens = torch.tensor([focal, size / 2, size / 2])
    return [centres, scales, rotations, 0.3 + 0.65 * uniform(count), uniform(count, 3), pose, lens]


@torch.no_grad()
def picture(function: Callable, case: list[Tensor], window: tuple[int, int, int, int], **options: str) -> None:
    """The forward pass of a picture alone."""
    function(SeenGaussians(*case), window, **options)


def step(function: Callable, case: list[Tensor], window: tuple[int, int, int, int], **options: str) -> None:
    """The forward and the backward pass of a picture."""
    inputs = [tensor.requires_grad_() for tensor in case]
    out = function(SeenGaussians(*inputs), window, **options)
    torch.autograd.grad(out.colour.sum() + out.opacity.sum(), inputs)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU milliseconds of a call."""
    began, busy = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - began), 1e3 * (time.process_time() - busy)


def figures(taken: list[tuple[float, float]]) -> dict[str, float]:
    """The best and the median wall time, and the best CPU time, ms."""
    wall, cpu = zip(*taken, strict=True)
    return {
        "best_ms": round(min(wall), 2),
        "median_ms": round(statistics.median(wall), 2),
        "best_cpu_ms": round(min(cpu), 2),
    }


def measure(count: int, size: int, targets: list[str], rounds: int) -> dict[str, object]:
    """Pictures and steps of one case, by every instruction set and by torch."""
    case, window = head_of_gaussians(count, size), (0, 0, size, size)
    works: dict[str, Callable[[], object]] = {}
    for name in targets:
        works[f"picture_{name}"] = lambda name=name: picture(splat, case, window, target=name)
        works[f"step_{name}"] = lambda name=name: step(splat, case, window, target=name)
    taken: dict[str, list[tuple[float, float]]] = {kind: [] for kind in works}
    for _ in range(rounds + 1):
        for kind, work in works.items():
            taken[kind].append(timed(work))
    slow = {
        "picture": timed(lambda: picture(reference_splat.splat, case, window)),
        "step": timed(lambda: step(reference_splat.splat, case, window)),
    }
    ratios = {kind: times[1] / min(cpu for _, cpu in taken[f"{kind}_{targets[0]}"][1:]) for kind, times in slow.items()}
    return {
        "gaussians": count,
        **{kind: figures(times[1:]) for kind, times in taken.items()},  # the first round warms up
        **{f"{kind}_torch": figures([times]) for kind, times in slow.items()},
        "ratio_cpu": {kind: round(ratio, 1) for kind, ratio in ratios.items()},
    }


def main() -> None:
    """Runs all measurements and prints them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--targets", nargs="+", default=library.targets())
    parser.add_argument("--json", action="store_true", help="on one line")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result: dict[str, object] = {"threads": options.threads, "sigma_px": SIGMA_PX}
    for name, (count, size) in CASES.items():
        result[name] = measure(count, size, options.targets, options.rounds)
    print(json.dumps(result, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
