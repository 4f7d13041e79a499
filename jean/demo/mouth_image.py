"""Mouth opening from pixels, where no landmark tracker is: how far down the red of the lips reaches.

The place of the mouth comes from the head's pose and its rigid shape alone, so the measure knows
nothing of the true opening. The lower lip goes down with the jaw, and its red edge is still found where
a picture is blurred, which dark cavity and teeth are not. Made for the synthetic speaker: on its own
frames it follows the true opening with a correlation of about 0.98 (0.98 too after a blur of 3 px of
256); on real faces beards and make-up mislead it.
"""

from __future__ import annotations

import numpy as np

from jean.geometry import Camera
from jean.landmarks import MOUTH

PATCH_PX = 64
# The patch around the resting mouth's box, as shares of its width: the corners stay out (lip shadows),
# and below there is room for the jaw.
INSET_SIDE, ABOVE, BELOW = 0.15, 0.10, 0.75
# Share of red beyond the skin's from which a pixel counts as lip, and the share of all such redness that
# lies above the edge: chosen on the speaker's own frames, sharp and blurred, never on rendered ones.
REDDER, ABOVE_EDGE = 0.02, 0.9


def frontal_patch(
    image: np.ndarray,
    camera: Camera,
    camera_to_world: np.ndarray,
    box_cm: tuple[float, float, float, float],
    depth_cm: float,
    size_px: tuple[int, int],
) -> np.ndarray:
    """A part of the face seen from the front, uint8 [height, width, 3]: a plane of head space, seen in the image.

    Args:
        image: RGB uint8 [H, W, 3].
        camera: of the image.
        camera_to_world: [4, 4], head space, cm.
        box_cm: left, top, right, bottom of the part; depth_cm: of its plane, head space.
        size_px: width and height of the result.
    """
    import cv2

    left, top, right, bottom = box_cm
    corners = np.array([(x, y, depth_cm) for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))])
    seen = (corners - camera_to_world[:3, 3]) @ camera_to_world[:3, :3]  # rows times R: the inverse rotation
    pixels = seen[:, :2] / seen[:, 2:] * camera.focal_px + np.array(camera.center_px)
    width, height = size_px
    # cv2 puts pixel centres at integers, this project at half-integers
    flat = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32) - 0.5
    warp = cv2.getPerspectiveTransform((pixels - 0.5).astype(np.float32), flat)
    return cv2.warpPerspective(image, warp, (width, height), flags=cv2.INTER_LINEAR)


def mouth_patch(image: np.ndarray, camera: Camera, camera_to_world: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The mouth seen from the front, uint8 [64, 64, 3].

    Args:
        image, camera, camera_to_world: see ``frontal_patch``.
        shape: [68, 3], the rigid head shape with closed mouth, head space, cm.
    """
    mouth = shape[MOUTH]
    (left, top, _), (right, bottom, _) = mouth.min(0), mouth.max(0)
    width = right - left
    box = (left + INSET_SIDE * width, top - ABOVE * width, right - INSET_SIDE * width, bottom + BELOW * width)
    return frontal_patch(image, camera, camera_to_world, box, float(mouth[:, 2].mean()), (PATCH_PX, PATCH_PX))


def lower_lip_edge(patch: np.ndarray) -> float:
    """How far down the lips reach in a patch uint8 [H, W, 3]: 0 its top, 1 its bottom.

    NaN where nothing is redder than the skin.
    """
    values = patch.astype(np.float64)
    red = values[..., 0] / (values.sum(-1) + 1e-6)
    # the patch is mostly skin, so its median is skin
    rows = np.clip(red - np.median(red) - REDDER, 0, None).sum(1)
    if rows.sum() <= 0:
        return float("nan")
    return float(np.interp(ABOVE_EDGE, np.cumsum(rows) / rows.sum(), np.arange(len(rows)) + 1.0)) / len(rows)
