"""An evaluation as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jean.files import write_json, write_text
from jean.metrics import registry

ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
FRAME_COUNTS = ("compared", "left_result", "left_reference", "no_face_result", "no_face_reference")


def columns_of(metrics: Iterable[str]) -> list[dict[str, Any]]:
    """Every column of the chosen metrics, as a dict with ``metric`` beside the ``Column``'s fields."""
    return [{"metric": name, **asdict(column)} for name in metrics for column in registry.load(name).columns]


def shown(value: float | None, digits: int) -> str:
    """A number as tables print it; ``–`` for unknown."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def known_columns(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The columns that have a number in some row."""
    return [c for c in table["columns"] if any(row["values"].get(c["name"]) is not None for row in table["rows"])]


def table_rows(table: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(headings, rows of text) for people: known columns only, the mean last if there are several rows."""
    columns = known_columns(table)
    header = ["", *(column["title"] + ARROWS[column["better"]] for column in columns)]
    rows = [
        [row["name"], *(shown(row["values"].get(c["name"]), c["digits"]) for c in columns)] for row in table["rows"]
    ]
    if len(rows) > 1:
        rows.append(["mean", *(shown(table["mean"][c["name"]], c["digits"]) for c in columns)])
    return header, rows


def to_csv(table: dict[str, Any]) -> str:
    """One line a pair with all columns and counts of frames; empty where unknown."""
    names = [column["name"] for column in table["columns"]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", *names, *(f"frames_{name}" for name in FRAME_COUNTS), "fps", "result", "reference"])
    for row in table["rows"]:
        values = ["" if row["values"].get(name) is None else repr(row["values"][name]) for name in names]
        counts = [row["frames"][name] for name in FRAME_COUNTS]
        writer.writerow([row["name"], *values, *counts, row["fps"], row["result"], row["reference"]])
    return text.getvalue()


def to_markdown(table: dict[str, Any]) -> str:
    """A table, its notes and the protocol."""
    header, rows = table_rows(table)
    lines = ["| " + " | ".join(_cell(text) for text in header) + " |"]
    lines.append("| --- |" + " ---: |" * (len(header) - 1))
    lines += ["| " + " | ".join(_cell(text) for text in row) + " |" for row in rows]
    notes = all_notes(table)
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    protocol = table["protocol"]
    metrics = ", ".join(f"{name} {version}" for name, version in protocol["metrics"].items())
    tracker = f"{protocol['tracker']} {protocol['tracker_version']}".strip()
    return "\n".join([*lines, "", f"Tracker: {tracker}. Versions of the metrics: {metrics}.", ""])


def all_notes(table: dict[str, Any]) -> list[str]:
    """Every remark: of all rows, of single rows with their names, of partners and metrics that are missing."""
    rows = table["rows"]
    everywhere = [note for note in rows[0]["notes"] if all(note in row["notes"] for row in rows)] if rows[1:] else []
    notes = list(everywhere)
    notes += [f"{row['name']}: {note}" for row in rows for note in row["notes"] if note not in everywhere]
    notes += [f"{path} has no reference and is not scored." for path in table["unpaired"]["results"]]
    notes += [f"The reference {path} has no result." for path in table["unpaired"]["references"]]
    return notes + [f"{name} is missing: {why}" for name, why in table["missing"].items()]


def write_tables(table: dict[str, Any], folder: Path) -> None:
    """Writes ``metrics.json``, ``metrics.csv`` and ``metrics.md``."""
    write_json(folder / "metrics.json", table)
    write_text(folder / "metrics.csv", to_csv(table))
    write_text(folder / "metrics.md", to_markdown(table))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
