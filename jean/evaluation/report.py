"""The HTML report of an evaluation: tables of systems and results, frames side by side, plots over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import ArtefactError
from jean.evaluation.tables import (
    ARROWS,
    all_notes,
    protocol_lines,
    several_systems,
    system_rows,
    table_rows,
)
from jean.media.container import VIDEO_SUFFIXES
from jean.report.page import Report

# A page with the details of more tests is too long to read; the tables contain all tests.
MAX_DETAILED_TESTS = 12
# More lines in one plot cannot be distinguished.
MAX_LINES = 6
# Videos of one test are embedded up to this total size, so that the page stays quick to open and to send by mail.
MAX_EMBEDDED_MIB = 8.0
# Formats that browsers play.
PLAYABLE = frozenset({".mp4", ".m4v", ".mov"})
# series → (title, unit); the title and unit of other series come from their column
SERIES = {"mouth_opening": ("Mouth opening", "inter-ocular distances"), "eye_openness": ("Eye openness", "ratio")}
# suffix of a column's name → unit
UNITS = {"db": "dB", "deg": "degrees", "cm": "cm"}


def write_report(table: dict[str, Any], path: Path) -> Path:
    """Writes the page.

    Args:
        table: as ``evaluate`` returns it, but with the ``series`` and ``thumbnails`` of each row.
        path: file to write; thumbnails are read from files relative to its folder.

    Raises:
        ArtefactError: a thumbnail is missing or damaged.
    """
    rows, many = table["rows"], several_systems(table)
    tests = list(dict.fromkeys(row["name"] for row in rows))
    compared = sum(row["frames"]["compared"] for row in rows)
    systems = f"{sum(not system['truth'] for system in table['systems'])} systems, " if many else ""
    pairs = "one pair" if len(rows) == 1 else f"{len(rows)} pairs"
    report = Report("Evaluation", f"{systems}{pairs}, {compared} frames compared.", "jean · evaluate")
    if many or len(rows) > 1:
        header, cells = system_rows(table)
        report.section("Systems", "Means over results. Small: their 95 % interval (bootstrap over results).")
        ranked = "Dark: best. Medium: second. Light: third. The ground truth is not ranked." if many else ""
        report.ranking(header, cells, ranked)
    header, body = table_rows(table)
    report.section("All numbers", "Means over the frames of each result.")
    report.table(header, body, total=len(rows) > 1 and not many)
    report.notes(all_notes(table))
    for name in tests[:MAX_DETAILED_TESTS]:
        _add_test(report, name, [row for row in rows if row["name"] == name], table["columns"], path.parent)
    if len(tests) > MAX_DETAILED_TESTS:
        report.section("Further tests", f"Details are shown for the first {MAX_DETAILED_TESTS} of {len(tests)} tests.")
    report.section("What the numbers mean")
    report.facts({column["title"] + ARROWS[column["better"]]: column["meaning"] for column in table["columns"]})
    report.section("Protocol", "\n\n".join(protocol_lines(table)))
    rate = table["protocol"]["fps"]
    report.facts({"Rate": "the lowest of the compared videos" if rate is None else f"{rate:g} frames/s"})
    return report.write(path)


def _add_test(
    report: Report, name: str, rows: list[dict[str, Any]], columns: list[dict[str, Any]], folder: Path
) -> None:
    """Adds one test: the videos of all systems, frames side by side, and one plot per metric."""
    first = rows[0]
    report.section(name, f"{first['frames']['compared']} frames at {first['fps']:g} frames/s.")
    _add_videos(report, rows)
    if first["thumbnails"]:
        _add_frames(report, rows, folder)
    for key in dict.fromkeys(key for row in rows for key in row["series"] if not key.endswith("_reference")):
        series = {_label(row): _track(row, key) for row in rows[:MAX_LINES] if _has_values(row, key)}
        if _has_values(first, f"{key}_reference"):
            series["Reference"] = _track(first, f"{key}_reference")
        if series:
            title, unit = _title(key, columns)
            report.curve(title, series, y_label=unit)


def _add_videos(report: Report, rows: list[dict[str, Any]]) -> None:
    """Embeds the videos that browsers can play and that are small enough; names the others."""
    videos = []
    for row in rows:
        video = Path(row["result"])
        if video.suffix.lower() not in VIDEO_SUFFIXES or not video.is_file():
            continue
        if video.suffix.lower() not in PLAYABLE:
            report.text(f"{video.name} ({_label(row)}) has a format that browsers do not play; see its frames below.")
        elif video.stat().st_size > MAX_EMBEDDED_MIB * 2**20 / len(rows):
            report.text(f"{video.name} ({_label(row)}) is too large to be embedded.")
        else:
            videos.append((video, f"{_label(row)}: {video.name}"))
    if videos:
        report.videos(videos)


def _add_frames(report: Report, rows: list[dict[str, Any]], folder: Path) -> None:
    """Adds the thumbnails of all systems and of the partners, one row each."""
    moments = rows[0]["thumbnails"]
    grid = [(_label(row), [_read_image(folder / moment["result"]) for moment in row["thumbnails"]]) for row in rows]
    for role, title in (("reference", "Reference"), ("expression", "Expression source")):
        if all(role in moment for moment in moments):
            grid.append((title, [_read_image(folder / moment[role]) for moment in moments]))
    count = min(len(images) for _, images in grid)
    times = [f"{moment['time_s']:.1f} s" for moment in moments[:count]]
    report.frames([(label, images[:count]) for label, images in grid], times)


def _label(row: dict[str, Any]) -> str:
    return row["system"] or "Result"


def _title(key: str, columns: list[dict[str, Any]]) -> tuple[str, str]:
    """(title, unit) of the plot of one series."""
    if key in SERIES:
        return SERIES[key]
    column = next((column for column in columns if column["name"] == key), None)
    if column is None:
        return key.replace("_", " ").capitalize(), ""
    unit = UNITS.get(key.rsplit("_", 1)[-1], column["title"])
    return f"{column['title']}{ARROWS[column['better']]}", unit


def _has_values(row: dict[str, Any], key: str) -> bool:
    return any(value is not None for value in row["series"].get(key, []))


def _track(row: dict[str, Any], key: str) -> tuple[np.ndarray, np.ndarray]:
    """(time in s [N], values [N], NaN where unknown) of one series."""
    values = np.array([np.nan if value is None else value for value in row["series"][key]], float)
    return np.arange(len(values)) / row["series_hz"][key], values


def _read_image(path: Path) -> np.ndarray:
    """Reads a PNG file as RGB uint8 [H, W, 3]."""
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ArtefactError(f"{path} is missing or damaged.", "Remove the folder rows/ beside it and evaluate again.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
