"""Face tracker on MediaPipe Face Landmarker: 468 mesh points, irises, 52 blendshapes and a head pose, on the CPU.

The library is always asked for several faces: with ``num_faces=1`` it smooths the points in time, and they lag behind.
Measured against optical flow on real clips, the unsmoothed points follow the pixels 20 to 25 % better. The camera fit
smooths later, where it knows which points are rigid.

In frames in which the face is small, the library finds none, or misplaces the points. So from the first such frame on,
a video is tracked in windows around the faces that CenterFace finds, if its weights are installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, nullcontext
from typing import Any

import numpy as np

from jean import landmarks as ibug
from jean.errors import ArtefactError, SetupError, is_exhausted
from jean.features.base import Face, moved
from jean.features.trackers import centerface
from jean.features.trackers.following import LOST_SEARCH_S, SEARCH_S, Follower
from jean.features.trackers.mediapipe_bundle import MESH_POINTS, canonical_face
from jean.features.trackers.native_log import quiet_native_log
from jean.files import sha256
from jean.media.image import shrink_to

WEIGHTS = "face_landmarker.task"
MAX_FACES = 4
# Faces below this fraction of the frame's longer side are tracked in windows. Measured on faces scaled into frames of
# 1920 × 1080: at 0.23 windows are a little more exact, at 0.17 they halve the error, at 0.11 the library loses faces.
SMALL_FACE = 0.25
WHOLE_SIDE_PX = 1920  # larger frames are shrunk by a whole factor: the library resizes a face to 256 px anyway
VERTICAL_FOV_RAD = np.radians(63.0)  # field of view that the library assumes for its face geometry
IRIS_POINTS = (468, 473)  # iris centres, the subject's right and left
FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])  # converts between axes with y up, z backward and OpenCV's axes

# Mesh points along the jaw, from each ear to the chin; the 17 iBUG points are placed on them at equal arc lengths
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
# Forehead, temples, ridge of the nose and eye corners: hardly moved by speech, brows and lids
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
    """Weights that combine mesh points to the iBUG-68 points, float32 [68, 468].

    The jaw is divided by arc length on the canonical face, not in each image, so that a landmark stays at the same
    place of the head when the head turns.

    Args:
        canonical: canonical mesh [468, 3], cm.
    """
    weights = np.zeros((ibug.COUNT, MESH_POINTS), np.float32)
    weights[:9] = _along(JAW_RIGHT, canonical, 9)
    weights[8:17] = _along(JAW_LEFT, canonical, 9)
    weights[np.arange(17, ibug.COUNT), INNER] = 1.0
    return weights


def _along(line: tuple[int, ...], canonical: np.ndarray, count: int) -> np.ndarray:
    """Weights [count, 468] of points at equal arc lengths along a line of mesh points, both ends included."""
    lengths = np.linalg.norm(np.diff(canonical[list(line)], axis=0), axis=-1)
    arc = np.concatenate([[0.0], np.cumsum(lengths)])
    weights = np.zeros((count, MESH_POINTS), np.float32)
    for n, target in enumerate(np.linspace(0.0, arc[-1], count)):
        segment = min(int(np.searchsorted(arc, target, side="right")) - 1, len(line) - 2)
        fraction = (target - arc[segment]) / (arc[segment + 1] - arc[segment])
        weights[n, line[segment]] += 1.0 - fraction
        weights[n, line[segment + 1]] += fraction
    return weights


def head_pose(transform: np.ndarray) -> np.ndarray:
    """Converts the library's canonical-to-camera transform [4, 4] (y up, z backward) to ``camera_to_world``."""
    return np.linalg.inv(FLIP_YZ @ np.asarray(transform, np.float64) @ FLIP_YZ)


