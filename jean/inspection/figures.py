"""Figures as PNG by matplotlib, without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import SetupError


def canvas(width_in: float = 7.0, height_in: float = 4.0) -> tuple[Any, Any]:
    """A figure of matplotlib and its axes; nothing global is touched.

    Raises:
        SetupError: matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SetupError(f"matplotlib cannot be loaded ({error}).", "Run: pip install matplotlib") from error
    figure = Figure(figsize=(width_in, height_in), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def curves(path: Path, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], y_label: str) -> None:
    """Lines over steps: label → (steps, values)."""
    figure, axes = canvas()
    for label, (x, y) in series.items():
        axes.plot(x, y, label=label, linewidth=1.2)
    axes.set(xlabel="step", ylabel=y_label)
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


def scatter(path: Path, points: np.ndarray, labels: Sequence[str], title: str) -> None:
    """Points [N, 2], a colour for each label."""
    figure, axes = canvas(6.0, 5.5)
    names = sorted(set(labels))
    for name in names:
        mine = np.array([label == name for label in labels])
        axes.scatter(points[mine, 0], points[mine, 1], s=5, label=name, alpha=0.7)
    axes.set(title=title, xticks=[], yticks=[])
    axes.legend(markerscale=3)
    _save(figure, path)


def strip(path: Path, pictures: Sequence[np.ndarray], labels: Sequence[str]) -> None:
    """Pictures [H, W, 3] uint8 side by side, each under its label."""
    import cv2

    columns = []
    for picture, label in zip(pictures, labels, strict=True):
        head = np.full((22, picture.shape[1], 3), 255, np.uint8)
        cv2.putText(head, label, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
        columns.append(np.concatenate([head, picture], 0))
    sheet = np.concatenate(columns, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), sheet[:, :, ::-1]):
        raise SetupError(f"cannot write {path}.", "Choose another --output.")


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
