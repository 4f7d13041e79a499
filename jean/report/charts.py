"""Line charts as inline SVG; the page's style sheet sets their colours, so they suit light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

# In SVG units, which are pixels at the full width of the page.
WIDTH, HEIGHT = 760, 270
RIGHT, TOP, BOTTOM = WIDTH - 16, 14, HEIGHT - 44
# Space left of the chart: for the axis label, and per character of the longest tick label.
LABEL_WIDTH, CHARACTER_WIDTH = 30, 7
# More than two points per pixel are invisible and only enlarge the file.
MAX_POINTS = 2 * WIDTH


@lru_cache(maxsize=1)
def templates() -> Any:
    """The jinja2 environment of all report templates; every value is escaped unless it is ``Markup``."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("jean.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers that cover [low, high]; their step is 1, 2, 2.5 or 5 times a power of ten.

    >>> ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]
    """
    if not high > low:
        high = low + max(abs(low), 1.0) * 0.1
    rough_step = (high - low) / count
    power = 10.0 ** np.floor(np.log10(rough_step))
    step = next(float(factor * power) for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough_step * 0.999)
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [float(n * step) for n in np.arange(first, last + 1)]


def tick_label(value: float, step: float) -> str:
    """Formats ``value`` with the decimals that ``step`` needs, a true minus sign, and no negative zero.

    >>> tick_label(-0.05, 0.05), tick_label(20000, 5000)
    ('−0.05', '20,000')
    """
    decimals = int(np.clip(np.ceil(-np.log10(step) + 1e-9), 0, 6))
    if abs(round(step, decimals) - step) > step * 1e-6:
        decimals += 1  # a step of 2.5 needs one more decimal than its magnitude
    text = f"{value + 0.0:,.{decimals}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("-")


def thin(x: np.ndarray, y: np.ndarray, max_points: int = MAX_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Reduces a curve to at most ``max_points`` points, keeping local extremes and gaps.

    Args:
        x: [N], increasing.
        y: [N], NaN in gaps.
        max_points: two more are possible: the first and the last point are always kept.
    """
    if len(x) <= max_points:
        return x, y
    indices: set[int] = {0, len(x) - 1}
    for part in np.array_split(np.arange(len(x)), max_points // 3):
        known = part[np.isfinite(y[part])]
        if known.size:
            indices |= {int(known[y[known].argmin()]), int(known[y[known].argmax()])}
        if known.size < part.size:
            indices.add(int(part[~np.isfinite(y[part])][0]))
    selected = np.array(sorted(indices))
    return x[selected], y[selected]


def line_chart(series: Mapping[str, tuple[np.ndarray, np.ndarray]], x_label: str, y_label: str, title: str) -> str:
    """Draws one line per series, with gaps where y is NaN.

    Args:
        series: label → (x [N] increasing, y [N]).
        x_label, y_label: axis labels.
        title: text for screen readers.

    Returns:
        ``Markup``: an SVG element, or a paragraph if no value is known.
    """
    from markupsafe import Markup

    xs = np.concatenate([np.asarray(x, float) for x, _ in series.values()] or [np.zeros(0)])
    ys = np.concatenate([np.asarray(y, float) for _, y in series.values()] or [np.zeros(0)])
    xs, ys = xs[np.isfinite(xs)], ys[np.isfinite(ys)]
    if not xs.size or not ys.size:
        return Markup('<p class="empty">Nothing to plot: no value is known.</p>')
    x_low, x_high = float(xs.min()), float(xs.max())
    y_ticks = ticks(float(ys.min()), float(ys.max()))
    x_ticks = [tick for tick in ticks(x_low, x_high, 8) if x_low - 1e-9 <= tick <= max(x_high, x_low) + 1e-9]
    x_step = x_ticks[1] - x_ticks[0] if len(x_ticks) > 1 else 1.0
    y_labels = [tick_label(tick, y_ticks[1] - y_ticks[0]) for tick in y_ticks]
    left = LABEL_WIDTH + CHARACTER_WIDTH * max(len(label) for label in y_labels)
    axes = _Axes(left, x_low, max(x_high - x_low, 1e-12), y_ticks[0], y_ticks[-1] - y_ticks[0])
    svg = (
        templates()
        .get_template("chart.svg")
        .render(
            title=title,
            width=WIDTH,
            height=HEIGHT,
            left=left,
            right=RIGHT,
            top=TOP,
            bottom=BOTTOM,
            x_label=x_label,
            y_label=y_label,
            x_ticks=[(axes.x(tick), tick_label(tick, x_step)) for tick in x_ticks],
            y_ticks=[(axes.y(tick), label) for tick, label in zip(y_ticks, y_labels, strict=True)],
            lines=[_line(*thin(np.asarray(x, float), np.asarray(y, float)), axes) for x, y in series.values()],
        )
    )
    return Markup(svg)


@dataclass(frozen=True)
class _Axes:
    """Maps values to SVG coordinates, as text with one decimal."""

    left: float
    x_low: float
    x_span: float
    y_low: float
    y_span: float

    def x(self, value: float) -> str:
        return f"{self.left + (value - self.x_low) / self.x_span * (RIGHT - self.left):.1f}"

    def y(self, value: float) -> str:
        return f"{BOTTOM - (value - self.y_low) / self.y_span * (BOTTOM - TOP):.1f}"


@dataclass(frozen=True)
class _Line:
    """Path data of one series, and the (x, y) of values between two gaps, which need a dot to be visible."""

    path: str
    dots: list[tuple[str, str]]


def _line(x: np.ndarray, y: np.ndarray, axes: _Axes) -> _Line:
    known = np.isfinite(x) & np.isfinite(y)
    commands, dots, pen_down = [], [], False
    for n in np.flatnonzero(known):
        continues = n + 1 < len(x) and known[n + 1]
        point = axes.x(x[n]), axes.y(y[n])
        if not pen_down and not continues:
            dots.append(point)
        commands.append(f"{'L' if pen_down else 'M'}{point[0]} {point[1]}")
        pen_down = bool(continues)
    return _Line("".join(commands), dots)
