"""Face tracker on face-alignment: the paper's 68 landmarks (S3FD detects faces, FAN the landmarks).

It needs a GPU: on a CPU, one frame takes seconds. The landmarks are whole pixels, without irises, blendshapes and pose;
``prepare`` gets pose and expression from the camera fit.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np

from jean.errors import ArtefactError, SetupError
from jean.features.base import Face

DETECTOR_WEIGHTS = "s3fd-619a316812.pth"
POINT_WEIGHTS = "2DFAN4-11f355bf06.pth.tar"
FOCAL_WIDTHS = 1.2  # focal length over the longer side of the frame: a field of view of about 45°, typical of cameras
MIN_SCORE = 0.5  # faces with a lower score of the detector are ignored
# Nose, eye corners and the ends of the jaw at the ears: hardly moved by speech
STABLE = (27, 28, 29, 30, 31, 33, 35, 36, 39, 42, 45, 0, 16)


class FanTracker:
    """Face tracker on face-alignment; see ``FaceTracker``.

    Args:
        video: not used.
        device: "cpu" or "cuda".

    Raises:
        SetupError: face-alignment or its weights are missing.
        ArtefactError: the weights are damaged.
    """

    name = "face-alignment"
    weights = (DETECTOR_WEIGHTS, POINT_WEIGHTS)
    reusable = True

    def __init__(self, video: Any = None, device: str = "cpu"):
        from jean.weights import store

        self._detector_path = store.find(DETECTOR_WEIGHTS)
        self._points_path = store.find(POINT_WEIGHTS)
        self._device = device
        # the names of the weights contain their hashes, which weights.find has verified
        self.version = f"{_version()}+2DFAN4-11f355bf06"
        self.expression_names: tuple[str, ...] = ()
        self.upper_face: tuple[bool, ...] = ()
        self.canonical_points: np.ndarray | None = None
        self.stable_points = np.array(STABLE)

    def assumed_focal_px(self, width_px: int, height_px: int) -> float:
        """A typical focal length, where the camera fit starts; the tracker itself gives no pose."""
        return FOCAL_WIDTHS * max(width_px, height_px)

    def track(self, frames: Iterable[tuple[float, np.ndarray]]) -> Iterator[list[Face]]:
        """Yields the faces of each frame; see ``FaceTracker.track``."""
        network = self._open()
        for _, image in frames:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "No faces were detected")  # frames without a face are allowed
                result = network.get_landmarks_from_image(image, return_bboxes=True, return_landmark_score=True)
            points, _, boxes = result
            yield [_face(each, float(box[4])) for each, box in zip(points or [], boxes or [], strict=True)]

    def _open(self) -> Any:
        library = _library()
        try:
            with _weights_folder(self._points_path):
                return library.FaceAlignment(
                    library.LandmarksType.TWO_D,
                    device=self._device,
                    compile=False,  # compiling takes minutes on a CPU
                    face_detector="sfd",
                    face_detector_kwargs={
                        "path_to_detector": str(self._detector_path),
                        "filter_threshold": MIN_SCORE,
                    },
                )
        except (RuntimeError, OSError, EOFError, KeyError, UnpicklingError) as error:
            raise ArtefactError(
                f"face-alignment cannot load its weights ({type(error).__name__}).",
                f"Run: jean models pull {DETECTOR_WEIGHTS} and {POINT_WEIGHTS}",
            ) from error


def _face(points: np.ndarray, score: float) -> Face:
    """Converts landmarks [68, 2 or 3] of the network to a ``Face``."""
    # whole numbers are pixel centres in the library; in jean, pixel centres lie at half-integers
    points = np.asarray(points, np.float32)[:, :2] + 0.5
    return Face(
        landmarks=points,
        points=points,
        irises=np.full((2, 2), np.nan, np.float32),
        expression=np.zeros(0, np.float32),
        camera_to_world=None,
        score=min(max(score, 0.0), 1.0),
    )


@contextmanager
def _weights_folder(path: Path) -> Iterator[None]:
    """Makes the library load its network from ``path``.

    The library accepts no path. It loads a file with a fixed name from torch's hub folder, and would otherwise
    download it there without verification. So this context sets the hub folder to a temporary one with a link.
    """
    import torch

    before = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Path(folder) / "checkpoints"
        checkpoints.mkdir()
        (checkpoints / POINT_WEIGHTS).symlink_to(path.resolve())
        torch.hub.set_dir(folder)
        try:
            yield
        finally:
            torch.hub.set_dir(before)


def _library() -> Any:
    try:
        import face_alignment
    except ImportError as error:
        raise SetupError(f"face-alignment cannot be loaded ({error}).", "Run: pip install face-alignment") from error
    return face_alignment


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("face-alignment")
    except PackageNotFoundError as error:
        raise SetupError("face-alignment is not installed.", "Run: pip install face-alignment") from error
