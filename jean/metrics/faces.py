"""One face a frame out of a tracker's answer, and which frames had none or several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import tee

import numpy as np

from jean.features.base import Face, FaceTracker
from jean.metrics.base import Side

Frame = tuple[float, np.ndarray, "np.ndarray | None"]


class TrackedVideo:
    """Frames of one video with the face in each; counts what a reader must know.

    Attributes:
        read: frames taken from the video so far.
        without_face: frames in which no face was found.
        with_several: frames with more than one face; the one nearest to the last frame's counts,
            the largest at first.
    """

    def __init__(self, frames: Iterable[Frame], tracker: FaceTracker | None):
        self.read = self.without_face = self.with_several = 0
        self._tracker = tracker
        self._frames = self._counted(frames)
        self._last: Face | None = None

    def __iter__(self) -> Iterator[tuple[float, Side]]:
        """Yields (time in s, side) for each frame, tracked as it comes."""
        if self._tracker is None:
            for time_s, image, matte in self._frames:
                yield time_s, Side(image, None, matte)
            return
        shown, tracked = tee(self._frames)
        answers = self._tracker.track((time_s, image) for time_s, image, _ in tracked)
        for (time_s, image, matte), faces in zip(shown, answers, strict=True):
            self.without_face += not faces
            self.with_several += len(faces) > 1
            face = self._choose(faces)
            self._last = face or self._last
            yield time_s, Side(image, face, matte)

    def count_rest(self) -> None:
        """Reads the frames that are left, without tracking them, so that ``read`` is all there are."""
        for _ in self._frames:
            pass

    def _counted(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self.read += 1
            yield frame

    def _choose(self, faces: list[Face]) -> Face | None:
        if not faces:
            return None
        if self._last is None:
            return max(faces, key=lambda face: float(np.prod(np.ptp(face.landmarks, axis=0))))
        centre = self._last.landmarks.mean(0)
        return min(faces, key=lambda face: float(np.linalg.norm(face.landmarks.mean(0) - centre)))
