"""Selects one face per frame from a tracker's output and counts frames without a face or with several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import tee

import numpy as np

from jean.features.base import Face, FaceTracker
from jean.metrics.base import TrackedFrame

# (time in s, RGB uint8 [H, W, 3], matte uint8 [H, W, 2] or None)
Frame = tuple[float, np.ndarray, "np.ndarray | None"]


class TrackedVideo:
    """Iterates over the frames of one video together with the tracked face of each.

    With several faces in a frame, the largest one of the first such frame is followed: later, the face nearest to the
    last selected one.

    Args:
        frames: the frames in order.
        tracker: None if the video is not tracked; all faces are then None.

    Attributes:
        frame_count: frames read from the video so far.
        without_face: frames in which no face was found.
        with_several: frames with more than one face.
    """

    def __init__(self, frames: Iterable[Frame], tracker: FaceTracker | None):
        self.frame_count = self.without_face = self.with_several = 0
        self._tracker = tracker
        self._frames = self._counted(frames)
        self._last_face: Face | None = None

    def __iter__(self) -> Iterator[tuple[float, TrackedFrame]]:
        """Yields (time in s, frame) and tracks each frame as it is read."""
        if self._tracker is None:
            for time_s, image, matte in self._frames:
                yield time_s, TrackedFrame(image, None, matte)
            return
        frames, tracker_input = tee(self._frames)
        faces_per_frame = self._tracker.track((time_s, image) for time_s, image, _ in tracker_input)
        for (time_s, image, matte), faces in zip(frames, faces_per_frame, strict=True):
            self.without_face += not faces
            self.with_several += len(faces) > 1
            face = self._select(faces)
            self._last_face = face or self._last_face
            yield time_s, TrackedFrame(image, face, matte)

    def read_to_end(self) -> None:
        """Reads the remaining frames without tracking them, so that ``frame_count`` is the length of the video."""
        for _ in self._frames:
            pass

    def _counted(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self.frame_count += 1
            yield frame

    def _select(self, faces: list[Face]) -> Face | None:
        if not faces:
            return None
        if self._last_face is None:
            return max(faces, key=lambda face: float(np.prod(np.ptp(face.landmarks, axis=0))))
        centre = self._last_face.landmarks.mean(0)
        return min(faces, key=lambda face: float(np.linalg.norm(face.landmarks.mean(0) - centre)))
