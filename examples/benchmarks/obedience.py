"""Measures whether a trained head opens its lips as far as it is asked to.

    python examples/benchmarks/obedience.py RUN CLIP [--frames 40] [-o PNG] [--json]

CLIP is the clip that the head was trained on. The head is asked for the opening and width of the clip's own lips, and
for openings 20 % further from rest, at one pose and expression; with and without the correction of lip_response.json.
The lips are tracked in the rendered frames, and in the clip's frames at the same size: the slope of rendered on real
values should be 0.9 to 1.1. With -o, a row of mouths from closed to 20 % beyond the person's range is written.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from driven import track

from jean.clips.clip import Clip
from jean.drivers.lip_response import LipResponse
from jean.drivers.lip_style import clip_lips
from jean.lips.parameters import OPENING, WIDTH, measured_lips
from jean.media import RATE_HZ, write_png, write_wav
from jean.models.frame import render_frame
from jean.progress import Silent
from jean.rendering.head import LoadedHead, load_head
from jean.rendering.lips import lip_style

FURTHER = 1.2  # factor on the distance from closed lips in the second test
SHOWN = 9


def figures(asked: np.ndarray, rendered: np.ndarray) -> dict[str, float]:
    """Slope, correlation, mean difference and root mean square difference of rendered and asked values [T].

    >>> figures(np.array([0.0, 1.0, 2.0]), np.array([0.5, 1.0, 1.5]))
    {'slope': 0.5, 'r': 1.0, 'bias_cm': 0.0, 'rms_cm': 0.408}
    """
    seen = np.isfinite(asked) & np.isfinite(rendered)
    asked, rendered = asked[seen], rendered[seen]
    values = {
        "slope": np.polyfit(asked, rendered, 1)[0],
        "r": np.corrcoef(asked, rendered)[0, 1],
        "bias_cm": (rendered - asked).mean(),
        "rms_cm": np.sqrt(np.square(rendered - asked).mean()),
    }
    return {name: round(float(value), 3) + 0.0 for name, value in values.items()}


def tracked_lips(images: Sequence[np.ndarray], fps: float) -> np.ndarray:
    """Opening and width [T, 2] in images, cm; NaN without a face."""
    faces = track(images, fps)
    return measured_lips(np.stack([np.full((68, 2), np.nan) if f is None else f.landmarks[:, :2] for f in faces]))


class Mouth:
    """A head whose lips are set directly, at a still pose."""

    def __init__(self, head: LoadedHead):
        self.head = head
        self.style, self.support = lip_style(head.person, head.model, head.checkpoint)
        with tempfile.TemporaryDirectory() as folder:
            sound = Path(folder) / "silence.wav"
            write_wav(sound, np.zeros(RATE_HZ, np.float32), RATE_HZ)
            drive = head.drive(sound, pose="still", lips="own")
        self.frame, self.background = drive.frame(0), head.backgrounds(drive, "source").at(0)

    def images(self, lips: np.ndarray) -> list[np.ndarray]:
        """Frames with opening and width [T, 2], cm."""
        parts = (self.support.limit(self.style.coordinates(values))[0] for values in (self.style.seen(lips), lips))
        tensors = [torch.from_numpy(part).float().to(self.head.model.device).unbind(0) for part in parts]
        frames = (
            replace(self.frame, audio=None, lips=a[None], lip_motion=b[None]) for a, b in zip(*tensors, strict=True)
        )
        return [render_frame(self.head.model, frame, self.background).rgb for frame in frames]


def obedience(head: LoadedHead, clip: Clip, count: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Figures by test and correction; and the frames of the row of mouths."""
    mouth, response = Mouth(head), LipResponse.read(head.checkpoint)
    rows = np.linspace(0, clip.frame_count - 1, min(count, clip.frame_count)).round().astype(int)
    lips = clip_lips(clip)[rows]
    rows, lips = rows[np.isfinite(lips).all(1)], lips[np.isfinite(lips).all(1)]
    real = tracked_lips([clip.frames[row] for row in rows], clip.fps)
    lines = [np.polyfit(lips[:, k], real[:, k], 1) for k in (OPENING, WIDTH)]  # the tracker's unit, at this size
    low, high = mouth.style.quantiles[OPENING, [0, -1]]
    further = lips.copy()
    further[:, OPENING] = low + FURTHER * (lips[:, OPENING] - low)
    result: dict[str, Any] = {"response": response is not None}
    for name, wanted in (("own", lips), ("further", further)):
        for correction in (None, response) if response is not None else (None,):
            made = tracked_lips(mouth.images(wanted if correction is None else correction.ask_for(wanted)), head.fps)
            result[name if correction is None else f"{name}_corrected"] = {
                label: figures(np.polyval(lines[k], wanted[:, k]), made[:, k])
                for label, k in (("opening", OPENING), ("width", WIDTH))
            }
    row = np.full((SHOWN, 2), mouth.style.quantiles[WIDTH, 3])
    row[:, OPENING] = np.linspace(low, low + FURTHER * (high - low), SHOWN)
    return result, mouth.images(row if response is None else response.ask_for(row))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures of one head."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=40, help="frames of the clip (default 40)")
    parser.add_argument("-o", "--output", type=Path, help="PNG file of mouths from closed to wide open")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    head, clip = load_head(options.run, progress=Silent()), Clip.open(options.clip)
    result, shown = obedience(head, clip, options.frames)
    if options.output is not None:
        face = next(face for face in track(shown, head.fps) if face is not None)
        middle, reach = face.landmarks[48:68].mean(0).astype(int), int(0.9 * np.ptp(face.landmarks[48:68, 0]))
        top, left = np.maximum(middle[::-1] - reach, 0)
        write_png(options.output, np.concatenate([f[top : top + 2 * reach, left : left + 2 * reach] for f in shown], 1))
    if options.json:
        print(json.dumps(result))
        return
    for name, values in result.items():
        print(f"{name}: {values}")


if __name__ == "__main__":
    main()
