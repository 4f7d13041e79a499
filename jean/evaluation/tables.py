"""Writes an evaluation as JSON, CSV, Markdown and LaTeX tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jean.evaluation.pairing import ROLES
from jean.files import write_json, write_text
from jean.metrics import registry

ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
FRAME_COUNTS = ("compared", "left_result", "left_reference", "no_face_result", "no_face_reference")
FILES = ("result", *ROLES)
# How the best, second and third values are marked. The paper's Table 1 uses colours, which Markdown lacks.
MARKDOWN_MARKS = {1: "**{}**", 2: "<u>{}</u>", 3: "*{}*", None: "{}"}
LATEX_MARKS = {1: r"\best{{{}}}", 2: r"\second{{{}}}", 3: r"\third{{{}}}", None: "{}"}
MISSING = "missing"


def columns_of(metrics: Iterable[str]) -> list[dict[str, Any]]:
    """The columns of the metrics, each as a dict of the fields of ``Column`` and the name of its ``metric``."""
    return [{"metric": name, **asdict(column)} for name in metrics for column in registry.load(name).columns]


def format_number(value: float | None, digits: int) -> str:
    """Formats a number for tables; ``–`` if it is unknown.

    >>> format_number(-1.234, 2), format_number(None, 2)
    ('−1.23', '–')
    """
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def known_columns(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The columns with a number in any row, and those whose metric could not be computed."""
    rows = [*table["rows"], *table["truth"]]
    return [
        column
        for column in table["columns"]
        if column["metric"] in table["missing"] or any(row["values"].get(column["name"]) is not None for row in rows)
    ]


def several_systems(table: dict[str, Any]) -> bool:
    """Whether there is more than one system, not counting the ground truth."""
    return sum(not system["truth"] for system in table["systems"]) > 1


