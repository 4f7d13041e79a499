"""An evaluation as JSON, CSV, Markdown and LaTeX."""

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
FILES = ("result", "reference", "expression_source", "audio_source")
# best, second, third; the paper's Table 1 does it by colours, which Markdown has not
MARKDOWN_MARKS = {1: "**{}**", 2: "<u>{}</u>", 3: "*{}*", None: "{}"}
LATEX_MARKS = {1: r"\best{{{}}}", 2: r"\second{{{}}}", 3: r"\third{{{}}}", None: "{}"}
MISSING = "missing"


def columns_of(metrics: Iterable[str]) -> list[dict[str, Any]]:
    """Every column of the chosen metrics, as a dict with ``metric`` beside the ``Column``'s fields."""
    return [{"metric": name, **asdict(column)} for name in metrics for column in registry.load(name).columns]


def shown(value: float | None, digits: int) -> str:
    """A number as tables print it; ``–`` for unknown."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def known_columns(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The columns that have a number in some row, and those whose metric is missing."""
    rows = [*table["rows"], *table["truth"]]
    return [
        c
        for c in table["columns"]
        if c["metric"] in table["missing"] or any(row["values"].get(c["name"]) is not None for row in rows)
    ]


def several_systems(table: dict[str, Any]) -> bool:
    """Whether there is more than one system to compare, the ground truth not counted."""
    return sum(not system["truth"] for system in table["systems"]) > 1


