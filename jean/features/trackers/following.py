"""Follows faces that are small in the frame: finds them once a second, and tracks them in square windows between.

A landmark tracker misses faces below a quarter of the frame's height, because it looks for faces in a small copy of
the whole frame. In a window of twice the size of the face, it sees the face as large as it expects it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from jean import landmarks as ibug
from jean.features.base import Face, moved
from jean.features.trackers.centerface import overlap
from jean.geometry import invert_pose, rotation_matrix
from jean.media.image import cut_square

SEARCH_S = 1.0  # time between two searches of the whole frame
LOST_SEARCH_S = 0.2  # the same while a face is missing
WINDOW_SIDES = 2.0  # side of a window, in sides of the face
WINDOW_PX = 512  # windows are scaled to this
# A window moves when the face is this far from its middle, or so much larger or smaller, as fractions of the window.
# A landmark tracker starts from the face in the last frame, so the window should rarely move.
MAX_SHIFT, MAX_GROWTH = 0.1, 1.25
SAME_FACE = 0.3  # overlap of boxes from which on they show the same face


class Landmarker(Protocol):
    """Tracks faces in successive images of one size."""

    def detect(self, image: np.ndarray, time_s: float) -> list[Face]:
        """The faces of the next image, RGB uint8 [H, W, 3]."""
        ...

    def close(self) -> None:
        """Releases the tracker."""
        ...


@dataclass(frozen=True)
class Window:
    """A square of the frame, whole px."""

    left_px: int
    top_px: int
    side_px: int

    @classmethod
    def around(cls, box: np.ndarray) -> Window:
        """The window around a face's box (left, top, right, bottom)."""
        side = max(8, round(WINDOW_SIDES * float(max(box[2] - box[0], box[3] - box[1]))))
        left, top = (float(x) - side / 2 for x in (box[:2] + box[2:]) / 2)
        return cls(round(left), round(top), side)

    @property
    def centre(self) -> np.ndarray:
        """Middle (x, y) of the window, px."""
        return np.array([self.left_px, self.top_px]) + self.side_px / 2

    def suits(self, other: Window) -> bool:
        """Whether this window may stay where ``other`` would be the exact one."""
        shift = np.abs(self.centre - other.centre).max() / self.side_px
        return bool(shift <= MAX_SHIFT) and 1 / MAX_GROWTH <= other.side_px / self.side_px <= MAX_GROWTH


class Follower:
    """Finds and follows faces through a video.

    Args:
        find: boxes [N, 4] of the faces in an image, the most probable first.
        open_landmarker: opens a tracker for the windows of one face.
        focal_of: focal length that the landmarker assumes for an image of (width, height), px.
        max_faces: faces that are followed at most.
    """

    def __init__(
        self,
        find: Callable[[np.ndarray], np.ndarray],
        open_landmarker: Callable[[], Landmarker],
        focal_of: Callable[[int, int], float],
        max_faces: int,
    ):
        self._find, self._open_landmarker, self._focal_of = find, open_landmarker, focal_of
        self._max_faces = max_faces
        self._targets: list[_Target] = []
        self._searched_s = -np.inf
        self._lost = False

    def faces(self, image: np.ndarray, time_s: float) -> list[Face]:
        """The faces of the next frame; positions in its px.

        Args:
            image: RGB uint8 [H, W, 3].
            time_s: time of the frame.
        """
        if time_s - self._searched_s >= (LOST_SEARCH_S if self._lost or not self._targets else SEARCH_S):
            self._search(image, time_s)
        found: list[Face] = []
        self._lost = False
        for target in self._targets:
            face = target.track(image, time_s, self._focal_of)
            if face is None:
                self._lost = True
            elif not any(overlap(_box(face), _box(other)) > SAME_FACE for other in found):
                found.append(face)
        return found

    def close(self) -> None:
        """Releases all trackers."""
        for target in self._targets:
            target.landmarker.close()
        self._targets = []

    def _search(self, image: np.ndarray, time_s: float) -> None:
        """Drops lost faces that are not found again, and adds new ones."""
        self._searched_s = time_s
        new = list(self._find(image))
        kept: list[_Target] = []
        for target in self._targets:
            matches = [n for n, box in enumerate(new) if overlap(box, target.box) > SAME_FACE]
            if target.lost and matches:
                target.box = new[matches[0]]
                target.window = Window.around(target.box)
            for n in reversed(matches):
                new.pop(n)
            if matches or not target.lost:
                kept.append(target)
            else:
                target.landmarker.close()
        new = new[: self._max_faces - len(kept)]
        self._targets = kept + [_Target(box, Window.around(box), self._open_landmarker()) for box in new]


