"""The numbers that a camera fit is judged by: errors on what it has not seen, and jitter."""

from __future__ import annotations

import numpy as np

from jean.geometry import pose_jitter
from jean.prepare.head_fit.bundle_model import Head, Views, image_points


def left_out_errors(
    points: np.ndarray, left_out: np.ndarray, head: Head, views: Views, index: np.ndarray, window: int
) -> np.ndarray:
    """Distances, px, of all left-out observations from their predictions."""
    parts = []
    for first in range(0, len(index), window):
        rows = index[first : first + window]
        predicted = image_points(head, views.part(slice(first, first + window)))
        parts.append(np.linalg.norm(points[rows] - predicted, axis=-1)[left_out[rows]])
    return np.concatenate(parts)


def eye_distance_px(points: np.ndarray, eye_corners: tuple[int, int], seen: np.ndarray) -> float:
    """Median distance of the outer eye corners, the unit in which errors are told too."""
    distance = np.linalg.norm(points[seen, eye_corners[0]] - points[seen, eye_corners[1]], axis=-1)
    return float(np.nanmedian(distance))


def error_summary(errors_px: np.ndarray, unit_px: float) -> dict[str, float]:
    """Median, mean and 95th percentile, in px and as shares of ``unit_px``; nothing for no errors."""
    if len(errors_px) == 0:
        return {}
    values = {"median": np.median(errors_px), "mean": errors_px.mean(), "p95": np.quantile(errors_px, 0.95)}
    pixels = {f"{name}_px": float(value) for name, value in values.items()}
    return pixels | {f"{name}_share": float(value / unit_px) for name, value in values.items()}


def jitter(poses: np.ndarray, known: np.ndarray) -> dict[str, float] | None:
    """Jitter of the poses that are known, for the report; None where too few follow one another."""
    turn, shift = pose_jitter(np.where(known[:, None, None], poses, np.nan))
    return {"rotation_deg": turn, "translation_cm": shift} if np.isfinite(turn) else None
