"""MediaPipe Face Landmarker: 468 mesh points, irises, 52 blendshapes, a head pose. CPU, permissive licence.

The tracker is asked for several faces even where there is one: with ``num_faces=1`` the library smooths
the points over time, and they lag. Against optical flow on real clips the unsmoothed points follow the
pixels 20 to 25 % better, and the camera fit smooths where it knows what is rigid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from jean import landmarks as ibug
from jean.errors import ArtefactError, SetupError
from jean.features.base import Face
from jean.features.trackers.mediapipe_bundle import MESH_POINTS, canonical_face
from jean.features.trackers.native_log import quiet_native_log
from jean.files import sha256

WEIGHTS = "face_landmarker.task"
MAX_FACES = 4
VERTICAL_FOV_RAD = np.radians(63.0)  # the pinhole that the library's face geometry assumes
IRIS_POINTS = (468, 473)  # the subject's right, left
FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])  # between y up, z backward and OpenCV's axes

# Mesh points along the jaw, from each ear to the chin; iBUG's 17 lie at equal arc lengths on them
JAW_RIGHT = (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
JAW_LEFT = (152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356)
# Mesh points for iBUG 17 to 67, in order
INNER = (
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 98, 97, 2, 326, 327),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91),
    *(78, 81, 13, 311, 308, 402, 14, 178),
)
# Forehead, temples, nose ridge, eye corners: little moved by speech, brows and lids
STABLE = (
    *(10, 67, 297, 103, 332, 54, 284, 109, 338, 151, 21, 251, 162, 389, 127, 356, 34, 264),
    *(8, 168, 6, 197, 195, 5, 4, 193, 417, 122, 351, 245, 465, 133, 362, 33, 263, 143, 372, 234, 454),
)
LOWER_FACE_PREFIXES = ("_neutral", "jaw", "mouth", "tongue")
BLENDSHAPES = (
    *("_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    *("cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight"),
    *("eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft"),
    *("eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight"),
    *("eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose"),
    *("mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel"),
    *("mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight"),
    *("mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower"),
    *("mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight"),
    *("mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight"),
)


def ibug_weights(canonical: np.ndarray) -> np.ndarray:
    """float32 [68, 468]: iBUG-68 points as fixed combinations of mesh points.

    The jaw is divided by arc length on the canonical face, not in each image, so that a landmark
    stays the same place of the head when the head turns.

    Args:
        canonical: [468, 3] mesh, cm.
    """
    weights = np.zeros((ibug.COUNT, MESH_POINTS), np.float32)
    weights[:9] = _along(JAW_RIGHT, canonical, 9)
    weights[8:17] = _along(JAW_LEFT, canonical, 9)
    weights[np.arange(17, ibug.COUNT), INNER] = 1.0
    return weights


def _along(line: tuple[int, ...], canonical: np.ndarray, count: int) -> np.ndarray:
    """[count, 468]: points at equal arc lengths along a line of mesh points, both ends included."""
    lengths = np.linalg.norm(np.diff(canonical[list(line)], axis=0), axis=-1)
    arc = np.concatenate([[0.0], np.cumsum(lengths)])
    weights = np.zeros((count, MESH_POINTS), np.float32)
    for n, target in enumerate(np.linspace(0.0, arc[-1], count)):
        segment = min(int(np.searchsorted(arc, target, side="right")) - 1, len(line) - 2)
        share = (target - arc[segment]) / (arc[segment + 1] - arc[segment])
        weights[n, line[segment]] += 1.0 - share
        weights[n, line[segment + 1]] += share
    return weights


def head_pose(transform: np.ndarray) -> np.ndarray:
    """``camera_to_world`` [4, 4] from the library's 4×4 canonical-to-camera transform (y up, z backward)."""
    return np.linalg.inv(FLIP_YZ @ np.asarray(transform, np.float64) @ FLIP_YZ)


class MediaPipeTracker:
    """Face tracker on MediaPipe's Face Landmarker; see ``FaceTracker``.

    Args:
        video: not used (every tracker takes it).
        device: not used; the library runs on the CPU here.

    Raises:
        SetupError: mediapipe or its weights are missing.
        ArtefactError: the weights are damaged.
    """

    name = "mediapipe"

    def __init__(self, video: Any = None, device: str = "cpu"):
        from jean.weights import store as weights

        self._bundle = weights.find(WEIGHTS)
        self.version = f"{_library().__version__}+{sha256(self._bundle)[:12]}"
        self.expression_names = BLENDSHAPES
        self.upper_face = tuple(not name.startswith(LOWER_FACE_PREFIXES) for name in BLENDSHAPES)
        self.canonical_points: np.ndarray | None = canonical_face(self._bundle)
        self.landmark_weights = ibug_weights(self.canonical_points)
        self.stable_points = np.array(STABLE)

    def assumed_focal_px(self, width_px: int, height_px: int) -> float:
        """Focal length of the 63° vertical pinhole that the library's transform assumes."""
        return float(height_px / 2 / np.tan(VERTICAL_FOV_RAD / 2))

    def track(self, frames: Iterable[tuple[float, np.ndarray]]) -> Iterator[list[Face]]:
        """Yields the faces of each frame; see ``FaceTracker.track``."""
        library = _library()
        with quiet_native_log():
            landmarker = self._open()
        last_ms = -1
        with landmarker:
            for n, (time_s, image) in enumerate(frames):
                # the library wants whole milliseconds that increase, whatever the frame rate
                last_ms = max(last_ms + 1, round(time_s * 1000))
                picture = library.Image(
                    image_format=library.ImageFormat.SRGB, data=np.ascontiguousarray(image, np.uint8)
                )
                if n == 0:
                    with quiet_native_log():
                        result = landmarker.detect_for_video(picture, last_ms)
                else:
                    result = landmarker.detect_for_video(picture, last_ms)
                yield self._faces(result, image.shape[1], image.shape[0])

    def _open(self) -> Any:
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            # the content, not the path: the library cannot open paths outside ASCII everywhere
            base_options=BaseOptions(model_asset_buffer=self._bundle.read_bytes()),
            running_mode=vision.RunningMode.VIDEO,
            num_faces=MAX_FACES,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        try:
            return vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise ArtefactError(
                f"MediaPipe cannot load {self._bundle}.", "Run: jean models pull face_landmarker.task"
            ) from error

    def _faces(self, result: Any, width_px: int, height_px: int) -> list[Face]:
        faces = []
        scale = np.array([width_px, height_px], np.float32)
        for n, points in enumerate(result.face_landmarks):
            everything = np.array([(point.x, point.y) for point in points], np.float32) * scale
            mesh = everything[:MESH_POINTS]
            faces.append(
                Face(
                    landmarks=self.landmark_weights @ mesh,
                    points=mesh,
                    irises=everything[list(IRIS_POINTS)],
                    expression=np.array([shape.score for shape in result.face_blendshapes[n]], np.float32),
                    camera_to_world=head_pose(result.facial_transformation_matrixes[n]),
                    score=1.0,  # the library reports none for faces above its threshold
                )
            )
        return faces


def _library() -> Any:
    """The mediapipe module."""
    try:
        import mediapipe
    except ImportError as error:
        raise SetupError(f"mediapipe cannot be loaded ({error}).", "Run: pip install mediapipe") from error
    except OSError as error:
        raise SetupError(
            f"mediapipe cannot be loaded ({error}).", "Run: sudo apt-get install libgl1 libegl1 libgles2"
        ) from error
    return mediapipe
