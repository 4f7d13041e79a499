"""Measurements of the demo: mouth opening of rendered frames, and the error of a real tracker.

``mouth_follows_speech`` compares the mouth opening in a rendered video with the known true one. Two estimators
measure it: a landmark tracker, if there is one, and ``lower_lip_edge``, which needs no weights.

``lower_lip_edge`` measures how far down the red of the lips reaches in a frontal view of the mouth. Head pose and
rigid head shape locate the mouth, so the estimate is independent of the true opening. The lower lip moves with
the jaw, and its red edge is still visible in blurred frames, in contrast to the mouth cavity and the teeth. The
estimator is made for the synthetic speaker: on drawn frames its correlation with the true opening is about 0.98,
also after a blur of 3 px (of 256). On real faces beards and make-up mislead it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.clip import Clip
from jean.features import registry
from jean.features.base import Face
from jean.features.trackers.truth_file import load_truth
from jean.geometry import Camera
from jean.landmarks import MOUTH, UPPER_FACE, mouth_opening
from jean.media import read_frames
from jean.metrics.landmarks import landmark_distance
from jean.metrics.mouth import correlation
from jean.progress import Progress

PATCH_PX = 64  # side of the mouth patch
# Margins of the patch around the neutral mouth's box, as fractions of the box width. The mouth corners stay
# outside, because of their shadows. There is space for the jaw below.
INSET_SIDE, ABOVE, BELOW = 0.15, 0.10, 0.75
# A pixel counts as lip if its red fraction exceeds the skin's by REDDER; ABOVE_EDGE of all such redness lies
# above the edge. Both were chosen on drawn frames, sharp and blurred, never on rendered ones.
REDDER, ABOVE_EDGE = 0.02, 0.9


def mouth_follows_speech(video: Path, truth: Clip, opening: np.ndarray, tracker: str | None) -> dict[str, Any]:
    """Correlates the mouth opening in a rendered video with the true one.

    Args:
        video: rendered frames.
        truth: clip of the ground truth at the same frame rate.
        opening: [T], true mouth opening over the inter-ocular distance.
        tracker: name of a landmark tracker; None: pixels only.

    Returns:
        For ``landmarks`` (None without a tracker) and ``pixels``: ``correlation``; ``ceiling``, the correlation of
        the same estimator on the true frames; and ``track`` [T], the estimate scaled to the unit of ``opening`` by
        a line fitted on the true frames. Undefined values are None.
    """
    rendered_frames = [image for _, image in read_frames(video, truth.fps)]
    count = min(len(rendered_frames), truth.frame_count, len(opening))
    true_frames = [np.asarray(truth.frames[t]) for t in range(count)]
    result: dict[str, Any] = {"landmarks": None}
    if tracker is not None:
        result["landmarks"] = _compare(
            _opening_by_landmarks(rendered_frames[:count], truth.fps, tracker),
            _opening_by_landmarks(true_frames, truth.fps, tracker),
            opening[:count],
        )
    result["pixels"] = _compare(
        _opening_by_pixels(rendered_frames[:count], truth), _opening_by_pixels(true_frames, truth), opening[:count]
    )
    return result


def tracker_error(video: Path, tracker: str, progress: Progress) -> dict[str, Any]:
    """Tracks a synthetic video and measures the distance of the landmarks from the true ones.

    Returns:
        ``tracker``; ``frames``; ``found``, the fraction of frames with a face; ``error_all``, ``error_mouth`` and
        ``error_upper``, mean distances over the inter-ocular distance (None if no face was found).
    """
    truth = load_truth(video)
    true, fps = truth.arrays["landmarks"], float(truth.meta["fps"])
    adapter = registry.create("tracker", tracker, video=video)
    tracked = np.full(true.shape, np.nan)
    with progress.task(f"track {video.name} with {tracker}", len(true)) as advance:
        for t, faces in zip(range(len(true)), adapter.track(read_frames(video, fps)), strict=False):
            face = _widest_face(faces)
            if face is not None:
                tracked[t] = face.landmarks
            advance(1)
    valid = np.isfinite(tracked).all((1, 2))
    errors: dict[str, Any] = {"tracker": tracker, "frames": len(true), "found": float(valid.mean())}
    for name, points in (("all", slice(0, 68)), ("mouth", MOUTH), ("upper", UPPER_FACE)):
        values = landmark_distance(tracked[valid], true[valid], points)
        errors[f"error_{name}"] = float(values.mean()) if len(values) else None
    return errors


def frontal_patch(
    image: np.ndarray,
    camera: Camera,
    camera_to_world: np.ndarray,
    box_cm: tuple[float, float, float, float],
    depth_cm: float,
    size_px: tuple[int, int],
) -> np.ndarray:
    """Warps a frontal plane of head space to a frontal view: uint8 [height, width, 3].

    Args:
        image: RGB uint8 [H, W, 3].
        camera: of the image.
        camera_to_world: [4, 4], camera pose in head space, cm.
        box_cm: left, top, right, bottom of the patch in the plane.
        depth_cm: z of the plane.
        size_px: width and height of the result.
    """
    import cv2

    left, top, right, bottom = box_cm
    corners = np.array([(x, y, depth_cm) for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))])
    view = (corners - camera_to_world[:3, 3]) @ camera_to_world[:3, :3]  # row vectors times R: the inverse rotation
    pixels = view[:, :2] / view[:, 2:] * camera.focal_px + np.array(camera.center_px)
    width, height = size_px
    # cv2 has pixel centres at integers, this project at half-integers.
    target = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32) - 0.5
    warp = cv2.getPerspectiveTransform((pixels - 0.5).astype(np.float32), target)
    return cv2.warpPerspective(image, warp, (width, height), flags=cv2.INTER_LINEAR)


def mouth_patch(image: np.ndarray, camera: Camera, camera_to_world: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The mouth in frontal view: uint8 [64, 64, 3].

    Args:
        image, camera, camera_to_world: see ``frontal_patch``.
        shape: [68, 3], the head's neutral landmarks, head space, cm.
    """
    mouth = shape[MOUTH]
    (left, top), (right, bottom) = mouth[:, :2].min(0), mouth[:, :2].max(0)
    width = right - left
    box = (left + INSET_SIDE * width, top - ABOVE * width, right - INSET_SIDE * width, bottom + BELOW * width)
    return frontal_patch(image, camera, camera_to_world, box, float(mouth[:, 2].mean()), (PATCH_PX, PATCH_PX))


