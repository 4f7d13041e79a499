"""Line charts as inline SVG: no library, colours from the page's CSS, so light and dark both work."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np

WIDTH, HEIGHT = 760, 270
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 14, 44
# More points than twice the width in pixels cannot be seen, only make the file large.
MOST_POINTS = 2 * WIDTH


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten) that cover [low, high], about so many."""
    if not high > low:
        high = low + max(abs(low), 1.0) * 0.1
    rough = (high - low) / about
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(float(m * power) for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [float(n * step) for n in np.arange(first, last + 1)]


def tick_label(value: float, step: float) -> str:
    """``value`` with the decimals that ``step`` needs, a true minus sign, no negative zero."""
    decimals = int(np.clip(np.ceil(-np.log10(step) + 1e-9), 0, 6))
    if abs(round(step, decimals) - step) > step * 1e-6:
        decimals += 1  # a step of 2.5 needs one more than its size says
    text = f"{value + 0.0:,.{decimals}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("-")


def thin(x: np.ndarray, y: np.ndarray, most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most ``most`` points that keep each stretch's lowest and highest value, and the gaps (NaN)."""
    if len(x) <= most:
        return x, y
    keep: set[int] = {0, len(x) - 1}
    for part in np.array_split(np.arange(len(x)), most // 3):
        known = part[np.isfinite(y[part])]
        if known.size:
            keep |= {int(known[y[known].argmin()]), int(known[y[known].argmax()])}
        if known.size < part.size:
            keep.add(int(part[~np.isfinite(y[part])][0]))
    chosen = np.array(sorted(keep))
    return x[chosen], y[chosen]


def line_chart(series: Mapping[str, tuple[np.ndarray, np.ndarray]], x_label: str, y_label: str, title: str) -> str:
    """An SVG with one line for each series; a gap where y is NaN.

    Args:
        series: label → (x [N] increasing, y [N]).
        title: read by screen readers.
    """
    xs = np.concatenate([np.asarray(x, float) for x, _ in series.values()] or [np.zeros(0)])
    ys = np.concatenate([np.asarray(y, float) for _, y in series.values()] or [np.zeros(0)])
    xs, ys = xs[np.isfinite(xs)], ys[np.isfinite(ys)]
    if not xs.size or not ys.size:
        return '<p class="empty">Nothing to plot: no value is known.</p>'
    y_ticks = ticks(float(ys.min()), float(ys.max()))
    x_low, x_high = float(xs.min()), float(xs.max())
    x_ticks = [t for t in ticks(x_low, x_high, 8) if x_low - 1e-9 <= t <= max(x_high, x_low) + 1e-9]
    span_x = max(x_high - x_low, 1e-12)
    span_y = y_ticks[-1] - y_ticks[0]

    def px(x: np.ndarray | float) -> np.ndarray | float:
        return LEFT + (x - x_low) / span_x * (WIDTH - LEFT - RIGHT)

    def py(y: np.ndarray | float) -> np.ndarray | float:
        return HEIGHT - BOTTOM - (y - y_ticks[0]) / span_y * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(title)}</title>']
    step = y_ticks[1] - y_ticks[0]
    for value in y_ticks:
        at = f"{py(value):.1f}"
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
        label = tick_label(value, step)
        parts.append(f'<text class="tick" x="{LEFT - 9}" y="{at}" dy=".35em" text-anchor="end">{label}</text>')
    step = x_ticks[1] - x_ticks[0] if len(x_ticks) > 1 else 1.0
    for value in x_ticks:
        at = f"{px(value):.1f}"
        parts.append(f'<line class="mark" x1="{at}" x2="{at}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 5}"/>')
        label = tick_label(value, step)
        parts.append(f'<text class="tick" x="{at}" y="{HEIGHT - BOTTOM + 19}" text-anchor="middle">{label}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{py(y_ticks[0])}" y2="{py(y_ticks[0])}"/>')
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text class="label" x="{middle_x}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(
        f'<text class="label" transform="translate(13 {middle_y}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    for index, (x, y) in enumerate(series.values()):
        parts += _line(index, *thin(np.asarray(x, float), np.asarray(y, float)), px, py)
    return "".join([*parts, "</svg>"])


def _line(index: int, x: np.ndarray, y: np.ndarray, px, py) -> list[str]:
    """The path of one series; a value alone between gaps becomes a dot."""
    known = np.isfinite(x) & np.isfinite(y)
    commands, dots, pen_down = [], [], False
    for n in np.flatnonzero(known):
        after = n + 1 < len(x) and known[n + 1]
        point = f"{px(x[n]):.1f} {py(y[n]):.1f}"
        if not pen_down and not after:
            dots.append(f'<circle class="dot s{index % 6}" cx="{px(x[n]):.1f}" cy="{py(y[n]):.1f}" r="2.6"/>')
        commands.append(f"{'L' if pen_down else 'M'}{point}")
        pen_down = bool(after)
    return [f'<path class="line s{index % 6}" d="{"".join(commands)}"/>', *dots]
