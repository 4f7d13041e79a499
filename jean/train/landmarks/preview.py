"""Pictures of landmarks, drawn small."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

SIDE = 160


def draw_points(points: np.ndarray, side: int = SIDE) -> np.ndarray:
    """uint8 [side, side, 3]: points [P, 2] in inter-ocular distances around zero, the last 20 in red."""
    import cv2

    image = np.full((side, side, 3), 255, np.uint8)
    pixels = np.nan_to_num((points * 0.55 + 0.5) * side, nan=-10.0)
    for index, (x, y) in enumerate(np.clip(pixels, -10, 2 * side)):
        mouth = index >= len(points) - 20
        cv2.circle(image, (int(x * 8), int(y * 8)), 14, (200, 30, 30) if mouth else (30, 30, 90), -1, cv2.LINE_AA, 3)
    return image


def write_preview(rows: Sequence[np.ndarray], path: Path) -> None:
    """Writes a PNG: one row of faces [F, P, 2] for each of ``rows``."""
    import cv2

    sheet = np.concatenate([np.concatenate([draw_points(face) for face in row], 1) for row in rows], 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), sheet[:, :, ::-1]):
        raise OSError(f"cannot write {path}")
