"""The HTML report of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.sources import VIDEO_SUFFIXES
from jean.evaluation.report import Report
from jean.evaluation.tables import (
    ARROWS,
    all_notes,
    protocol_lines,
    several_systems,
    system_rows,
    table_rows,
)

# Details of more tests make a page that nobody scrolls through; the table has them all.
MOST_DETAILS = 12
# More lines in one plot cannot be told apart.
MOST_LINES = 6
PLAYABLE = frozenset({".mp4", ".m4v", ".mov"})


def write_report(table: dict[str, Any], path: Path, embed_mib: float) -> Path:
    """Writes the page; thumbnails are looked for beside it.

    Args:
        table: as ``evaluate`` returns it, rows with their series.
        embed_mib: results above this size are not embedded (and the page says so).
    """
    rows, many = table["rows"], several_systems(table)
    tests = list(dict.fromkeys(row["name"] for row in rows))
    compared = sum(row["frames"]["compared"] for row in rows)
    systems = f"{sum(not system['truth'] for system in table['systems'])} systems, " if many else ""
    pairs = "one pair" if len(rows) == 1 else f"{len(rows)} pairs"
    report = Report("Evaluation", f"{systems}{pairs}, {compared} frames compared.", "jean · evaluate")
    if many or len(rows) > 1:
        header, cells = system_rows(table)
        report.section("Systems", "Means over results; small below them the 95 % interval (bootstrap over results).")
        ranked = "Dark: best. Middle: second. Light: third. The ground truth is not ranked." if many else ""
        report.ranking(header, cells, ranked)
    header, body = table_rows(table)
    report.section("All numbers", "Means over the frames of each result.")
    report.table(header, body, total=len(rows) > 1 and not many)
    report.notes(all_notes(table))
    for name in tests[:MOST_DETAILS]:
        add_test(report, name, [row for row in rows if row["name"] == name], table["columns"], path.parent, embed_mib)
    if len(tests) > MOST_DETAILS:
        report.section("Further tests", f"Details are shown for the first {MOST_DETAILS} of {len(tests)}.")
    report.section("What the numbers mean")
    report.facts({column["title"] + ARROWS[column["better"]]: column["meaning"] for column in table["columns"]})
    report.section("Protocol", "\n\n".join(protocol_lines(table)))
    rate = table["protocol"]["fps"]
    report.facts({"Rate": "the lowest of the videos compared" if rate is None else f"{rate:g} frames/s"})
    return report.write(path)


def add_test(
    report: Report,
    name: str,
    rows: list[dict[str, Any]],
    columns: list[dict[str, Any]],
    folder: Path,
    embed_mib: float,
) -> None:
    """Adds what every system made of one test: videos, frames side by side, a plot for each metric."""
    first = rows[0]
    report.section(name, f"{first['frames']['compared']} frames at {first['fps']:g} frames/s.")
    videos = []
    for row in rows:
        video = Path(row["result"])
        if video.suffix.lower() not in VIDEO_SUFFIXES or not video.is_file():
            continue
        if video.suffix.lower() not in PLAYABLE:
            report.text(f"{video.name} ({_label(row)}) is in a format that browsers do not play: look at its frames.")
            continue
        if video.stat().st_size <= embed_mib * 2**20 / len(rows):
            videos.append((video, f"{_label(row)}: {video.name}"))
        else:
            report.text(f"{video.name} ({_label(row)}) is too large to be embedded.")
    if videos:
        report.videos(videos)
    if first["thumbnails"]:
        moments = first["thumbnails"]
        shots = [(_label(row), [_read(folder / moment["result"]) for moment in row["thumbnails"]]) for row in rows]
        for role, title in (("reference", "Reference"), ("expression", "Expression source")):
            if all(role in moment for moment in moments):
                shots.append((title, [_read(folder / moment[role]) for moment in moments]))
        count = min(len(images) for _, images in shots)
        report.frames(
            [(label, images[:count]) for label, images in shots],
            [f"{moment['time_s']:.1f} s" for moment in moments[:count]],
        )
    for key in dict.fromkeys(key for row in rows for key in row["series"] if not key.endswith("_reference")):
        series = {_label(row): _track(row, key) for row in rows[:MOST_LINES] if _known(row["series"].get(key, []))}
        beside = f"{key}_reference"
        if _known(first["series"].get(beside, [])):
            series["Reference"] = _track(first, beside)
        if series:
            title, unit = _title(key, columns)
            report.curve(title, series, y_label=unit)


def _label(row: dict[str, Any]) -> str:
    return row["system"] or "Result"


def _title(key: str, columns: list[dict[str, Any]]) -> tuple[str, str]:
    """(title, unit) of the plot of one series."""
    plain = {"mouth_opening": ("Mouth opening", "inter-ocular distances"), "eye_openness": ("Eye openness", "ratio")}
    if key in plain:
        return plain[key]
    column = next((column for column in columns if column["name"] == key), None)
    if column is None:
        return key.replace("_", " ").capitalize(), ""
    unit = {"db": "dB", "deg": "degrees", "cm": "cm"}.get(key.rsplit("_", 1)[-1], column["title"])
    return f"{column['title']}{ARROWS[column['better']]}", unit


def _known(values: list[float | None]) -> bool:
    return any(value is not None for value in values)


def _track(row: dict[str, Any], key: str) -> tuple[np.ndarray, np.ndarray]:
    values = np.array([np.nan if value is None else value for value in row["series"][key]], float)
    return np.arange(len(values)) / row["series_hz"][key], values


def _read(path: Path) -> np.ndarray:
    import cv2

    from jean.errors import ArtefactError

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ArtefactError(f"{path} is missing or damaged.", "Remove the folder rows/ beside it and evaluate again.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
