"""Protocols of the feature extractors. The rest of the project knows an extractor only through its Protocol.

A class may name the registered weights that it needs in a class attribute ``weights``, and weights that improve its
result in ``optional_weights``, both tuples of names; ``jean prepare`` then offers to download them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Face:
    """One face in one frame; positions in pixels of that frame, pixel centres at half-integers.

    Attributes:
        landmarks: float32 [68, 2], iBUG-68 points (x, y), px.
        points: float32 [P, 2], all points of the tracker, px (the 68 landmarks if it has no others).
            Number, order and meaning are the same in all frames.
        irises: float32 [2, 2], iris centres (subject's right, left), px; NaN if unknown.
        expression: float32 [E], expression coefficients of the tracker; E = 0 if it has none.
        camera_to_world: float64 [4, 4] in head space, estimated by the tracker itself with the focal length
            ``FaceTracker.assumed_focal_px``; None if the tracker gives no pose.
        score: confidence of the tracker, 0 to 1.
    """

    landmarks: np.ndarray
    points: np.ndarray
    irises: np.ndarray
    expression: np.ndarray
    camera_to_world: np.ndarray | None
    score: float


def moved(face: Face, scale: float | np.ndarray, origin: np.ndarray | None = None) -> Face:
    """The face of a scaled part of a frame, in px of the frame; its pose stays.

    Args:
        face: in px of the part.
        scale: px of the frame per px of the part, a number or [2].
        origin: top left corner (x, y) of the part in the frame, px; None: (0, 0).
    """
    corner = np.zeros(2) if origin is None else origin

    def placed(positions: np.ndarray) -> np.ndarray:
        return np.asarray(positions * scale + corner, np.float32)

    return replace(face, landmarks=placed(face.landmarks), points=placed(face.points), irises=placed(face.irises))


def largest(faces: Sequence[Face]) -> Face | None:
    """The face whose landmarks have the bounding box of the largest area; None if ``faces`` is empty."""
    return max(faces, key=lambda face: float(np.prod(np.ptp(face.landmarks, axis=0))), default=None)


class FaceTracker(Protocol):
    """Finds the faces in the frames of a video.

    The class is called with the keywords ``video`` (path of the video, or None) and ``device`` ("cpu" or "cuda").

    Attributes:
        name: the registered name, as stored in ``clip.json``.
        version: of the library and weights; clips with different versions cannot be mixed.
        expression_names: name of each expression coefficient [E].
        upper_face: bool [E], True for coefficients of brows, eyes, cheeks and nose.
        canonical_points: float32 [P, 3], mean face in head space (cm) for ``Face.points``; None if there is none.
        stable_points: int [K], indices into ``Face.points`` of points that speech and expression hardly move.

    Optional attributes:
        reusable: True if one object may track many videos one after the other, that is, if it ignores ``video``.
        full_frames: True if ``track`` shrinks large frames itself; otherwise ``prepare`` gives it frames of at most
            1920 px.
        variant: text that names what else decides which faces are found, such as optional weights. Clips of different
            variants may be mixed.
    """

    name: str
    version: str
    expression_names: tuple[str, ...]
    upper_face: tuple[bool, ...]
    canonical_points: np.ndarray | None
    stable_points: np.ndarray

    def assumed_focal_px(self, width_px: int, height_px: int) -> float:
        """Focal length (px) assumed for ``Face.camera_to_world``; where the camera fit starts."""
        ...

    def track(self, frames: Iterable[tuple[float, np.ndarray]]) -> Iterator[list[Face]]:
        """Yields the faces of each frame, in order; an empty list for a frame without a face.

        Args:
            frames: (time in seconds, RGB uint8 [H, W, 3]), times strictly increasing.
        """
        ...


class AudioFeatures(Protocol):
    """Converts audio to a sequence of feature vectors. The class is called without arguments.

    Attributes:
        name: the registered name, as stored in ``clip.json`` and in checkpoints.
        version: must change whenever the values change.
        width: D, values per vector.
        window: vectors in the window that the audio encoder gets per video frame.
        rate_hz: vectors per second.

    Optional attribute:
        half_precision: True if clips may store the vectors in half precision, rounded by at most 0.05 % of each value.
    """

    name: str
    version: str
    width: int
    window: int
    rate_hz: float

    def extract(self, wave: np.ndarray) -> np.ndarray:
        """Features float32 [N, D] of a mono waveform float32 [S] in [-1, 1] at 16 kHz.

        Row n describes the audio around n / ``rate_hz`` seconds.
        """
        ...


class EmotionFeatures(Protocol):
    """Converts images of a face to emotion features for the expression transformer.

    The class is called with the keyword ``device`` ("cpu" or "cuda").

    Attributes:
        name: the registered name, as stored in ``clip.json`` and in checkpoints; contains no path.
        version: must change whenever the values change.
        width: D, values per vector.
        network: whether an emotion network computes them. Without one, the result is the paper's variant (d).
    """

    name: str
    version: str
    width: int
    network: bool

    def extract(self, frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """Yields float32 [D] for each frame, NaN for a frame without a face.

        Args:
            frames: (RGB uint8 [H, W, 3], landmarks [68, 2] px) in order; landmarks may be NaN.
        """
        ...


class Matting(Protocol):
    """Separates head, torso and background. The class is called without arguments.

    Attributes:
        name: the registered name, as stored in ``clip.json``.
        version: must change whenever the result changes.
    """

    name: str
    version: str

    def segment(self, frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """Yields uint8 [H, W, 2] for each frame: opacity (0 to 255) of head with hair, and of torso with neck.

        Args:
            frames: (RGB uint8 [H, W, 3], landmarks [68, 2] px) in order; landmarks may be NaN.
        """
        ...
