"""How the speed of ``jean prepare`` grows with ``--workers``, on copies of given videos.

    python examples/benchmarks/prepare_workers.py VIDEO… [--copies 4 12] [--workers 1 2] [--rounds 2] [--json]

The rate of a number of workers is (more copies - fewer copies) / (their times' difference), so that the start of the
command is left out. A run with W workers may use W cores. Efficiency is the rate over W times that of one worker; the
goal is 0.9. The rounds take turns between the numbers of workers; the median is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOAL = 0.9


def seconds(videos: list[Path], copies: int, workers: int, folder: Path) -> float:
    """Time to prepare copies of the videos, with as many cores as workers."""
    shutil.rmtree(folder, ignore_errors=True)
    source = folder / "videos"
    source.mkdir(parents=True)
    names = []
    for number in range(copies):
        video = videos[number % len(videos)]
        names.append(source / f"{number:03d}{video.suffix}")
        shutil.copyfile(video, names[-1])
    command = [sys.executable, "-m", "jean_cli", "prepare", *names, "-o", folder / "clips", "--tracks-only"]
    command += ["--workers", str(workers), "--yes"]
    cores = sorted(os.sched_getaffinity(0))[:workers]
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    begun = time.perf_counter()
    subprocess.run(
        [str(word) for word in command],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    return time.perf_counter() - begun


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--copies", type=int, nargs=2, default=(4, 12), metavar=("FEWER", "MORE"))
    parser.add_argument("--workers", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    fewer, more = sorted(given.copies)
    rates: dict[int, list[float]] = {workers: [] for workers in given.workers}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(given.rounds):
            for workers in rates:
                short, long = (seconds(given.videos, n, workers, Path(name)) for n in (fewer, more))
                rates[workers].append((more - fewer) / (long - short))
    median = {workers: statistics.median(values) for workers, values in rates.items()}
    one = median[min(median)] / min(median)
    result = {
        str(workers): {"videos_per_s": rate, "efficiency": rate / (workers * one), "rounds": rates[workers]}
        for workers, rate in median.items()
    }
    if given.json:
        print(json.dumps({"goal": GOAL, "workers": result}))
        return
    for workers, row in result.items():
        print(f"{workers} workers: {row['videos_per_s']:.3f} videos/s, efficiency {row['efficiency']:.2f}")


if __name__ == "__main__":
    main()