def lower_lip_edge(patch: np.ndarray) -> float:
    """Position of the lower edge of the lips in a mouth patch, 0 (top) to 1 (bottom).

    Args:
        patch: uint8 [H, W, 3], see ``mouth_patch``.

    Returns:
        NaN if nothing is redder than the skin.
    """
    values = patch.astype(np.float64)
    red = values[..., 0] / (values.sum(-1) + 1e-6)
    # The patch is mostly skin, so its median is the skin's red fraction.
    rows = np.clip(red - np.median(red) - REDDER, 0, None).sum(1)
    if rows.sum() <= 0:
        return float("nan")
    return float(np.interp(ABOVE_EDGE, np.cumsum(rows) / rows.sum(), np.arange(len(rows)) + 1.0)) / len(rows)


def _compare(rendered: np.ndarray, on_truth: np.ndarray, opening: np.ndarray) -> dict[str, Any]:
    """Correlations of estimates [T] on rendered and true frames with the true opening [T]."""
    valid = np.isfinite(on_truth)
    slope, offset = np.polyfit(on_truth[valid], opening[valid], 1) if valid.sum() > 2 else (1.0, 0.0)
    scaled = rendered * slope + offset
    values = (correlation(rendered, opening), correlation(on_truth, opening))
    numbers = [float(value) if np.isfinite(value) else None for value in values]
    track = [float(value) if np.isfinite(value) else None for value in scaled]
    return {"correlation": numbers[0], "ceiling": numbers[1], "track": track}


def _opening_by_landmarks(images: list[np.ndarray], fps: float, tracker: str) -> np.ndarray:
    """Mouth opening [T] by a landmark tracker; NaN in frames without a face."""
    adapter = registry.create("tracker", tracker)
    openings = []
    for faces in adapter.track((n / fps, image) for n, image in enumerate(images)):
        face = _widest_face(faces)
        openings.append(np.nan if face is None else float(mouth_opening(face.landmarks)))
    return np.array(openings)


def _opening_by_pixels(images: list[np.ndarray], truth: Clip) -> np.ndarray:
    """``lower_lip_edge`` [T] of frames with the poses of the true clip."""
    poses, shape = truth.arrays["camera_to_world"], truth.arrays["shape"]
    camera = truth.camera
    return np.array(
        [
            lower_lip_edge(mouth_patch(image, camera.resized(image.shape[0]), poses[t], shape))
            for t, image in enumerate(images)
        ]
    )


def _widest_face(faces: Iterable[Face]) -> Face | None:
    return max(faces, key=lambda face: float(np.ptp(face.landmarks[:, 0])), default=None)
