"""How often the invisible mark survives: marked frames of real videos, encoded again, resized, cropped, brightened.

    python examples/benchmarks/watermark.py VIDEO... --size 256 --size 512 --json watermark.json

For every change: the share of marked frames in which the mark is found, at their own size and at the usual sizes. The
last row is the share of unmarked frames in which a mark is "found".
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

from jean.marks.watermark import embed, find
from jean.media import read_frames

Frames = list[np.ndarray]


def square(frame: np.ndarray, size: int) -> np.ndarray:
    """The middle of a frame as a square of ``size`` pixels."""
    side = min(frame.shape[:2])
    top, left = ((length - side) // 2 for length in frame.shape[:2])
    cut = frame[top : top + side, left : left + side]
    return np.asarray(cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA))


def encoded(frames: Frames, crf: int) -> Frames:
    """Frames after H.264 of a quality."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": str(crf)}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    return [frame.to_ndarray(format="rgb24") for frame in av.open(file).decode(video=0)]


def resized(frames: Frames, factor: float) -> Frames:
    """Frames of another size, encoded at quality 20."""
    size = round(frames[0].shape[0] * factor / 2) * 2
    return encoded([cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA) for frame in frames], 20)


CHANGES: dict[str, Callable[[Frames], Frames]] = {
    "none": lambda frames: frames,
    **{f"H.264, crf {crf}": lambda frames, crf=crf: encoded(frames, crf) for crf in (18, 23, 28, 33)},
    **{f"resized ×{factor}": lambda frames, factor=factor: resized(frames, factor) for factor in (0.5, 0.75, 1.5)},
    "cropped by 4 px": lambda frames: [frame[4:-4, 4:-4] for frame in frames],
    "cropped by 16 px": lambda frames: [frame[16:-16, 16:-16] for frame in frames],
    "mirrored": lambda frames: [frame[:, ::-1] for frame in frames],
    "brighter by 20": lambda frames: [np.clip(frame.astype(int) + 20, 0, 255).astype(np.uint8) for frame in frames],
}


def measure(videos: list[Path], size: int, count: int) -> dict[str, float]:
    """The share of frames in which the mark is found, by change."""
    rows: dict[str, list[bool]] = {name: [] for name in (*CHANGES, "not marked")}
    for video in videos:
        frames = [square(frame, size) for _, frame in islice(read_frames(video), 0, 12 * count, 12)]
        marked = [embed(frame) for frame in frames]
        for name, change in CHANGES.items():
            rows[name] += [find([frame]) for frame in change(marked)]
        rows["not marked"] += [find([frame]) for frame in frames]
    return {name: round(float(np.mean(found)), 3) for name, found in rows.items()}


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--size", type=int, action="append", help="side of the frames, px")
    parser.add_argument("--count", type=int, default=8, help="marked frames of each video")
    parser.add_argument("--json", type=Path, help="write the figures into this file")
    options = parser.parse_args()
    figures = {size: measure(options.videos, size, options.count) for size in options.size or [256]}
    for size, rows in figures.items():
        for name, share in rows.items():
            print(f"{size} px, {name:18} {share:6.1%}")
    if options.json:
        options.json.write_text(json.dumps({"found": figures, "frames": options.count * len(options.videos)}, indent=1))


if __name__ == "__main__":
    main()
