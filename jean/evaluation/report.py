"""A report that is one HTML file: videos, frames, plots and numbers inside, nothing to load.

Pieces appear in the order in which they are added. Every text is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np

import jean
from jean.errors import InputError
from jean.evaluation.charts import line_chart
from jean.files import write_text

# Visually lossless for frames shown at a few hundred pixels, a tenth of PNG's size.
WEBP_QUALITY = 88

_NUMBER = ' class="number"'


@dataclass(frozen=True)
class Tile:
    """One large number.

    Attributes:
        name: what it is.
        value: as shown, e.g. ``"24.1"``.
        unit: shown small behind it.
        note: one short line below, e.g. the goal.
        met: whether the goal in the note was met (a green or red dot); None for no goal.
    """

    name: str
    value: str
    unit: str = ""
    note: str = ""
    met: bool | None = None


class Report:
    """Builds the page; see ``write``."""

    def __init__(self, title: str, subtitle: str = "", eyebrow: str = "jean · report"):
        self._title, self._subtitle, self._eyebrow = title, subtitle, eyebrow
        self._parts: list[str] = []

    def section(self, title: str, text: str = "") -> Report:
        """Starts a section; ``text`` is shown below its title, paragraphs parted by empty lines."""
        self._parts.append(f"<h2>{escape(title)}</h2>")
        return self.text(text) if text else self

    def text(self, text: str) -> Report:
        """Adds paragraphs, parted by empty lines."""
        for paragraph in filter(None, (part.strip() for part in text.split("\n\n"))):
            self._parts.append(f'<p class="prose">{escape(paragraph)}</p>')
        return self

    def notes(self, notes: Sequence[str]) -> Report:
        """Adds a list of remarks; nothing for none."""
        if notes:
            items = "".join(f"<li>{escape(note)}</li>" for note in notes)
            self._parts.append(f'<ul class="notes">{items}</ul>')
        return self

    def tiles(self, tiles: Sequence[Tile]) -> Report:
        """Adds a row of large numbers."""
        shown = []
        for tile in tiles:
            state = "" if tile.met is None else " good" if tile.met else " bad"
            unit = f'<span class="unit">{escape(tile.unit)}</span>' if tile.unit else ""
            # a dot of colour alone tells nothing to a reader who does not see the colour
            verdict = "" if tile.met is None else " · met" if tile.met else " · not met"
            note = f'<div class="note">{escape(tile.note + verdict)}</div>' if tile.note else ""
            shown.append(
                f'<div class="tile{state}"><div class="name">{escape(tile.name)}</div>'
                f'<div class="value">{escape(tile.value)}{unit}</div>{note}</div>'
            )
        self._parts.append(f'<div class="tiles">{"".join(shown)}</div>')
        return self

    def video(self, path: Path, caption: str = "") -> Report:
        """Embeds one mp4."""
        return self.videos([(path, caption)])

    def videos(self, videos: Sequence[tuple[Path, str]]) -> Report:
        """Embeds mp4 files (path, caption) side by side; started one, all play together.

        Raises:
            InputError: a file cannot be read.
        """
        shown = []
        for path, caption in videos:
            try:
                data = base64.b64encode(Path(path).read_bytes()).decode()
            except OSError as error:
                raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
            shown.append(
                f'<figure><video controls loop playsinline preload="auto" src="data:video/mp4;base64,{data}"></video>'
                f"<figcaption>{escape(caption)}</figcaption></figure>"
            )
        one = " one" if len(shown) == 1 else ""
        self._parts.append(f'<div class="videos{one}">{"".join(shown)}</div>')
        return self

    def frames(
        self, rows: Sequence[tuple[str, Sequence[np.ndarray]]], columns: Sequence[str] = (), caption: str = ""
    ) -> Report:
        """Adds images in rows.

        Args:
            rows: (label, images); an image is RGB uint8 [H, W, 3]. All rows hold equally many.
            columns: a heading for each image of a row, e.g. its time.
        """
        count = max((len(images) for _, images in rows), default=0)
        cells = [f'<div class="colhead">{escape(text)}</div>' for text in ("", *columns)] if columns else []
        for label, images in rows:
            cells.append(f'<div class="rowhead">{escape(label)}</div>')
            for index, image in enumerate(images):
                when = f", {columns[index]}" if index < len(columns) else ""
                cells.append(f'<img alt="{escape(label + when)}" src="{image_uri(image)}">')
        self._parts.append(
            f'<figure><div class="wide"><div class="frames" style="--columns:{count}">{"".join(cells)}</div></div>'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
        return self

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
            series: label → (x [N] increasing, y [N]); NaN leaves a gap.
        """
        entries = "".join(f'<span class="s{n % 6}"><i></i>{escape(name)}</span>' for n, name in enumerate(series))
        self._parts.append(
            f'<figure><div class="panel"><div class="head"><h3>{escape(title)}</h3>'
            f'<div class="legend">{entries}</div></div>'
            f'<div class="wide">{line_chart(series, x_label, y_label, title)}</div></div>'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
        return self

    def table(
        self, header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", total: bool = False
    ) -> Report:
        """Adds a table; columns of numbers are aligned to the right.

        Args:
            rows: cells as shown; ``–`` for what is unknown.
            total: the last row is a mean or a sum and stands out.
        """
        numeric = [all(_is_number(row[n]) for row in rows) and bool(rows) for n in range(len(header))]

        def cell(tag: str, index: int, text: str) -> str:
            kind = ' class="number"' if numeric[index] else ""
            return f"<{tag}{kind}>{escape(text)}</{tag}>"

        head = "".join(cell("th", n, text) for n, text in enumerate(header))
        lines = []
        for number, row in enumerate(rows):
            last = ' class="total"' if total and number == len(rows) - 1 else ""
            lines.append(f"<tr{last}>{''.join(cell('td', n, text) for n, text in enumerate(row))}</tr>")
        self._parts.append(
            f'<figure><div class="panel wide"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(lines)}</tbody></table></div><figcaption>{escape(caption)}</figcaption></figure>"
        )
        return self

    def ranking(
        self, header: Sequence[str], rows: Sequence[Sequence[tuple[str, int | None, str]]], caption: str = ""
    ) -> Report:
        """Adds a table whose best cells stand out.

        Args:
            rows: cells of (text, place 1 to 3 or None, small text below it).
        """
        head = "".join(f"<th{_NUMBER if n else ''}>{escape(text)}</th>" for n, text in enumerate(header))
        lines = []
        for row in rows:
            cells = []
            for number, (text, place, below) in enumerate(row):
                kinds = " ".join(filter(None, ("number" if number else "", f"place p{place}" if place else "")))
                small = f"<small>{escape(below)}</small>" if below else ""
                # what colour tells is told to those who do not see it too
                said = f' title="place {place}"' if place else ""
                cells.append(f'<td class="{kinds}"{said}><span>{escape(text)}</span>{small}</td>')
            lines.append(f"<tr>{''.join(cells)}</tr>")
        self._parts.append(
            f'<figure><div class="panel wide"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(lines)}</tbody></table></div><figcaption>{escape(caption)}</figcaption></figure>"
        )
        return self

    def timings(self, seconds: Mapping[str, float], caption: str = "") -> Report:
        """Adds bars of how long each stage took, in s."""
        longest = max(seconds.values(), default=0.0) or 1.0
        rows = "".join(
            f"<div>{escape(name)}</div>"
            f'<div class="track"><span style="width:{100 * value / longest:.1f}%"></span></div>'
            f'<div class="time">{duration(value)}</div>'
            for name, value in seconds.items()
        )
        self._parts.append(
            f'<figure><div class="panel"><div class="bars">{rows}</div></div>'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
        return self

    def facts(self, facts: Mapping[str, str]) -> Report:
        """Adds names and values, such as the protocol."""
        items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
        self._parts.append(f"<dl>{items}</dl>")
        return self

    def code(self, text: str) -> Report:
        """Adds lines of a shell or a file, as they are."""
        self._parts.append(f'<div class="panel wide"><pre>{escape(text)}</pre></div>')
        return self

    def html(self) -> str:
        """The whole page."""
        template = Template(files("jean.evaluation").joinpath("report.html").read_text(encoding="utf-8"))
        footer = f"Made by jean {jean.__version__}. Everything is inside this file; it loads nothing."
        return template.substitute(
            title=escape(self._title),
            subtitle=escape(self._subtitle),
            eyebrow=escape(self._eyebrow),
            body="\n".join(self._parts),
            footer=escape(footer),
            version=escape(jean.__version__),
        )

    def write(self, path: Path) -> Path:
        """Writes the page to ``path``, whole or not at all."""
        write_text(Path(path), self.html())
        return Path(path)


def image_uri(image: np.ndarray) -> str:
    """``image`` (RGB uint8 [H, W, 3]) as a data URI."""
    import cv2

    _, data = cv2.imencode(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    return "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode()


def duration(seconds: float) -> str:
    """``"0.4 s"``, ``"38 s"`` or ``"5 min 07 s"``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60:02d} s"


def _is_number(text: str) -> bool:
    if text in ("", "–", "missing"):
        return True
    try:
        float(text.replace("−", "-").replace(",", "").rstrip("%"))
    except ValueError:
        return False
    return True
