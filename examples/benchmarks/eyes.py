"""Asks a trained head for gazes and closed lids, and measures what the rendered eyes do.

    python examples/benchmarks/eyes.py RUN CLIP --blinks CLIP --sound FILE [--frames 4] [-o FILE.png] [--json]

CLIP is the clip that the head was trained on. Gaze is swept over the middle 96 % of the person's own, across and
down, while pose and expression stand still. The rendered frames are tracked, and the slope of the rendered on the
asked gaze is reported with its correlation. Then the blinks of another clip are asked for: where it closes its lids,
they count as closed below 40 % of the opening that the head has without blinks. Last, what changes in the picture
below the nose. With -o a sheet of the sweep and of closed lids is written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from driven import track

from jean.clips.clip import Clip
from jean.drivers.eyes import CLOSURE, GAZE, EyeRest, MeasuredEyes, measure_eyes, measured_from
from jean.geometry import project
from jean.landmarks import NOSE
from jean.media import write_png
from jean.models.frame import render_frame
from jean.progress import Silent
from jean.rendering.drive import Drive
from jean.rendering.head import LoadedHead, load_head

STEPS = 7  # gazes along each axis
CLOSED = 0.4  # of the opening
ASKED = 0.95  # of the largest closure in training: from there on closed lids are asked for
VISIBLE = 1  # of 255: differences up to it are rounding


def spread(count: int, frames: int) -> np.ndarray:
    """``frames`` evenly spaced numbers below ``count``."""
    return np.linspace(0, count - 1, frames).round().astype(int)


def rendered(head: LoadedHead, drive: Drive, chosen: np.ndarray) -> list[np.ndarray]:
    """Frames ``chosen`` of a drive over the person's background."""
    backgrounds = head.backgrounds(drive, "source")
    return [render_frame(head.model, drive.frame(int(t)), backgrounds.at(int(t))).rgb for t in chosen]


def measured(
    head: LoadedHead, clip: Clip, drive: Drive, images: Sequence[np.ndarray], chosen: np.ndarray
) -> MeasuredEyes:
    """Eyes of rendered frames, tracked as those of a clip are, with the poses that were rendered."""
    faces = track(images, head.fps)
    landmarks = np.stack([np.full((68, 2), np.nan) if face is None else face.landmarks for face in faces])
    irises = np.stack([np.full((2, 2), np.nan) if face is None else face.irises for face in faces])
    poses = drive.tracks.camera_to_world[chosen].double().cpu().numpy()
    return measured_from(clip.arrays["shape"], landmarks, irises, poses, head.person.camera)


def line(asked: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    """Slope and correlation of the seen values on the asked ones."""
    known = np.isfinite(seen)
    slope = np.polyfit(asked[known], seen[known], 1)[0]
    correlation = np.corrcoef(asked[known], seen[known])[0, 1]
    return {"slope": round(float(slope), 3), "r": round(float(correlation), 3), "frames": int(known.sum())}


def below_nose(clip: Clip, drive: Drive, head: LoadedHead) -> int:
    """First row of the rendered picture below the nose of the first frame."""
    nose = project(clip.arrays["shape"][NOSE].astype(float), head.person.camera, _pose(drive))
    return int(np.ceil(nose[:, 1].max()))


def _pose(drive: Drive) -> np.ndarray:
    return drive.tracks.camera_to_world[0].double().cpu().numpy()


def gaze_figures(head: LoadedHead, clip: Clip, sound: Path, frames: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Slopes of the rendered on the asked gaze, what changes below the nose, and the first frame of each gaze."""
    assert head.person.eyes is not None
    own = head.person.eyes.values[:, GAZE]
    rest = EyeRest.fit([measure_eyes(clip)])
    low, high = np.quantile(own, [0.02, 0.98], axis=0)
    result: dict[str, Any] = {"range_deg": np.round([low, high], 1).tolist()}
    pictures: list[np.ndarray] = []
    for axis, name in ((0, "across"), (1, "down")):
        images: list[np.ndarray] = []
        asked = np.repeat(np.linspace(low[axis], high[axis], STEPS), frames)
        for value in asked[::frames]:
            gaze = np.median(own, axis=0)
            gaze[axis] = value
            drive = head.drive(sound, gaze=f"{gaze[0]:.2f},{gaze[1]:.2f}", pose="still", blink="off")
            chosen = spread(len(drive), frames)
            images += rendered(head, drive, chosen)
        pictures += [np.stack(images[k : k + frames]) for k in range(0, len(images), frames)]
        # one sequence: where a tracker begins, its first frame is off by a degree or two
        seen = measured(head, clip, drive, images, np.tile(chosen, STEPS)).gaze_deg - rest.zero_deg
        result[name] = line(asked, seen[:, axis])
    lower = np.stack(pictures).astype(int)[:, :, below_nose(clip, drive, head) :]
    changed = np.abs(lower - lower[:1]).max(-1)
    result["below_nose"] = {
        "largest_change": int(changed.max()),
        "changed_pixels": round(float((changed > VISIBLE).mean()), 6),
    }
    return result, [images[0] for images in pictures]


def lid_figures(
    head: LoadedHead, clip: Clip, sound: Path, blinks: Path, frames: int
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """How many of the asked closures close the lids, and the frames in which they are asked for."""
    assert head.person.eyes is not None
    closed = head.person.eyes.closed
    drive = head.drive(sound, pose="still", blink="off")
    chosen = spread(len(drive), 3 * frames)
    opened = rendered(head, drive, chosen)
    open_cm = np.nanmedian(measured(head, clip, drive, opened, chosen).opening_cm, 0)
    drive = head.drive(sound, pose="still", blink=str(blinks))
    assert drive.tracks.eyes is not None
    asked = np.flatnonzero((drive.tracks.eyes[:, CLOSURE].cpu().numpy() >= ASKED * closed).all(1))[: 3 * frames]
    result = {"largest_closure_in_training": np.round(closed, 2).tolist(), "asked": 2 * len(asked)}
    shut = rendered(head, drive, asked)
    if shut:
        opening = measured(head, clip, drive, shut, asked).opening_cm / open_cm
        result |= {
            "closed": round(float((opening < CLOSED).mean()), 3),
            "opening": round(float(np.nanmedian(opening)), 3),
        }
    return result, [opened[0], *shut]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures of one head."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--blinks", type=Path, required=True, help="a prepared clip whose blinks are asked for")
    parser.add_argument("--sound", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=4, help="frames per gaze")
    parser.add_argument("-o", "--output", type=Path, help="sheet of pictures")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    head, clip = load_head(options.run, progress=Silent()), Clip.open(options.clip)
    if head.person.eyes is None:
        raise SystemExit(f"{options.run} was trained without gaze and lids as inputs.")
    result, swept = gaze_figures(head, clip, options.sound, options.frames)
    result["lids"], lids = lid_figures(head, clip, options.sound, options.blinks, options.frames)
    if options.output is not None:
        rows = [*swept, *lids[:STEPS]]
        rows += [np.zeros_like(rows[0])] * (-len(rows) % STEPS)
        sheet = [np.concatenate(rows[k : k + STEPS], 1) for k in range(0, len(rows), STEPS)]
        write_png(options.output, np.concatenate(sheet))
    print(json.dumps(result) if options.json else result)


if __name__ == "__main__":
    main()
