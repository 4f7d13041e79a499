"""A few moments of videos of unknown length, evenly spread, kept while it streams by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jean.files import atomic_path
from jean.metrics.base import Side
from jean.metrics.crops import resize

# Shown at about 150 px in the report; twice that for dense screens.
HEIGHT_PX = 288

Moment = tuple[float, dict[str, np.ndarray]]


class Thumbnails:
    """Keeps every 1st, 2nd, 4th, … pair of frames, so that never more than 2 ``count`` are held."""

    def __init__(self, count: int):
        self._count, self._stride, self._seen = count, 1, 0
        self._kept: list[Moment] = []

    def add(self, time_s: float, sides: Mapping[str, Side]) -> None:
        """Looks at one moment: the result and its partners, by role."""
        if self._seen % self._stride == 0:
            if len(self._kept) == 2 * self._count:
                self._kept, self._stride = self._kept[::2], 2 * self._stride
            if self._seen % self._stride == 0:
                self._kept.append((time_s, {role: _small(side.image) for role, side in sides.items()}))
        self._seen += 1

    def chosen(self) -> list[Moment]:
        """Up to ``count`` of (time in s, role → image), evenly spread."""
        if len(self._kept) <= self._count:
            return self._kept
        return [self._kept[i] for i in np.linspace(0, len(self._kept) - 1, self._count).round().astype(int)]

    def write(self, folder: Path) -> list[dict[str, float | str]]:
        """Writes PNGs into ``folder``; returns for each moment its time and the file names by role."""
        import cv2

        written: list[dict[str, float | str]] = []
        for number, (time_s, images) in enumerate(self.chosen()):
            entry: dict[str, float | str] = {"time_s": time_s}
            for side, image in images.items():
                path = folder / f"{number:02d}_{side}.png"
                _, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
                with atomic_path(path) as temporary:
                    temporary.write_bytes(data.tobytes())
                entry[side] = f"{folder.parent.name}/{folder.name}/{path.name}"
            written.append(entry)
        return written


def _small(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    if height <= HEIGHT_PX:
        return image.copy()
    return resize(image, max(1, round(width * HEIGHT_PX / height)), HEIGHT_PX)
