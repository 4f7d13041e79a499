"""The Python examples run as a user runs them, on a video of the synthetic speaker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jean.clips.clip import Clip
from jean.media import read_image
from jean.synthetic_speaker.speaker_video import write_speaker_video

ROOT = Path(__file__).resolve().parents[2]


def run_example(name: str, *arguments: str | Path) -> str:
    """What a script of ``examples/python`` prints."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "python" / name, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_pipeline_and_single_frames(tmp_path: Path) -> None:
    video = write_speaker_video(tmp_path / "speaker_happy", identity_seed=0, emotion="happy", seconds=1.5, size=96)
    speech = video.with_suffix(".wav")
    folder = tmp_path / "head"

    printed = run_example("pipeline.py", video, speech, folder, "--steps", "5", "--size", "64", "--tracker", "truth")
    assert "5 steps" in printed and "psnr_db" in printed
    frame_count = Clip.open(folder / "clip").frame_count
    assert f"{frame_count} frames, 25 per second" in printed
    for path in ("run/checkpoints", "result.mp4", "own.mp4", "report/metrics.json"):
        assert (folder / path).exists()

    strip = tmp_path / "strip.png"
    printed = run_example("frames.py", folder / "run", speech, strip, "--pose", "still", "--count", "3")
    assert f"of {frame_count}" in printed
    assert read_image(strip).shape == (64, 3 * 64, 3)
