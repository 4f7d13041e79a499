"""The threads of the kernels: they sleep between calls, serve several callers, and end with the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from jean.kernels.ops import rays as ray_ops


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def rays(seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(3000, 8, *last, generator=generator) for last in ((), (3,), (), ())]


def test_several_callers_at_once_each_get_their_own_result():
    cases = [rays(seed) for seed in range(4)]
    expected = [ray_ops.composite(*case).channels for case in cases]

    def work(number: int) -> bool:
        torch.set_num_threads(3)
        return all(torch.equal(ray_ops.composite(*cases[number]).channels, expected[number]) for _ in range(100))

    with ThreadPoolExecutor(4) as callers:
        assert all(callers.map(work, range(4), timeout=120))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not list threads")
def test_threads_are_started_once_and_only_as_many_as_needed():
    case = rays()
    ray_ops.composite(*case)
    before = set(os.listdir("/proc/self/task"))
    for _ in range(50):
        ray_ops.composite(*case)
    assert set(os.listdir("/proc/self/task")) <= before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_starts_its_own_threads():
    case = rays()
    expected = ray_ops.composite(*case).channels  # from here on this process has helpers, a child has none
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that waits for threads that it does not have
        os._exit(0 if torch.equal(ray_ops.composite(*case).channels, expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_signals_reach_the_main_thread_and_the_process_ends():
    code = """
import os, signal, threading, time, torch
from jean.kernels.ops import rays as ray_ops
torch.set_num_threads(3)
ray_ops.composite(*(torch.rand(3000, 8, *last) for last in ((), (3,), (), ())))
signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))
began = time.monotonic()
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
signal.pause()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "told\n"