def table_rows(table: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(headings, rows of text), one row a result, then the true videos.

    Of a single system, its mean comes last if there are several results.
    """
    columns = known_columns(table)
    many = several_systems(table)
    header = [*(["System"] if many else []), "", *(_title(column) for column in columns)]
    rows = []
    for row in [*table["rows"], *table["truth"]]:
        truth = row in table["truth"]
        name = row["name"] if many or not truth else f"{row['name']} ({row['system']})"
        rows.append([*([row["system"] or "result"] if many else []), name, *(_cell_of(row, c) for c in columns)])
    if len(table["rows"]) > 1 and not many:
        rows.append(["mean", *(shown(table["mean"][c["name"]], c["digits"]) for c in columns)])
    return header, rows


def system_rows(table: dict[str, Any]) -> tuple[list[str], list[list[tuple[str, int | None, str]]]]:
    """(headings, rows), one row a system: a cell is (text, place 1 to 3 or None, interval or nothing)."""
    columns = known_columns(table)
    rows = []
    for system in table["systems"]:
        cells: list[tuple[str, int | None, str]] = [(system["name"] or "result", None, "")]
        for column in columns:
            name, digits = column["name"], column["digits"]
            interval = system["interval"][name]
            text = shown(system["mean"][name], digits)
            if system["mean"][name] is None and _is_missing(table, system["name"], column["metric"]):
                text = MISSING
            span = f"{shown(interval[0], digits)} … {shown(interval[1], digits)}" if interval else ""
            cells.append((text, system["place"][name], span))
        rows.append(cells)
    return ["", *(_title(column) for column in columns)], rows


def to_csv(table: dict[str, Any]) -> str:
    """One line a result with all columns and counts of frames; empty where unknown."""
    names = [column["name"] for column in table["columns"]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["system", "name", *names, *(f"frames_{name}" for name in FRAME_COUNTS), "fps", *FILES])
    for row in [*table["rows"], *table["truth"]]:
        counts = [row["frames"].get(name, "") for name in FRAME_COUNTS]
        files = [row[name] or "" for name in FILES]
        writer.writerow(
            [row["system"], row["name"], *(_raw(row["values"].get(n)) for n in names), *counts, row["fps"], *files]
        )
    return text.getvalue()


def systems_csv(table: dict[str, Any]) -> str:
    """One line a system and metric: mean, interval, over how many results, place."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["system", "metric", "mean", "low", "high", "results", "place"])
    for system in table["systems"]:
        for column in table["columns"]:
            name = column["name"]
            low, high = system["interval"][name] or (None, None)
            place = system["place"][name] or ""
            writer.writerow(
                [system["name"], name, _raw(system["mean"][name]), _raw(low), _raw(high), system["over"][name], place]
            )
    return text.getvalue()


def to_markdown(table: dict[str, Any]) -> str:
    """The tables, their notes and the protocol."""
    lines: list[str] = []
    if several_systems(table):
        header, systems = system_rows(table)
        lines += _grid(header, [[MARKDOWN_MARKS[place].format(text) for text, place, _ in row] for row in systems])
        lines += ["", "Best **bold**, second <u>underlined</u>, third *italic*.", ""]
        if any(span for row in systems for _, _, span in row):
            rows = [[row[0][0], *(span or "–" for _, _, span in row[1:])] for row in systems]
            lines += ["95 % intervals of these means (bootstrap over results):", "", *_grid(header, rows), ""]
    header, rows = table_rows(table)
    lines += _grid(header, rows)
    notes = all_notes(table)
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join([*lines, "", *protocol_lines(table), ""])


def to_latex(table: dict[str, Any]) -> str:
    """One row a system, for ``\\input``; needs booktabs and the three commands in its head."""
    header, systems = system_rows(table)
    head = [_latex(text).replace("↑", r"$\uparrow$").replace("↓", r"$\downarrow$") for text in ("Method", *header[1:])]
    lines = [
        r"% \usepackage{booktabs}; how places are shown:",
        r"\providecommand{\best}[1]{\textbf{#1}}",
        r"\providecommand{\second}[1]{\underline{#1}}",
        r"\providecommand{\third}[1]{\textit{#1}}",
        *(f"% {_latex(line)}" for line in [*protocol_lines(table), *all_notes(table)]),
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
        *(" & ".join(LATEX_MARKS[place].format(_latex(text)) for text, place, _ in row) + r" \\" for row in systems),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def all_notes(table: dict[str, Any]) -> list[str]:
    """Every remark: of all rows, of single rows with their names, of what is missing or failed."""
    rows = table["rows"]
    everywhere = [note for note in rows[0]["notes"] if all(note in row["notes"] for row in rows)] if rows[1:] else []
    notes = list(everywhere)
    for row in [*rows, *table["truth"]]:
        label = f"{row['system']}/{row['name']}" if row["system"] else row["name"]
        notes += [f"{label}: {note}" for note in row["notes"] if note not in everywhere]
    unpaired = table["unpaired"]
    scored = {row["result"] for row in rows}
    for path in unpaired["results"]:
        rest = "" if path in scored else " and is not scored"
        notes.append(f"{path} has no {' and no '.join(_role(role) for role in unpaired['lacking'][path])}{rest}.")
    for role in ("reference", "expression_source", "audio_source"):
        notes += [f"The {_role(role)} {path} has no result." for path in unpaired[f"{role}s"]]
    notes += [f"{label} is not scored: {why}" for label, why in table["failed"].items()]
    return notes + [f"{name} is missing: {why}" for name, why in table["missing"].items()]


def protocol_lines(table: dict[str, Any]) -> list[str]:
    """What was measured how, in a few lines."""
    protocol = table["protocol"]
    metrics = ", ".join(f"{name} {version}" for name, version in protocol["metrics"].items())
    tracker = f"{protocol['tracker']} {protocol['tracker_version']}".strip()
    lines = [f"Tracker: {tracker}. Versions of the metrics: {metrics}."]
    if "sync" in protocol["metrics"]:
        lines.append(f"Lip sync: protocol {protocol['sync_protocol']}.")
    for kind in ("audio", "expression"):
        if protocol[f"no_{kind}"]:
            lines.append(f"Without {kind}, averaged over all {kind} sources: {', '.join(protocol[f'no_{kind}'])}.")
    return lines


def write_tables(table: dict[str, Any], folder: Path) -> None:
    """Writes ``metrics.json``, ``metrics.csv``, ``systems.csv``, ``metrics.md`` and ``metrics.tex``."""
    write_json(folder / "metrics.json", table)
    write_text(folder / "metrics.csv", to_csv(table))
    write_text(folder / "systems.csv", systems_csv(table))
    write_text(folder / "metrics.md", to_markdown(table))
    write_text(folder / "metrics.tex", to_latex(table))


def _cell_of(row: dict[str, Any], column: dict[str, Any]) -> str:
    value = row["values"].get(column["name"])
    return MISSING if value is None and column["metric"] in row["missing"] else shown(value, column["digits"])


def _is_missing(table: dict[str, Any], system: str, metric: str) -> bool:
    rows = [*table["rows"], *table["truth"]]
    return any(row["system"] == system and metric in row["missing"] for row in rows)


def _title(column: dict[str, Any]) -> str:
    return column["title"] + ARROWS[column["better"]]


def _role(role: str) -> str:
    return role.replace("_", " ")


def _raw(value: float | None) -> str:
    return "" if value is None else repr(value)


def _grid(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(_escaped(text) for text in header) + " |"]
    words = sum(1 for text in header[:2] if text in ("", "System"))
    lines.append("|" + " --- |" * words + " ---: |" * (len(header) - words))
    return lines + ["| " + " | ".join(_escaped(text) for text in row) + " |" for row in rows]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _latex(text: str) -> str:
    for character in "&%$#_{}":
        text = text.replace(character, "\\" + character)
    return text.replace("−", "$-$").replace("–", "--").replace("°", r"$^\circ$").replace("\n", " ")
