"""The torso behind the head: a target for the torso layer where the head hides it.

No frame shows the torso behind the head. Without a target the layer is free there. It then learns hair that the head's
layer misses, and paints it over the background as soon as the head moves away; or it ends under the chin, and the neck
opens. Hidden pixels therefore continue the nearest visible ones: background beside the hair, neck under the chin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SAMPLES = 64  # evenly spaced frames: enough for a mean, and memory stays constant
REACH = 0.015  # fraction of the frame's width by which the head's mattes are grown: their rims hold hair and shadow
COVERED = 32  # opacity, of 255, from which the head covers a pixel
SEEN = 0.1  # fraction of the frames that must show a pixel without the head
# Depth behind the head, as a fraction of the frame's width, up to which the target counts. Heads do not move further.
# Deep behind the face the layer stays free: it backs the face while that is not yet opaque (1 dB on held-out frames).
DEPTH = 0.08
# Factor on that depth above the neck: a raised chin uncovers more of it than a turn uncovers beside the hair.
NECK_ROOM = 1.75
ACROSS = 2  # factor on distances across: a neck continues upwards rather than the background sideways
SMOOTHING = 0.01  # standard deviation of the blur of hidden pixels, as a fraction of the frame's width


def torso_behind_head(
    frames: Sequence[np.ndarray] | np.ndarray, mattes: Sequence[np.ndarray] | np.ndarray
) -> np.ndarray:
    """Colour and opacity of the torso without the head, and the weight of this target: uint8 [H, W, 5].

    Pixels that enough frames show without the head have the mean of these frames; the others continue the nearest of
    them. The weight falls to zero deep behind the head.

    Args:
        frames: uint8 [T, H, W, 3], RGB; may be memory-mapped.
        mattes: uint8 [T, H, W, 2], head and torso.
    """
    import cv2

    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), SAMPLES)).round().astype(int))
    height, width = frames[0].shape[:2]
    kernel = np.ones((2 * max(1, round(width * REACH)) + 1,) * 2, np.uint8)
    colour, torso_sum, shown = np.zeros((height, width, 3)), np.zeros((height, width)), np.zeros((height, width))
    for t in chosen:
        head, torso = np.moveaxis(np.asarray(mattes[t]), -1, 0)
        without_head = cv2.dilate(np.ascontiguousarray(head), kernel) < COVERED
        visible = without_head * (torso / 255.0)
        colour += visible[..., None] * np.asarray(frames[t])
        torso_sum += visible
        shown += without_head
    known = shown >= max(1.0, SEEN * len(chosen))
    opacity = _continued(torso_sum / np.maximum(shown, 1), known)
    mean_colour = colour / np.maximum(torso_sum, 1e-6)[..., None]
    rgb = _continued(mean_colour, known & (torso_sum > 0.5))
    depth = _distance(known)
    if (below := known & (opacity > 0.5)).any():
        depth = np.minimum(depth, _distance(below) / NECK_ROOM)
    weight = np.clip(2 - depth / (DEPTH * width), 0, 1) if known.any() else np.zeros((height, width))
    result = np.concatenate([rgb, 255 * opacity[..., None], 255 * weight[..., None]], -1)
    return np.clip(result + 0.5, 0, 255).astype(np.uint8)


def _distance(known: np.ndarray) -> np.ndarray:
    """Distance (px) of each pixel to the nearest known one."""
    import cv2

    return np.asarray(cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, 5))


def _continued(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values [H, W] or [H, W, C] whose unknown pixels repeat the nearest known ones, smoothed; zeros without any."""
    import cv2

    if known.all():
        return values
    if not known.any():
        return np.zeros_like(values)
    # nearest with distances across counted ``ACROSS`` times, by an image that is as many times wider
    wide = np.repeat((~known).astype(np.uint8), ACROSS, axis=1)
    _, labels = cv2.distanceTransformWithLabels(
        wide, cv2.DIST_L2, cv2.DIST_MASK_PRECISE, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros((int(labels.max()) + 1, *values.shape[2:]))
    of_label[labels[wide == 0]] = np.repeat(values, ACROSS, axis=1)[wide == 0]
    labels = labels[:, ACROSS // 2 :: ACROSS]
    smooth = cv2.GaussianBlur(of_label[labels], (0, 0), max(0.5, SMOOTHING * known.shape[1]))
    return np.where(known.reshape(known.shape + (1,) * (values.ndim - 2)), values, smooth)
