"""Single frames of a head as arrays, without writing a video.

python examples/python/frames.py RUN SPEECH OUT.png [--expression happy] [--pose still] [--count 5]

Writes a row of evenly spaced frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import jean
from jean.media import write_png


def main() -> None:
    """Loads a head, drives it and writes some of its frames."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("speech", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--expression")
    parser.add_argument("--pose")
    parser.add_argument("--count", type=int, default=5)
    options = parser.parse_args()

    head = jean.load_head(options.run)
    drive = head.drive(audio=options.speech, expression=options.expression, pose=options.pose)
    indices = np.linspace(0, len(drive) - 1, options.count).round().astype(int)
    frames = [head.frame(drive, int(index)) for index in indices]  # uint8 [H, W, 3], RGB
    write_png(options.output, np.concatenate(frames, axis=1))
    print(f"{options.output}: frames {', '.join(map(str, indices))} of {len(drive)}")


if __name__ == "__main__":
    main()
