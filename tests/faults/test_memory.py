"""The peak of memory does not grow with the length of the video."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from jean.features.trackers.truth_file import Truth, save_truth, truth_path
from jean.geometry import Camera, invert_pose, make_pose, project, rotation_matrix
from jean.media import open_writer, write_wav
from tests.faults.server import Commands
from tests.helpers.fault_report import Tally
from tests.helpers.tiny_clip import make_clip, move_lips
from tests.helpers.tiny_motion import face_shape

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


def _text(peaks: dict[int, int]) -> str:
    return ", ".join(f"{minutes} min: {peak >> 20} MiB" for minutes, peak in peaks.items())


def test_training_takes_no_more_memory_for_long_clips(commands, tally: Tally, tmp_path) -> None:
    options = ("--steps", 30, "--set", "rays=256", "--set", "frames_per_step=4", "--device", "cpu")
    peaks = {}
    for minutes in (1, 10, 60)[: tally.count(3, 2)]:
        clip = move_lips(make_clip(tmp_path / f"clip{minutes}", frames=minutes * MINUTE, size=24))
        with tally.case(f"train-nerf, {minutes} minutes"):
            peaks[minutes] = _peak_bytes(commands, "train-nerf", clip, *options, "-o", tmp_path / str(minutes))
            assert peaks[minutes] <= ALLOWED * peaks[1], _text(peaks)


def test_rendering_takes_no_more_memory_for_long_sounds(commands, whole, tally: Tally, tmp_path) -> None:
    """In full all frames are rendered, and of an hour a minute; the fast form renders a thousandth.

    The drivers are those of all frames either way.
    """
    run, peaks = whole("fast")["folder"], {}
    parts = {1: (), 10: (), 60: ("--shard", "1/60")} if tally.full else dict.fromkeys((1, 10), ("--shard", "1/1000"))
    for minutes, part in parts.items():
        sound = tmp_path / f"{minutes}.wav"
        write_wav(sound, _speech(minutes), 16000)
        with tally.case(f"render, {minutes} minutes"):
            output = tmp_path / f"{minutes}.mp4"
            peaks[minutes] = _peak_bytes(commands, "render", run, "--audio", sound, "-o", output, *part)
            assert peaks[minutes] <= ALLOWED * peaks[1], _text(peaks)


def test_preparing_takes_no_more_memory_for_long_videos(commands, tally: Tally, tmp_path) -> None:
    if not tally.full:
        tally.tried = 1
        pytest.skip("minutes of computing: make faults")
    peaks = {}
    for minutes in (1, 10, 60):
        video = _long_video(tmp_path / f"{minutes}.mp4", minutes)
        options = ("--tracker", "truth", "--tracks-only", "--size", 64, "-o", tmp_path / f"clip{minutes}")
        with tally.case(f"prepare, {minutes} minutes"):
            peaks[minutes] = _peak_bytes(commands, "prepare", video, *options)
            assert peaks[minutes] <= ALLOWED * peaks[1], _text(peaks)


def _speech(minutes: int) -> np.ndarray:
    """A tone with pauses, float32 [S] at 16 kHz."""
    times = np.arange(16000 * 60 * minutes)
    return (0.3 * np.sin(times / 10) * (times // 8000 % 2)).astype(np.float32)


def _long_video(path: Path, minutes: int, size: int = 64) -> Path:
    """A video of a turning face, with its ground truth beside it; the picture is grey."""
    frames, random = minutes * MINUTE, np.random.default_rng(0)
    times, camera = np.arange(frames) / 25, Camera(1.6 * size, (size / 2, size / 2), size, size)
    turn = np.stack([0.1 * np.sin(1.3 * times), 0.25 * np.sin(2 * times), 0.05 * np.sin(times)], 1)
    heads = make_pose(rotation_matrix(turn), np.stack([np.sin(times), 0 * times, 60 + 0 * times], 1))
    poses, shape = invert_pose(heads), face_shape()
    moved = shape + 0.05 * random.standard_normal((frames, 68, 3))
    points = project(moved, camera, poses).astype(np.float32)
    arrays = {
        "times_s": times,
        "landmarks": points,
        "irises": points[:, [36, 45]],
        "camera_to_world": poses,
        "expression": random.random((frames, 2), np.float32),
        "shape": shape.astype(np.float32),
    }
    meta = {"fps": 25.0, "size_px": size, "expression": {"names": ["brow", "jaw"], "upper": [True, False]}}
    camera_facts = {"focal_px": camera.focal_px, "center_px": list(camera.center_px)}
    save_truth(truth_path(path), Truth(arrays, meta | {"camera": camera_facts}))
    image = np.full((size, size, 3), 128, np.uint8)
    with open_writer(path, (size, size), 25.0, (_speech(minutes), 16000)) as writer:
        for _ in range(frames):
            writer.write(image)
    return path
