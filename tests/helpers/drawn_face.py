"""A drawn face, and a fast tracker without weights that finds it by its colours."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from jean.features.base import Face


def template() -> np.ndarray:
    """Approximate iBUG-68 landmarks [68, 2] in a unit square; the outer eye corners are 0.6 apart."""
    points = np.zeros((68, 2))
    angle = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([0.5 + 0.48 * np.cos(angle), 0.4 + 0.58 * np.sin(angle)], -1)
    points[17:22] = np.stack([np.linspace(0.15, 0.4, 5), np.full(5, 0.15)], -1)
    points[22:27] = np.stack([np.linspace(0.6, 0.85, 5), np.full(5, 0.15)], -1)
    points[27:31] = np.stack([np.full(4, 0.5), np.linspace(0.25, 0.5, 4)], -1)
    points[31:36] = np.stack([np.linspace(0.4, 0.6, 5), np.full(5, 0.57)], -1)
    ring = np.array([(-1, 0), (-0.4, -1), (0.4, -1), (1, 0), (0.4, 1), (-0.4, 1)])
    points[36:42] = np.array([0.28, 0.27]) + ring * [0.08, 0.03]
    points[42:48] = np.array([0.72, 0.27]) + ring * [0.08, 0.03]
    turn = np.linspace(np.pi, -np.pi, 13)[:-1]
    points[48:60] = np.stack([0.5 + 0.16 * np.cos(turn), 0.75 - 0.08 * np.sin(turn)], -1)
    turn = np.linspace(np.pi, -np.pi, 9)[:-1]
    points[60:68] = np.stack([0.5 + 0.1 * np.cos(turn), 0.75 - 0.04 * np.sin(turn)], -1)
    return points


TEMPLATE = template()
# Each person's skin; the marker colours sit at their eyes
SKINS = {0: (220, 170, 140), 1: (40, 140, 60)}


def draw_face(image: np.ndarray, left: float, top: float, size: float, person: int = 0) -> np.ndarray:
    """Draws a person's face into ``image`` and returns its landmarks [68, 2]."""
    import cv2

    points = TEMPLATE * size + [left, top]
    center = tuple(int(x) for x in points[[0, 16]].mean(axis=0))
    cv2.ellipse(image, center, (int(size * 0.5), int(size * 0.6)), 0, 0, 360, SKINS[person], -1)
    for part, colour in ((slice(36, 42), (20, 20, 90)), (slice(42, 48), (20, 20, 90)), (slice(48, 60), (160, 30, 40))):
        cv2.fillPoly(image, [points[part].astype(np.int32)], colour)
    if person == 1:  # a beard
        chin = tuple(int(x) for x in points[8] - [0, size * 0.08])
        cv2.ellipse(image, chin, (int(size * 0.3), int(size * 0.1)), 0, 0, 360, (20, 15, 10), -1)
    return points


def face_at(points: np.ndarray, expression: int = 2) -> Face:
    points = np.asarray(points, np.float32)
    return Face(points, points, points[[36, 45]], np.linspace(0, 1, expression, dtype=np.float32), None, 1.0)


class FakeTracker:
    """Finds the faces of ``draw_face`` by the colour of their skin."""

    name = "fake"
    version = "1"
    expression_names = ("brow", "jaw")
    upper_face = (True, False)
    canonical_points = None
    stable_points = np.arange(27, 48)

    def __init__(self, video=None, device="cpu"):
        pass

    def assumed_focal_px(self, width_px, height_px):
        return 1.2 * max(width_px, height_px)

    def track(self, frames):
        for n, (_, image) in enumerate(frames):
            yield [
                face_at(points + 0.1 * np.random.default_rng(n).standard_normal((68, 2)))
                for skin in SKINS.values()
                if (points := _find(image, skin)) is not None
            ]


def _find(image, skin):
    near = np.abs(image.astype(np.int16) - np.array(skin, np.int16)) < 40
    rows, columns = np.nonzero(near[..., 0] & near[..., 1] & near[..., 2])
    if len(rows) < 100:
        return None
    size = np.ptp(columns) / 1.0
    return TEMPLATE * size + [columns.min(), rows.min() + size * 0.2]


class FakeMatting:
    """A matting extractor whose matte is an ellipse."""

    name = "fake"
    version = "1"

    def segment(self, frames):
        for image, points in frames:
            opacity = np.zeros((*image.shape[:2], 2), np.uint8)
            if np.isfinite(points).all():
                left, top = np.maximum(points.min(axis=0), 0).astype(int)
                right, bottom = points.max(axis=0).astype(int)
                opacity[top:bottom, left:right, 0] = 255
                opacity[bottom:, left:right, 1] = 255
            yield opacity


def plate_module() -> ModuleType:
    """A substitute for ``jean.preparation.background`` that returns the mean frame."""
    module = ModuleType("jean.preparation.background")
    module.background_plate = lambda frames, mattes: np.mean(np.stack(list(frames)), axis=0).astype(np.uint8)
    return module


class FakeEmotion:
    """An emotion extractor that returns the mean colour of the frame, and no value for the third frame."""

    name = "fake"
    version = "1"
    width = 3
    network = True

    def __init__(self, device="cpu"):
        pass

    def extract(self, frames):
        for n, (image, points) in enumerate(frames):
            assert image.dtype == np.uint8 and points.shape == (68, 2)
            yield np.full(3, np.nan) if n == 2 else image.mean((0, 1)).astype(np.float32)
