"""Files with every tracked face of a video: written frame by frame, memory-mapped for reading.

``faces.f32`` has a row of float32 per face, ``index.i32`` the (frame, person) of each face, ``times.f64`` the
time of each frame. Memory does not grow with the length of the video.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jean import landmarks as ibug
from jean.features.base import Face, FaceTracker
from jean.media.image import shrink_to
from jean.preparation.tracking.identity import Identities

FACES, INDEX, TIMES = "faces.f32", "index.i32", "times.f64"
# Larger frames are shrunk by a whole factor for tracking: trackers resize a face to 256 px or less anyway
TRACK_SIDE_PX = 1920


@dataclass(frozen=True)
class Tracks:
    """The tracked faces of a video, memory-mapped.

    Attributes:
        times_s: float64 [T], time of each frame.
        frame: int32 [N], frame of each face, not decreasing.
        person: int32 [N], person of each face.
        rows: float32 [N, R], one row per face.
        columns: name → (slice of a row, shape of the value).
        width_px: width of the upright video; all positions are in its pixels.
        height_px: its height.
    """

    times_s: np.ndarray
    frame: np.ndarray
    person: np.ndarray
    rows: np.ndarray
    columns: dict[str, tuple[slice, tuple[int, ...]]]
    width_px: int
    height_px: int

    @classmethod
    def open(cls, folder: Path, info: dict[str, Any]) -> Tracks:
        """Opens the files of ``write_tracks``; ``info`` is what it returned."""
        columns = _columns(info["points"], info["expression"])
        width = max(where.stop for where, _ in columns.values())
        index = np.fromfile(folder / INDEX, np.int32).reshape(-1, 2)
        return cls(
            np.fromfile(folder / TIMES, np.float64),
            index[:, 0],
            index[:, 1],
            _map(folder / FACES, (info["faces"], width)),
            columns,
            info["width_px"],
            info["height_px"],
        )

    def values(self, name: str, faces: np.ndarray) -> np.ndarray:
        """Values [len(faces), …] of a column for the given faces; NaN for a face of -1."""
        where, shape = self.columns[name]
        faces = np.asarray(faces)
        result = np.full((len(faces), where.stop - where.start), np.nan, np.float32)
        present = faces >= 0
        result[present] = self.rows[faces[present], where]
        return result.reshape(-1, *shape)


def write_tracks(
    folder: Path,
    frames: Iterable[tuple[float, np.ndarray]],
    tracker: FaceTracker,
    advance: Callable[[int], Any] = lambda count: None,
) -> dict[str, Any]:
    """Tracks the faces of a video and writes them frame by frame.

    Args:
        folder: an empty folder.
        frames: (time in seconds, upright RGB uint8 [H, W, 3]) of each frame, all of one size.
        tracker: finds the faces.
        advance: called with 1 after each frame.

    Returns:
        Counts and sizes, which ``Tracks.open`` needs.
    """
    pending: deque[tuple[float, np.ndarray]] = deque()
    scale = np.ones(2)
    size = (0, 0)
    full = getattr(tracker, "full_frames", False)

    def shrunk_frames() -> Iterator[tuple[float, np.ndarray]]:
        nonlocal scale, size
        for time_s, image in frames:
            size = image.shape[1], image.shape[0]
            if not full:
                image, scale = shrink_to(image, TRACK_SIDE_PX)
            pending.append((time_s, image))  # the tracker may read ahead
            yield time_s, image

    identities = Identities()
    count = faces_found = 0
    points = expression = -1
    with open(folder / FACES, "wb") as rows, open(folder / INDEX, "wb") as index, open(folder / TIMES, "wb") as times:
        for faces in tracker.track(shrunk_frames()):
            time_s, image = pending.popleft()
            for face, person in zip(faces, identities.assign(time_s, image, faces), strict=True):
                rows.write(_row(face, scale).tobytes())
                index.write(np.array([count, person], np.int32).tobytes())
                points, expression = len(face.points), len(face.expression)
                faces_found += 1
            times.write(np.float64(time_s).tobytes())
            count += 1
            advance(1)
    return {
        "frames": count,
        "faces": faces_found,
        "points": max(points, 0),
        "expression": max(expression, 0),
        "width_px": size[0],
        "height_px": size[1],
    }


def _columns(points: int, expression: int) -> dict[str, tuple[slice, tuple[int, ...]]]:
    """Layout of a row with so many tracker points and expression coefficients."""
    shapes = {
        "landmarks": (ibug.COUNT, 2),
        "irises": (2, 2),
        "expression": (expression,),
        "camera_to_world": (4, 4),
        "score": (),
        "points": (points, 2),
    }
    columns, start = {}, 0
    for name, shape in shapes.items():
        width = int(np.prod(shape))
        columns[name] = slice(start, start + width), shape
        start += width
    return columns


def _row(face: Face, scale: np.ndarray) -> np.ndarray:
    """The row of a face, float32 [R]; ``scale`` [2] converts its positions to pixels of the full frame."""
    pose = np.full((4, 4), np.nan) if face.camera_to_world is None else face.camera_to_world
    parts = (
        face.landmarks * scale,
        face.irises * scale,
        face.expression,
        pose,
        np.array(face.score),
        face.points * scale,
    )
    return np.concatenate([np.asarray(part, np.float32).reshape(-1) for part in parts])


def _map(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Maps a float32 file into memory."""
    if 0 in shape:  # an empty file cannot be mapped
        return np.zeros(shape, np.float32)
    return np.memmap(path, np.float32, "r", shape=shape)
