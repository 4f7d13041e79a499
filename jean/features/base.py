"""What an adapter must offer. Everything else in the project knows only these Protocols."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Face:
    """One face in one frame, in pixels of that frame.

    Attributes:
        landmarks: float32 [68, 2], iBUG-68 points (x, y), px.
        points: float32 [P, 2], every point that the tracker gives (68 of them if it has no more), px.
            The meaning and the order are the same in all frames.
        irises: float32 [2, 2], iris centres (subject's right, left), px; NaN where unknown.
        expression: float32 [E], the tracker's expression coefficients; E = 0 if it has none.
        camera_to_world: float64 [4, 4] in head space, from the tracker itself, under the camera
            that the tracker assumes (``FaceTracker.assumed_focal``); None if it gives no pose.
        score: how sure the tracker is, 0 to 1.
    """

    landmarks: np.ndarray
    points: np.ndarray
    irises: np.ndarray
    expression: np.ndarray
    camera_to_world: np.ndarray | None
    score: float


class FaceTracker(Protocol):
    """Finds faces in a video, frame by frame.

    Every tracker is built by keywords: ``video`` (path of the file being tracked; only the synthetic
    speaker's truth reads it) and ``device``.

    Attributes:
        name: as in the registry and ``clip.json``.
        version: of the library and weights; clips of different trackers are never mixed.
        expression_names: a name for each expression coefficient [E].
        upper_face: bool [E], coefficients of brows, eyes, cheeks and nose.
        canonical_points: float32 [P, 3], a mean face in head space (cm) for ``Face.points``, or None.
        stable_points: int indices into ``Face.points`` that move least with speech and expression.
    """

    name: str
    version: str
    expression_names: tuple[str, ...]
    upper_face: tuple[bool, ...]
    canonical_points: np.ndarray | None
    stable_points: np.ndarray

    def assumed_focal_px(self, width_px: int, height_px: int) -> float:
        """Focal length of the camera under which ``Face.camera_to_world`` holds."""
        ...

    def track(self, frames: Iterable[tuple[float, np.ndarray]]) -> Iterator[list[Face]]:
        """Yields the faces of each frame, in order.

        Args:
            frames: (time in seconds, RGB uint8 [H, W, 3]), times strictly increasing.
        """
        ...


class AudioFeatures(Protocol):
    """Turns sound into a sequence of feature vectors.

    Attributes:
        name: as in the registry, ``clip.json`` and every checkpoint.
        version: changes when the numbers change.
        width: D, features in a vector.
        window: rows in the window given to the audio encoder for one video frame.
        rate_hz: vectors a second.
    """

    name: str
    version: str
    width: int
    window: int
    rate_hz: float

    def extract(self, wave: np.ndarray) -> np.ndarray:
        """float32 [N, D] from mono float32 ``wave`` [S] in [-1, 1] at 16 kHz.

        Row n describes the sound around n / ``rate_hz`` seconds.
        """
        ...


class EmotionFeatures(Protocol):
    """Turns pictures of a face into a vector that says how it feels, for the expression transformer.

    Attributes:
        name: as in ``clip.json`` and every checkpoint; without machine-specific paths.
        version: changes when the numbers change.
        width: D.
        network: whether an emotion network makes them; without one the result is the paper's variant (d).
    """

    name: str
    version: str
    width: int
    network: bool

    def extract(self, frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """Yields float32 [D] of each frame, NaN where there is no face.

        Args:
            frames: (RGB uint8 [H, W, 3], landmarks [68, 2] px), in order; landmarks may be NaN.
        """
        ...


class Matting(Protocol):
    """Separates head, torso and background.

    Attributes:
        name: as in the registry and ``clip.json``.
        version: changes when the result changes.
    """

    name: str
    version: str

    def segment(self, frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """Yields uint8 [H, W, 2] (head with hair, torso with neck: opacity 0 to 255) for each frame.

        Args:
            frames: (RGB uint8 [H, W, 3], landmarks [68, 2] px), in order; landmarks may be NaN.
        """
        ...
