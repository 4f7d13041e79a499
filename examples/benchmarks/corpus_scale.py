"""How train-audio scales with the number of clips: reading, memory, time of a step, space of a clip.

The clips hold what ``jean prepare --tracks-only`` writes, with smooth random tracks instead of a person, so that
thousands are made in a minute. Each number of clips is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jean.clips.audio_track import AudioTrack
from jean.clips.clip import Clip, is_clip
from jean.clips.corpus import CorpusClip, find_clips
from jean.clips.meta import AUDIO_FILE
from jean.clips.writer import ClipWriter, audio_spec
from jean.drivers.face_frames import FaceFrames, load_frames
from jean.features.audio.logmel import LogMel
from jean.models.landmark_autoencoder import LandmarkAutoencoder
from jean.train.audio.config import AudioConfig
from jean.train.audio.negatives import negative_mask, sample_negatives
from jean.train.audio.stage import AudioStage

FPS, FRAMES = 25.0, 100  # 4 s, the usual length of MEAD's sentences
NAMES = ["browInnerUp", "jawOpen"]


def write_clip(folder: Path, seed: int) -> None:
    """Writes one clip of smooth random tracks and noise as speech."""
    random = np.random.default_rng(seed)
    times = np.arange(FRAMES) / FPS
    base = random.normal(size=(68, 2)) * 40 + 128
    sway = np.sin(2 * np.pi * random.uniform(0.5, 3, (1, 68, 2)) * times[:, None, None])
    pose = np.tile(np.eye(4), (FRAMES, 1, 1))
    pose[:, 2, 3] = -45.0
    writer = ClipWriter(folder)
    writer.arrays(
        {
            "times_s": times,
            "valid": np.ones(FRAMES, bool),
            "landmarks": (base + 3 * sway).astype(np.float32),
            "irises": np.full((FRAMES, 2, 2), np.nan, np.float32),
            "camera_to_world": pose,
            "tracker_camera_to_world": pose,
            "shape": random.normal(size=(68, 3)).astype(np.float32) * 5,
            "expression": random.random((FRAMES, 2)).astype(np.float32),
        }
    )
    writer.sound(0.1 * random.standard_normal(round(FRAMES / FPS * 16000)).astype(np.float32))
    rows = random.random((2 * FRAMES + 1, LogMel.width)).astype(np.float32)
    writer.audio_features({"logmel": AudioTrack.of_rows(rows, FRAMES, FPS, LogMel.rate_hz, LogMel.window)})
    writer.finish(
        pictures=False,
        frames=FRAMES,
        size_px=256,
        fps=FPS,
        camera={"focal_px": 400.0, "center_px": [128.0, 128.0]},
        tracker={"name": "truth", "version": "1"},
        expression={"name": "truth", "version": "1", "names": NAMES, "upper": [True, False]},
        audio={"logmel": audio_spec(LogMel)},
    )


def write_corpus(folder: Path, clips: int, people: int, seconds: float) -> int:
    """Writes clips that do not exist yet, for at most some seconds; returns how many exist."""
    started = time.monotonic()
    for number in range(clips):
        path = folder / f"p{number * people // clips:02d}" / f"c{number:05d}"
        if is_clip(path):
            continue
        if time.monotonic() - started > seconds:
            return number
        write_clip(path, number)
    return clips


def measure(folder: Path, clips: int, steps: int) -> dict[str, Any]:
    """Reads ``clips`` clips as train-audio does, and takes training steps of the preset paper."""
    found = find_clips([folder])
    chosen = found[:: max(1, len(found) // clips)][:clips]
    started = time.process_time()
    frames = load_frames(chosen, "head", sound=True, scratch=folder)
    read_s = time.process_time() - started
    anonymous = {"after reading": memory_mb("RssAnon")}
    torch.manual_seed(0)
    stage = AudioStage(frames, frames, LandmarkAutoencoder(), AudioConfig(device="cpu"), torch.device("cpu"))
    durations = []
    for step in range(steps):
        started = time.process_time()
        stage.step(step)
        durations.append(time.process_time() - started)
    anonymous["after training steps"] = memory_mb("RssAnon")
    assert frames.audio is not None
    return {
        "clips": len(chosen),
        "frames": len(frames),
        "read_cpu_ms_per_clip": round(1000 * read_s / len(chosen), 2),
        "step_cpu_ms_median": round(1000 * float(np.median(durations[3:])), 1),
        "step_cpu_ms_best": round(1000 * float(np.min(durations)), 1),
        "anonymous_memory_mb": anonymous,
        "windows_mb": round(4 * float(np.prod(frames.audio.shape)) / 1e6, 1),
        "rows_mb": round(frames.audio.rows.nbytes / 1e6, 1),
    }


def negatives_ms(clips: int, people: int = 48) -> float:
    """Milliseconds to draw the negatives of a batch of 256 from an index of so many clips, best of 5."""
    names = [CorpusClip(Path(f"c{i}"), f"c{i}", f"p{i * people // clips:02d}") for i in range(clips)]
    every = np.arange(clips)
    points = np.zeros((2 * clips, 51, 2), np.float32)
    counts = np.full(clips, 2)
    index = FaceFrames(points, np.repeat(every, 2), np.tile([0, 1], clips), 2 * every, counts, tuple(names), FPS, {})
    random, best = np.random.default_rng(0), np.inf
    for _ in range(5):
        anchors = random.integers(0, 2 * clips, 256)
        started = time.perf_counter()
        sample_negatives(index, anchors, 1, False, random)
        negative_mask(index, anchors)
        best = min(best, time.perf_counter() - started)
    return round(1000 * best, 2)


def memory_mb(field: str) -> float:
    """A field of the process's memory, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1000, 1)


def main() -> None:
    """Writes the corpus, measures each number of clips, and prints a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the corpus")
    parser.add_argument("--clips", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--people", type=int, default=48)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1e9, help="time for writing; run again to go on")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.output, options.measure, options.steps)))
        return
    count = write_corpus(options.output, max(options.clips), options.people, options.seconds)
    if count < max(options.clips):
        print(f"{count} of {max(options.clips)} clips are written; run it again.", file=sys.stderr)
        return
    results = []
    for clips in options.clips:
        command = [sys.executable, __file__, "-o", options.output, "--measure", clips, "--steps", options.steps]
        done = subprocess.run([*map(str, command)], check=True, capture_output=True, text=True)
        results.append(json.loads(done.stdout))
    folder = next(clip.folder for clip in find_clips([options.output]))
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    windows = FRAMES * LogMel.window * LogMel.width * 4
    before = sum(sizes.values()) - sizes[AUDIO_FILE] + windows
    document = {
        "measured": results,
        "negatives_ms": {str(clips): negatives_ms(clips) for clips in (300, 3000, 30_000)},
        "clip_bytes": sum(sizes.values()),
        "clip_bytes_format_1": before,
        "audio_bytes": sizes[AUDIO_FILE],
        "format": Clip.open(folder, pictures=False).meta.format,
    }
    if options.json:
        print(json.dumps(document, indent=1))
        return
    for row in results:
        print(", ".join(f"{name}: {value}" for name, value in row.items()))
    print(", ".join(f"{name}: {value}" for name, value in document.items() if name != "measured"))


if __name__ == "__main__":
    main()
