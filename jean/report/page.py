"""A report page: videos, images, charts and tables in one HTML file that loads nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import jean
from jean.errors import InputError
from jean.files import write_text
from jean.report.charts import line_chart, templates

# Visually lossless for frames displayed at a few hundred pixels, at a tenth of the size of PNG.
WEBP_QUALITY = 88


@dataclass(frozen=True)
class Tile:
    """One large number.

    Attributes:
        name: what it is.
        value: as displayed, e.g. ``"24.1"``.
        unit: displayed small after the value.
        note: one short line below, e.g. the goal.
        met: whether the goal in the note is met, shown as a green or red dot; None for no goal.
    """

    name: str
    value: str
    unit: str = ""
    note: str = ""
    met: bool | None = None


class Report:
    """Builds a page from blocks, which appear in the order of the calls. All texts are escaped.

    Args:
        title: heading of the page.
        subtitle: one or two sentences below it.
        eyebrow: short line above it.

    >>> page = Report("Evaluation", "Two systems.").section("Scores").table(["name", "PSNR"], [["a", "31.2"]]).html()
    """

    def __init__(self, title: str, subtitle: str = "", eyebrow: str = "jean · report"):
        self._title, self._subtitle, self._eyebrow = title, subtitle, eyebrow
        self._blocks: list[str] = []

    def section(self, title: str, text: str = "") -> Report:
        """Starts a section with a heading and, optionally, paragraphs separated by blank lines."""
        return self._add("section", title).text(text)

    def text(self, text: str) -> Report:
        """Adds paragraphs, separated by blank lines in ``text``."""
        for paragraph in filter(None, (part.strip() for part in text.split("\n\n"))):
            self._add("paragraph", paragraph)
        return self

    def notes(self, notes: Sequence[str]) -> Report:
        """Adds a bullet list; adds nothing if ``notes`` is empty."""
        return self._add("notes", notes) if notes else self

    def tiles(self, tiles: Sequence[Tile]) -> Report:
        """Adds a row of large numbers."""
        return self._add("tiles", tiles)

    def video(self, path: Path, caption: str = "") -> Report:
        """Embeds one mp4 file.

        Raises:
            InputError: the file cannot be read.
        """
        return self.videos([(path, caption)])

    def videos(self, videos: Sequence[tuple[Path, str]]) -> Report:
        """Embeds mp4 files (path, caption) side by side; when one is started, all play together.

        Raises:
            InputError: a file cannot be read.
        """
        return self._add("videos", [(_data_uri("video/mp4", _read(path)), caption) for path, caption in videos])

    def image(self, path: Path, caption: str = "") -> Report:
        """Embeds one PNG file on a white background.

        Raises:
            InputError: the file cannot be read.
        """
        return self._add("image", _data_uri("image/png", _read(path)), caption)

    def frames(
        self, rows: Sequence[tuple[str, Sequence[np.ndarray]]], columns: Sequence[str] = (), caption: str = ""
    ) -> Report:
        """Adds a grid of images.

        Args:
            rows: (label, images); an image is RGB uint8 [H, W, 3]. All rows hold the same number of images.
            columns: heading of each column, e.g. its time.
            caption: text below.
        """
        uris = [(label, [image_uri(image) for image in images]) for label, images in rows]
        return self._add("frames", uris, columns, caption)

    def curve(
        self,
        title: str,
        series: Mapping[str, tuple[np.ndarray, np.ndarray]],
        x_label: str = "time, s",
        y_label: str = "",
        caption: str = "",
    ) -> Report:
        """Adds a line chart.

        Args:
            title: heading of the chart.
            series: label → (x [N] increasing, y [N]); NaN leaves a gap.
            x_label, y_label: axis labels.
            caption: text below.
        """
        return self._add("curve", title, list(series), line_chart(series, x_label, y_label, title), caption)

    def table(
        self, header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", total: bool = False
    ) -> Report:
        """Adds a table; columns of numbers are right-aligned.

        Args:
            header: column headings.
            rows: cells as displayed; ``–`` for an unknown number.
            caption: text below.
            total: the last row is a mean or a sum and stands out.
        """
        numeric = [bool(rows) and all(_is_number(row[n]) for row in rows) for n in range(len(header))]
        return self._add("table", header, rows, numeric, caption, total)

    def ranking(
        self, header: Sequence[str], rows: Sequence[Sequence[tuple[str, int | None, str]]], caption: str = ""
    ) -> Report:
        """Adds a table that highlights the best cells.

        Args:
            header: column headings.
            rows: cells of (text, rank 1 to 3 or None, small text below it).
            caption: text below.
        """
        return self._add("ranking", header, rows, caption)

    def timings(self, seconds: Mapping[str, float], caption: str = "") -> Report:
        """Adds a bar chart of durations in s."""
        longest = max(seconds.values(), default=0.0) or 1.0
        rows = [(name, 100 * value / longest, format_duration(value)) for name, value in seconds.items()]
        return self._add("timings", rows, caption)

    def facts(self, facts: Mapping[str, Any]) -> Report:
        """Adds a list of names and values, such as a protocol."""
        return self._add("facts", facts)

    def code(self, text: str) -> Report:
        """Adds preformatted text, such as shell commands."""
        return self._add("code", text)

    def html(self) -> str:
        """The whole page."""
        return (
            templates()
            .get_template("page.html")
            .render(
                title=self._title,
                subtitle=self._subtitle,
                eyebrow=self._eyebrow,
                blocks=self._blocks,
                footer=f"Made by jean {jean.__version__}. This file contains everything it shows.",
                version=jean.__version__,
            )
        )

    def write(self, path: Path) -> Path:
        """Writes the page to ``path`` atomically."""
        write_text(Path(path), self.html())
        return Path(path)

    def _add(self, block: str, *arguments: Any) -> Report:
        """Renders the macro ``block`` of blocks.html."""
        self._blocks.append(getattr(templates().get_template("blocks.html").module, block)(*arguments))
        return self


def image_uri(image: np.ndarray) -> str:
    """Encodes ``image`` (RGB uint8 [H, W, 3]) as a data URI in WebP format."""
    import cv2

    _, data = cv2.imencode(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    return _data_uri("image/webp", data.tobytes())


def format_duration(seconds: float) -> str:
    """Formats a duration.

    >>> [format_duration(seconds) for seconds in (0.42, 38.4, 307)]
    ['0.4 s', '38 s', '5 min 07 s']
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60:02d} s"


def _read(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error


def _data_uri(mime_type: str, data: bytes) -> str:
    from markupsafe import Markup  # base64 needs no escaping, which would copy large videos

    return Markup(f"data:{mime_type};base64,{base64.b64encode(data).decode()}")


def _is_number(text: str) -> bool:
    if text in ("", "–", "missing"):
        return True
    try:
        float(text.replace("−", "-").replace(",", "").rstrip("%"))
    except ValueError:
        return False
    return True