class MediaPipeTracker:
    """Face tracker on MediaPipe's Face Landmarker; see ``FaceTracker``.

    Args:
        video: not used.
        device: not used; the library runs on the CPU.

    Raises:
        SetupError: mediapipe or its weights are missing.
        ArtefactError: the weights are damaged.
    """

    name = "mediapipe"
    weights = (WEIGHTS,)
    optional_weights = (centerface.WEIGHTS,)
    full_frames = True
    reusable = True

    def __init__(self, video: Any = None, device: str = "cpu"):
        from jean.weights import store

        self._bundle = store.find(WEIGHTS)
        finder = store.locate(centerface.WEIGHTS)
        self._finder = centerface.FaceFinder(store.find(centerface.WEIGHTS)) if finder is not None else None
        self.variant = "centerface" if self._finder is not None else ""
        self.version = f"{_library().__version__}+{sha256(self._bundle)[:12]}"
        self.expression_names = BLENDSHAPES
        self.upper_face = tuple(not name.startswith(LOWER_FACE_PREFIXES) for name in BLENDSHAPES)
        self.canonical_points: np.ndarray | None = canonical_face(self._bundle)
        self.landmark_weights = ibug_weights(self.canonical_points)
        self.stable_points = np.array(STABLE)

    def assumed_focal_px(self, width_px: int, height_px: int) -> float:
        """Focal length (px) of the camera that the library assumes, with a vertical field of view of 63°."""
        return float(height_px / 2 / np.tan(VERTICAL_FOV_RAD / 2))

    def track(self, frames: Iterable[tuple[float, np.ndarray]]) -> Iterator[list[Face]]:
        """Yields the faces of each frame; see ``FaceTracker.track``."""
        with ExitStack() as stack:
            whole = stack.enter_context(closing(_Landmarker(self._open, self.landmark_weights)))
            follower: Follower | None = None
            searched_s = -np.inf
            for time_s, image in frames:
                if follower is not None:
                    yield follower.faces(image, time_s)
                    continue
                small, scale = shrink_to(image, WHOLE_SIDE_PX)
                faces = whole.detect(small, time_s)
                if small is not image:
                    faces = [moved(face, scale) for face in faces]
                due_s = searched_s + (SEARCH_S if faces else LOST_SEARCH_S)
                if self._finder is not None and time_s >= due_s and _largest_share(faces, image.shape) < SMALL_FACE:
                    searched_s = time_s
                    found, follower = self._follow(self._finder, image, time_s)
                    if follower is not None:
                        stack.enter_context(closing(follower))
                        faces = found
                yield faces

    def _follow(
        self, finder: centerface.FaceFinder, image: np.ndarray, time_s: float
    ) -> tuple[list[Face], Follower | None]:
        """Small faces of a frame, and their follower; None if there are none."""
        follower = Follower(
            finder.find,
            lambda: _Landmarker(self._open, self.landmark_weights),
            self.assumed_focal_px,
            MAX_FACES,
        )
        faces = follower.faces(image, time_s)
        if faces:
            return faces, follower
        follower.close()
        return [], None

    def _open(self) -> Any:
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            # the content, not the path: on some systems the library cannot open paths outside ASCII
            base_options=BaseOptions(model_asset_buffer=self._bundle.read_bytes()),
            running_mode=vision.RunningMode.VIDEO,
            num_faces=MAX_FACES,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        try:
            return vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            if is_exhausted():
                raise SetupError("not enough memory for MediaPipe.", "Close other programs.") from error
            raise ArtefactError(
                f"MediaPipe cannot load {self._bundle}.", "Run: jean models pull face_landmarker.task"
            ) from error


class _Landmarker:
    """The library's landmarker for one sequence of images of one size.

    Args:
        open_library: opens the library's object.
        landmark_weights: see ``ibug_weights``.
    """

    def __init__(self, open_library: Callable[[], Any], landmark_weights: np.ndarray):
        with quiet_native_log():
            self._landmarker = open_library()
        self._weights = landmark_weights
        self._last_ms = -1
        self._image_type = _library().Image
        self._format = _library().ImageFormat.SRGB

    def detect(self, image: np.ndarray, time_s: float) -> list[Face]:
        """The faces of the next image, RGB uint8 [H, W, 3]."""
        first = self._last_ms < 0
        # the library needs strictly increasing whole milliseconds, at any frame rate
        self._last_ms = max(self._last_ms + 1, round(time_s * 1000))
        wrapped = self._image_type(image_format=self._format, data=np.ascontiguousarray(image, np.uint8))
        with quiet_native_log() if first else nullcontext():
            result = self._landmarker.detect_for_video(wrapped, self._last_ms)
        return self._faces(result, image.shape[1], image.shape[0])

    def close(self) -> None:
        """Releases the library's object; without this, it prints an error at exit."""
        self._landmarker.close()

    def _faces(self, result: Any, width_px: int, height_px: int) -> list[Face]:
        faces = []
        scale = np.array([width_px, height_px], np.float32)
        for n, points in enumerate(result.face_landmarks):
            positions = np.array([(point.x, point.y) for point in points], np.float32) * scale
            mesh = positions[:MESH_POINTS]
            faces.append(
                Face(
                    landmarks=self._weights @ mesh,
                    points=mesh,
                    irises=positions[list(IRIS_POINTS)],
                    expression=np.array([shape.score for shape in result.face_blendshapes[n]], np.float32),
                    camera_to_world=head_pose(result.facial_transformation_matrixes[n]),
                    score=1.0,  # the library gives no score for faces above its threshold
                )
            )
        return faces


def _largest_share(faces: list[Face], shape: tuple[int, ...]) -> float:
    """Height of the largest face, as a fraction of the longer side of the frame; 0 without a face."""
    return max((float(np.ptp(face.points[:, 1])) for face in faces), default=0.0) / max(shape[:2])


def _library() -> Any:
    """Imports mediapipe."""
    try:
        import mediapipe
    except ImportError as error:
        raise SetupError(f"mediapipe cannot be loaded ({error}).", "Run: pip install mediapipe") from error
    except OSError as error:
        raise SetupError(
            f"mediapipe cannot be loaded ({error}).", "Run: sudo apt-get install libgl1 libegl1 libgles2"
        ) from error
    return mediapipe
