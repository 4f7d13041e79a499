"""The HTML report of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jean.metrics.report import Report, Tile
from jean.metrics.sources import VIDEO_SUFFIXES
from jean.metrics.tables import ARROWS, all_notes, known_columns, shown, table_rows

# Details of more pairs make a page that nobody scrolls through; the table has them all.
MOST_DETAILS = 12
PLOTS = {
    "mouth_opening": ("Mouth opening", "inter-ocular distances"),
    "psnr_db": ("PSNR over the aligned face box", "dB"),
    "ssim": ("SSIM over the aligned face box", "SSIM"),
    "lmd_mouth_aligned": ("Distance of the mouth's landmarks, aligned", "inter-ocular distances"),
    "pose_error_deg": ("Pose error", "degrees"),
}


def write_report(table: dict[str, Any], path: Path, embed_mib: float) -> Path:
    """Writes the page; thumbnails are looked for beside it.

    Args:
        table: as ``evaluate`` returns it.
        embed_mib: results above this size are not embedded (and the page says so).
    """
    rows = table["rows"]
    pairs = "one pair" if len(rows) == 1 else f"{len(rows)} pairs"
    compared = sum(row["frames"]["compared"] for row in rows)
    report = Report("Evaluation", f"{pairs}, {compared} frames compared.", "jean · evaluate")
    columns = known_columns(table)
    tiles = [Tile(c["title"], shown(table["mean"][c["name"]], c["digits"]), note=_judged(c)) for c in columns]
    report.tiles(tiles)
    header, body = table_rows(table)
    report.section("All numbers", "Means over the frames of each pair; the mean in the last row is over pairs.")
    report.table(header, body, total=len(rows) > 1)
    report.notes(all_notes(table))
    for row in rows[:MOST_DETAILS]:
        add_pair(report, row, path.parent, embed_mib)
    if len(rows) > MOST_DETAILS:
        report.section("Further pairs", f"Details are shown for the first {MOST_DETAILS} of {len(rows)} pairs.")
    report.section("What the numbers mean")
    report.facts({column["title"] + ARROWS[column["better"]]: column["meaning"] for column in table["columns"]})
    report.section("Protocol")
    protocol = table["protocol"]
    report.facts(
        {
            "Tracker, both sides": f"{protocol['tracker']} {protocol['tracker_version']}".strip(),
            "Rate": "the lower of both videos" if protocol["fps"] is None else f"{protocol['fps']:g} frames/s",
            "Versions": ", ".join(f"{name} {version}" for name, version in protocol["metrics"].items()),
        }
    )
    return report.write(path)


def add_pair(report: Report, row: dict[str, Any], folder: Path, embed_mib: float) -> None:
    """Adds one pair's video, frames and plots to ``report``; thumbnails lie under ``folder``."""
    report.section(row["name"], f"{row['frames']['compared']} frames at {row['fps']:g} frames/s.")
    video = Path(row["result"])
    if video.suffix.lower() in VIDEO_SUFFIXES and video.is_file():
        if video.stat().st_size <= embed_mib * 2**20:
            report.video(video, f"The result: {video.name}")
        else:
            report.text(f"{video.name} is larger than {embed_mib:g} MiB and not embedded.")
    if row["thumbnails"]:
        moments = row["thumbnails"]
        sides = {side: [_read(folder / moment[side]) for moment in moments] for side in ("result", "reference")}
        times = [f"{moment['time_s']:.1f} s" for moment in moments]
        report.frames([("Result", sides["result"]), ("Reference", sides["reference"])], times)
    for name, (title, unit) in PLOTS.items():
        series = {
            label: _track(row, key) for key, label in ((name, "result"), (f"{name}_reference", "reference"))
            if _known(row["series"].get(key, []))
        }  # fmt: skip
        if name in row["series"] and series:
            report.curve(title, series, y_label=unit)


def _judged(column: dict[str, Any]) -> str:
    return "" if column["better"] is None else f"{column['better']} is better"


def _known(values: list[float | None]) -> bool:
    return any(value is not None for value in values)


def _track(row: dict[str, Any], key: str) -> tuple[np.ndarray, np.ndarray]:
    values = np.array([np.nan if value is None else value for value in row["series"][key]], float)
    return np.arange(len(values)) / row["fps"], values


def _read(path: Path) -> np.ndarray:
    import cv2

    from jean.errors import ArtefactError

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ArtefactError(f"{path} is missing or damaged.", "Remove the folder rows/ beside it and evaluate again.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
