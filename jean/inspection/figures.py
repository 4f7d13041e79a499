"""Plots as PNG files: curves and scatter plots by matplotlib, image strips by OpenCV. No display is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import SetupError


def canvas(width_in: float = 7.0, height_in: float = 4.0) -> tuple[Any, Any]:
    """Creates a matplotlib figure and its axes without changing matplotlib's global state.

    Args:
        width_in, height_in: size in inches.

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


def curves(path: Path, series: Mapping[str, tuple[np.ndarray, np.ndarray]], y_label: str) -> None:
    """Plots curves over training steps.

    Args:
        path: PNG file to write.
        series: label → (steps, values).
        y_label: label of the y axis.
    """
    figure, axes = canvas()
    for label, (x, y) in series.items():
        axes.plot(x, y, label=label, linewidth=1.2)
    axes.set(xlabel="step", ylabel=y_label)
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


def scatter(path: Path, points: np.ndarray, labels: Sequence[str], title: str) -> None:
    """Plots points, one colour per label.

    Args:
        path: PNG file to write.
        points: [N, 2].
        labels: N labels.
        title: heading of the plot.
    """
    figure, axes = canvas(6.0, 5.5)
    names = sorted(set(labels))
    for name in names:
        selected = np.array([label == name for label in labels])
        axes.scatter(points[selected, 0], points[selected, 1], s=5, label=name, alpha=0.7)
    axes.set(title=title, xticks=[], yticks=[])
    axes.legend(markerscale=3)
    _save(figure, path)


def strip(path: Path, images: Sequence[np.ndarray], labels: Sequence[str]) -> None:
    """Writes images side by side, each below its label.

    Args:
        path: PNG file to write.
        images: RGB uint8 [H, W, 3], all of one size.
        labels: one label per image.

    Raises:
        SetupError: the file cannot be written.
    """
    import cv2

    columns = []
    for image, label in zip(images, labels, strict=True):
        heading = np.full((22, image.shape[1], 3), 255, np.uint8)
        cv2.putText(heading, label, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
        columns.append(np.concatenate([heading, image], 0))
    sheet = np.concatenate(columns, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), sheet[:, :, ::-1]):
        raise SetupError(f"cannot write {path}.", "Choose another --output.")


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
