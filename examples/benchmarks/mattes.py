"""Measures the mattes of prepared clips without a reference.

    python examples/benchmarks/mattes.py CLIP [CLIP ...] [--frames 60] [--json]

Holes and jumps are those of ``jean prepare``. The lowest eighth of a frame shows neck and clothes: the person's share
of it is nearly constant in a good matte, and the head's share is hanging hair only. Look at the mattes, too:
``jean prepare --preview``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from jean.clips.clip import Clip
from jean.preparation.matte_quality import MatteQuality


def figures(clip: Clip, frames: int) -> dict[str, float | str]:
    """The figures of one clip; the lowest rows come from ``frames`` evenly spaced frames."""
    quality = MatteQuality()
    for matte, points in zip(clip.matte, clip.arrays["landmarks"], strict=True):
        quality.add(np.asarray(matte), points)
    chosen = np.unique(np.linspace(0, clip.frame_count - 1, frames).round().astype(int))
    low = np.stack([np.asarray(clip.matte[t][-clip.size_px // 8 :]) for t in chosen]) / 255.0
    person = low.sum(-1).mean((1, 2))
    return {
        "clip": clip.folder.name,
        "matting": f"{clip.meta.matting.name} {clip.meta.matting.version}" if clip.meta.matting else "unknown",
        **quality.facts().to_json(),
        "low_person": round(float(person.mean()), 3),
        "low_person_std": round(float(person.std()), 3),
        "low_head": round(float(low[..., 0].sum() / max(low.sum(), 1e-6)), 3),
    }


def main() -> None:
    """Prints one line, or one JSON document, per call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [figures(Clip.open(folder), options.frames) for folder in options.clips]
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
