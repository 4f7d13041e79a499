"""Rigid parts of a face: glasses, and whatever else moves with the head while the skin beneath it moves.

The deformation moves everything near a landmark. Brows that sink would bend the rim of glasses below them. Two
predictions are compared at each position of the frontal plane: that its appearance stays in place on the rigid head,
and that it moves with the landmarks. Where the first agrees better with the training frames, the part is rigid.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from jean.drivers.person_frames import PersonFrames
from jean.geometry import Camera, project
from jean.landmarks import NOSE
from jean.models.head.deformation import LOWER, REACH_CM, RIDGE, UPPER, influence

SAMPLES = 80  # evenly spaced training frames
CELL_CM = 0.15  # thinner than the rim of glasses
SURFACE_REACH_CM, SURFACE_RIDGE = 2.5, 0.05  # of the smooth surface through the landmarks
MARGIN_CM = 1.5  # around brows, eyes and nose
LIGHT_CM = 1.2  # standard deviation of the low frequencies that are removed: light, and the colour of the skin
LOCAL_CM = 0.3  # standard deviation of the surroundings whose errors are averaged
NOISE = 20.0  # variance of the colours (0 to 255, squared) below which differences mean nothing
# Log ratio of the squared errors at which a part begins to be rigid, and at which it is rigid. Skin is below 0.1.
BEGIN, RIGID = 0.25, 0.55


def rigid_fraction(data: PersonFrames, positions: Tensor) -> Tensor:
    """How rigid the face is at positions of the frontal plane: [N], 0 moves with the landmarks, 1 with the head.

    Only brows, eyes and nose are measured; elsewhere the fraction is 0.

    Args:
        data: the person's frames.
        positions: [N, 2], head space, cm.
    """
    import cv2

    shape = np.asarray(data.shape, np.float64)
    low = shape[list(UPPER), :2].min(0) - MARGIN_CM
    high = shape[list(UPPER), :2].max(0) + MARGIN_CM
    high[1] = shape[NOSE, 1].max()  # the mouth below has lips, teeth and a beard: nothing is rigid there
    x, y = (np.arange(low[axis], high[axis], CELL_CM) for axis in (0, 1))
    across, down = np.meshgrid(x, y)
    surface = _surface(shape, np.stack([across, down], -1).reshape(-1, 2))
    rigid, moved = (_errors(data, surface, across.shape, follow) for follow in (False, True))
    gain = np.log((_local(moved) + NOISE) / (_local(rigid) + NOISE))
    fraction = np.clip((gain - BEGIN) / (RIGID - BEGIN), 0, 1).astype(np.float32)
    # beyond the measured area nothing is rigid; the border fades
    smooth = cv2.GaussianBlur(fraction, (0, 0), 1.0, borderType=cv2.BORDER_CONSTANT)
    at = ((positions.double().numpy() - low) / CELL_CM).astype(np.float32)
    found = cv2.remap(smooth, at[:, :1], at[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0.0)
    return torch.from_numpy(found[:, 0])


def _surface(shape: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Points [N, 3] of a smooth surface through the inner landmarks of ``shape`` [68, 3] at ``positions`` [N, 2]."""
    points = shape[17:]
    weights = influence(
        torch.from_numpy(positions), torch.from_numpy(points[:, :2]), SURFACE_REACH_CM, SURFACE_RIDGE
    ).numpy()
    mean = points[:, 2].mean()
    return np.concatenate([positions, (mean + weights @ (points[:, 2] - mean))[:, None]], 1)


def _errors(data: PersonFrames, surface: np.ndarray, grid: tuple[int, int], follow: bool) -> np.ndarray:
    """Mean squared difference of each position's colour from its median over the frames, float [rows, columns].

    Args:
        data: the person's frames.
        surface: [rows · columns, 3], head space, cm.
        grid: (rows, columns).
        follow: whether the positions move with the landmarks.
    """
    import cv2

    chosen = data.train[np.unique(np.linspace(0, len(data.train) - 1, SAMPLES).round().astype(int))]
    landmarks = [*UPPER, *LOWER]
    rest = torch.from_numpy(np.asarray(data.shape, np.float64)[landmarks, :2])
    weights = influence(torch.from_numpy(surface[:, :2]), rest, REACH_CM, RIDGE).numpy()
    seen = []
    for t in chosen:
        points = surface.copy()
        if follow:
            points[:, :2] += weights @ data.offsets[t, landmarks].astype(np.float64)
        centre = (float(data.center_px[t, 0]), float(data.center_px[t, 1]))
        camera = Camera(float(data.focal_px[t]), centre, data.size_px, data.size_px)
        at = project(points, camera, data.camera_to_world[t].astype(np.float64)).astype(np.float32) - 0.5
        image = np.asarray(data.image(int(t)), np.float32)
        colour = cv2.remap(image, at[:, 0].reshape(grid), at[:, 1].reshape(grid), cv2.INTER_LINEAR)
        seen.append(colour - cv2.GaussianBlur(colour, (0, 0), LIGHT_CM / CELL_CM))
    colours = np.stack(seen)
    return np.asarray(((colours - np.median(colours, 0)) ** 2).mean((0, -1)))


def _local(errors: np.ndarray) -> np.ndarray:
    import cv2

    return np.asarray(cv2.GaussianBlur(errors, (0, 0), LOCAL_CM / CELL_CM))