@dataclass
class _Target:
    """One followed face."""

    box: np.ndarray  # (left, top, right, bottom) in the last frame that showed it, px
    window: Window
    landmarker: Landmarker
    lost: bool = False

    def track(self, image: np.ndarray, time_s: float, focal_of: Callable[[int, int], float]) -> Face | None:
        """The face in the next frame; None if it is not there."""
        window = self.window
        square = cut_square(image, window.left_px, window.top_px, window.side_px, WINDOW_PX)
        faces = [_to_frame(face, window, image.shape, focal_of) for face in self.landmarker.detect(square, time_s)]
        middle = (self.box[:2] + self.box[2:]) / 2
        reach = window.side_px / (2 * WINDOW_SIDES)  # half a face from one frame to the next
        near = [face for face in faces if np.linalg.norm(_middle(face) - middle) <= reach]
        self.lost = not near
        if self.lost:
            return None
        face = min(near, key=lambda face: float(np.linalg.norm(_middle(face) - middle)))
        self.box = _box(face)
        exact = Window.around(self.box)
        if not window.suits(exact):
            self.window = exact
        return face


def _box(face: Face) -> np.ndarray:
    """Box around all points of a face, as high as that of a detector: from the forehead to the chin."""
    return ibug.bounding_box(face.points)


def _middle(face: Face) -> np.ndarray:
    return _box(face).reshape(2, 2).mean(0)


def _to_frame(face: Face, window: Window, shape: tuple[int, ...], focal_of: Callable[[int, int], float]) -> Face:
    """A face of a window, in px of the frame of ``shape`` and with a pose for the camera assumed for the frame."""
    scale = window.side_px / WINDOW_PX
    pose = face.camera_to_world
    if pose is not None:
        height, width = shape[:2]
        focal_px = focal_of(width, height)
        offset = (window.centre - [width / 2, height / 2]) / focal_px
        pose = pose_in_frame(pose, focal_of(WINDOW_PX, WINDOW_PX) * scale, focal_px, offset)
    placed = moved(face, scale, np.array([window.left_px, window.top_px]))
    return replace(placed, camera_to_world=pose)


def pose_in_frame(pose: np.ndarray, window_focal_px: float, focal_px: float, offset: np.ndarray) -> np.ndarray:
    """Converts a pose seen in a window to the camera of the whole frame.

    The window's camera looks along its middle. Turning the frame's camera there gives a longer focal length along that
    ray, and the face keeps its size at a distance that is larger in the same proportion as the focal length.

    Args:
        pose: ``camera_to_world`` [4, 4] for the window's camera.
        window_focal_px: its focal length, px of the frame.
        focal_px: focal length of the frame's camera.
        offset: middle of the window from that of the frame, divided by ``focal_px``, [2].

    Returns:
        ``camera_to_world`` float64 [4, 4].
    """
    ray = np.array([*offset, 1.0])
    length = float(np.linalg.norm(ray))
    axis = np.cross([0.0, 0.0, 1.0], ray / length)
    sine = float(np.linalg.norm(axis))
    turn = rotation_matrix(axis * (np.arcsin(min(sine, 1.0)) / sine) if sine > 0 else np.zeros(3))
    view = invert_pose(np.asarray(pose, np.float64))
    view[2, 3] *= focal_px * length / window_focal_px
    view[:3] = turn @ view[:3]
    return invert_pose(view)
