"""Thumbnails of a few evenly spaced moments of a video whose length is not known in advance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jean.files import atomic_path
from jean.metrics.base import TrackedFrame
from jean.metrics.crops import resize

# Moments per result; six images of about 150 px fill the width of the report.
MOMENTS = 6
# Twice the displayed height, for displays with a high pixel density.
HEIGHT_PX = 288

# (time in s, role → RGB uint8 [H, W, 3])
Moment = tuple[float, dict[str, np.ndarray]]


class Thumbnails:
    """Collects moments while a video is read.

    It stores every frame, then every 2nd, 4th, … frame, so that it never holds more than 2 · ``count`` moments.

    Args:
        count: number of moments to select.
    """

    def __init__(self, count: int = MOMENTS):
        self._count, self._stride, self._frame_count = count, 1, 0
        self._moments: list[Moment] = []

    def add(self, time_s: float, frames: Mapping[str, TrackedFrame]) -> None:
        """Adds the frames of the result and its partners at one time.

        Args:
            time_s: time since the start of the result.
            frames: role → frame.
        """
        if self._frame_count % self._stride == 0:
            if len(self._moments) == 2 * self._count:
                self._moments, self._stride = self._moments[::2], 2 * self._stride
            if self._frame_count % self._stride == 0:
                self._moments.append((time_s, {role: _thumbnail(frame.image) for role, frame in frames.items()}))
        self._frame_count += 1

    def selected(self) -> list[Moment]:
        """Up to ``count`` evenly spaced moments."""
        if len(self._moments) <= self._count:
            return self._moments
        indices = np.linspace(0, len(self._moments) - 1, self._count).round().astype(int)
        return [self._moments[index] for index in indices]

    def write(self, folder: Path) -> list[dict[str, float | str]]:
        """Writes the selected moments as PNG files into ``folder``.

        Returns:
            For each moment ``time_s``, and role → file name relative to the folder two levels up.
        """
        import cv2

        entries: list[dict[str, float | str]] = []
        for number, (time_s, images) in enumerate(self.selected()):
            entry: dict[str, float | str] = {"time_s": time_s}
            for role, image in images.items():
                path = folder / f"{number:02d}_{role}.png"
                _, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
                with atomic_path(path) as temporary:
                    temporary.write_bytes(data.tobytes())
                entry[role] = f"{folder.parent.name}/{folder.name}/{path.name}"
            entries.append(entry)
        return entries


def _thumbnail(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    if height <= HEIGHT_PX:
        return image.copy()
    return resize(image, max(1, round(width * HEIGHT_PX / height)), HEIGHT_PX)
