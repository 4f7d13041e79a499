"""The peak of memory does not grow with the length of the video."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from jean.media import write_wav
from tests.faults.server import Commands
from tests.helpers.fault_report import Tally
from tests.helpers.tiny_clip import make_clip, move_lips

pytestmark = [pytest.mark.timeout(7200), pytest.mark.slow, pytest.mark.fault(28)]
ALLOWED = 1.1
MINUTE = 25 * 60  # frames


def _peak_bytes(commands: Commands, *arguments: object) -> int:
    """Largest private memory of a command. Pages of mapped files are not counted: the system may drop them."""
    pid, peak, over = commands.start(*arguments), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        status = Path(f"/proc/{pid}/status")
        while not over.is_set():
            try:
                line = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
            except (OSError, StopIteration):
                return
            peak = max(peak, 1024 * int(line.split()[1]))
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    ended = commands.wait(pid)
    over.set()
    watcher.join()
    assert ended.code == 0, ended.err
    print(f"{arguments[0]}: {peak / 2**20:.0f} MiB")
    return peak


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Clips of 1 and 10 minutes, 24 pixels wide."""
    folder = tmp_path_factory.mktemp("long")
    return {n: move_lips(make_clip(folder / str(n), frames=n * MINUTE, size=24)) for n in (1, 10)}


def test_training_takes_no_more_memory_for_ten_minutes(commands, clips, tally: Tally, tmp_path) -> None:
    options = ("--steps", 30, "--set", "rays=256", "--set", "frames_per_step=4", "--device", "cpu")
    with tally.case("train-nerf, 1 and 10 minutes"):
        peaks = {n: _peak_bytes(commands, "train-nerf", clips[n], *options, "-o", tmp_path / str(n)) for n in clips}
        assert peaks[10] <= ALLOWED * peaks[1], f"{peaks[1] >> 20} and {peaks[10] >> 20} MiB"


def test_rendering_takes_no_more_memory_for_ten_minutes(commands, whole, tally: Tally, tmp_path) -> None:
    run, peaks = whole("fast")["folder"], {}
    with tally.case("render, 1 and 10 minutes"):
        for minutes in (1, 10):
            sound = tmp_path / f"{minutes}.wav"
            times = np.arange(16000 * 60 * minutes)
            write_wav(sound, (0.3 * np.sin(times / 10) * (times // 8000 % 2)).astype(np.float32), 16000)
            output = tmp_path / f"{minutes}.mp4"
            peaks[minutes] = _peak_bytes(commands, "render", run, "--audio", sound, "-o", output)
        assert peaks[10] <= ALLOWED * peaks[1], f"{peaks[1] >> 20} and {peaks[10] >> 20} MiB"