def table_rows(table: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The table of all results: (headings, rows of cells), followed by the true videos.

    If there is one system with several results, the last row is their mean.
    """
    columns = known_columns(table)
    many = several_systems(table)
    header = [*(["System"] if many else []), "", *(_title(column) for column in columns)]
    rows = []
    for row in [*table["rows"], *table["truth"]]:
        truth = row in table["truth"]
        name = row["name"] if many or not truth else f"{row['name']} ({row['system']})"
        system = [row["system"] or "result"] if many else []
        rows.append([*system, name, *(_cell(row, column) for column in columns)])
    if len(table["rows"]) > 1 and not many:
        means = table["mean"]
        rows.append(["mean", *(format_number(means[column["name"]], column["digits"]) for column in columns)])
    return header, rows


def system_rows(table: dict[str, Any]) -> tuple[list[str], list[list[tuple[str, int | None, str]]]]:
    """The table of systems: (headings, rows); a cell is (text, rank 1 to 3 or None, interval or "")."""
    columns = known_columns(table)
    rows = []
    for system in table["systems"]:
        cells: list[tuple[str, int | None, str]] = [(system["name"] or "result", None, "")]
        for column in columns:
            name, digits = column["name"], column["digits"]
            interval = system["interval"][name]
            text = format_number(system["mean"][name], digits)
            if system["mean"][name] is None and _is_missing(table, system["name"], column["metric"]):
                text = MISSING
            low_high = [format_number(bound, digits) for bound in interval or ()]
            cells.append((text, system["place"][name], " … ".join(low_high)))
        rows.append(cells)
    return ["", *(_title(column) for column in columns)], rows


def to_csv(table: dict[str, Any]) -> str:
    """All numbers and frame counts as CSV, one line per result; unknown values are empty."""
    names = [column["name"] for column in table["columns"]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["system", "name", *names, *(f"frames_{name}" for name in FRAME_COUNTS), "fps", *FILES])
    for row in [*table["rows"], *table["truth"]]:
        counts = [row["frames"].get(name, "") for name in FRAME_COUNTS]
        files = [row[name] or "" for name in FILES]
        writer.writerow(
            [
                row["system"],
                row["name"],
                *(_raw(row["values"].get(name)) for name in names),
                *counts,
                row["fps"],
                *files,
            ]
        )
    return text.getvalue()


def systems_csv(table: dict[str, Any]) -> str:
    """Means as CSV, one line per system and column: mean, interval, number of results, rank."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["system", "metric", "mean", "low", "high", "results", "place"])
    for system in table["systems"]:
        for column in table["columns"]:
            name = column["name"]
            low, high = system["interval"][name] or (None, None)
            rank = system["place"][name] or ""
            writer.writerow(
                [system["name"], name, _raw(system["mean"][name]), _raw(low), _raw(high), system["over"][name], rank]
            )
    return text.getvalue()


def to_markdown(table: dict[str, Any]) -> str:
    """The tables, notes and protocol as Markdown."""
    lines: list[str] = []
    if several_systems(table):
        header, systems = system_rows(table)
        lines += _grid(header, [[MARKDOWN_MARKS[rank].format(text) for text, rank, _ in row] for row in systems])
        lines += ["", "Best **bold**, second <u>underlined</u>, third *italic*.", ""]
        if any(interval for row in systems for _, _, interval in row):
            rows = [[row[0][0], *(interval or "–" for _, _, interval in row[1:])] for row in systems]
            lines += ["95 % intervals of these means (bootstrap over results):", "", *_grid(header, rows), ""]
    header, rows = table_rows(table)
    lines += _grid(header, rows)
    notes = all_notes(table)
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join([*lines, "", *protocol_lines(table), ""])


def to_latex(table: dict[str, Any]) -> str:
    """The table of systems as LaTeX for ``\\input``; needs the package booktabs."""
    header, systems = system_rows(table)
    head = [_latex(text).replace("↑", r"$\uparrow$").replace("↓", r"$\downarrow$") for text in ("Method", *header[1:])]
    lines = [
        r"% needs \usepackage{booktabs}; redefine these commands to mark ranks differently:",
        r"\providecommand{\best}[1]{\textbf{#1}}",
        r"\providecommand{\second}[1]{\underline{#1}}",
        r"\providecommand{\third}[1]{\textit{#1}}",
        *(f"% {_latex(line)}" for line in [*protocol_lines(table), *all_notes(table)]),
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
        *(" & ".join(LATEX_MARKS[rank].format(_latex(text)) for text, rank, _ in row) + r" \\" for row in systems),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def all_notes(table: dict[str, Any]) -> list[str]:
    """All notes: those common to all rows, those of single rows with their names, unpaired files, failures."""
    rows = table["rows"]
    common = [note for note in rows[0]["notes"] if all(note in row["notes"] for row in rows)] if rows[1:] else []
    notes = list(common)
    for row in [*rows, *table["truth"]]:
        label = f"{row['system']}/{row['name']}" if row["system"] else row["name"]
        notes += [f"{label}: {note}" for note in row["notes"] if note not in common]
    unpaired = table["unpaired"]
    scored = {row["result"] for row in rows}
    for path in unpaired["results"]:
        consequence = "" if path in scored else " and is not scored"
        roles = " and no ".join(_role(role) for role in unpaired["lacking"][path])
        notes.append(f"{path} has no {roles}{consequence}.")
    for role in ROLES:
        notes += [f"The {_role(role)} {path} has no result." for path in unpaired[f"{role}s"]]
    notes += [f"{label} is not scored: {reason}" for label, reason in table["failed"].items()]
    return notes + [f"{name} is missing: {reason}" for name, reason in table["missing"].items()]


def protocol_lines(table: dict[str, Any]) -> list[str]:
    """The protocol in a few lines: tracker, metric versions and options, systems without a source."""
    protocol = table["protocol"]
    metrics = ", ".join(f"{name} {version}" for name, version in protocol["metrics"].items())
    tracker = f"{protocol['tracker']} {protocol['tracker_version']}".strip()
    lines = [f"Tracker: {tracker}. Versions of the metrics: {metrics}."]
    for metric, options in protocol["metric_options"].items():
        lines += [f"Options of {metric}: {', '.join(f'{key} {value}' for key, value in options.items())}."]
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


def _cell(row: dict[str, Any], column: dict[str, Any]) -> str:
    value = row["values"].get(column["name"])
    return MISSING if value is None and column["metric"] in row["missing"] else format_number(value, column["digits"])


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
    n_text_columns = sum(1 for text in header[:2] if text in ("", "System"))
    lines.append("|" + " --- |" * n_text_columns + " ---: |" * (len(header) - n_text_columns))
    return lines + ["| " + " | ".join(_escaped(text) for text in row) + " |" for row in rows]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _latex(text: str) -> str:
    for character in "&%$#_{}":
        text = text.replace(character, "\\" + character)
    return text.replace("−", "$-$").replace("–", "--").replace("°", r"$^\circ$").replace("\n", " ")
