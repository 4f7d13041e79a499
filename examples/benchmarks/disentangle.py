"""Measures how well the stages of sections 3.1 and 3.2 separate speech and expression, on the synthetic speaker.

    python examples/benchmarks/disentangle.py -o DIR [--parts 1,2,3] [--hard] [--json]

Part 1: which true tracks the embeddings predict (R² on held-out sentences, by a line and by a kernel), and which mouth
an MLP shows that gets e_e of one clip and the sound of another. With --people 1 the landmark autoencoder is left out.
Part 2: whether the audio encoder finds the sound of a mouth among others, and the offset between the two.
Part 3: heads of all methods, driven by the speech of one clip and the expression of another; which of the two the
rendered mouth and upper face follow. --heads unwired is the preset fast without what wires its lower face; --heads
paper-small is the paper's preset with 512 rays per step and a third of its samples per ray.

Finished stages are kept in DIR, so the same command continues an interrupted run. All on the CPU.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from disentangle_embeddings import audio_rows, expression_rows, landmark_rows
from disentangle_heads import DEFAULT_ROWS, chosen_rows
from disentangle_runs import Corpus, Steps
from disentangle_video import video_rows

from jean_cli.console import Reporter, print_json


def table(rows: list[dict[str, Any]]) -> str:
    """Formats rows as a Markdown table; missing values are empty cells."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"| {' | '.join(columns)} |", f"| {' | '.join('---' for _ in columns)} |"]
    for row in rows:
        values = ["" if row.get(name) is None else row[name] for name in columns]
        cells = [f"{value:.2f}" if isinstance(value, float) else value for value in values]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def merged(previous: dict[str, list[dict[str, Any]]], new: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Tables of earlier runs in the same folder, with rows of the last run in place of those of the same names.

    >>> merged({"video": [{"model": "a", "x": 1}, {"model": "b", "x": 2}]}, {"video": [{"model": "a", "x": 3}]})
    {'video': [{'model': 'a', 'x': 3}, {'model': 'b', 'x': 2}]}
    """

    def by_names(rows: list[dict[str, Any]]) -> dict[tuple[str, ...], dict[str, Any]]:
        return {tuple(cell for cell in row.values() if isinstance(cell, str)): row for row in rows}

    tables = dict.fromkeys([*previous, *new])
    return {name: list((by_names(previous.get(name, [])) | by_names(new.get(name, []))).values()) for name in tables}


def main() -> None:
    """Runs the chosen parts and prints their tables, or one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--parts", default="1,2,3")
    parser.add_argument("--hard", action="store_true", help="the harder corpus (jean.synthetic_speaker.hard_motion)")
    parser.add_argument("--heads", default="fast", help="of part 3: presets, unwired and paper-small, by commas")
    parser.add_argument("--rows", default=",".join(DEFAULT_ROWS), help=f"of part 3 (default {','.join(DEFAULT_ROWS)})")
    parser.add_argument("--size", type=int, default=128, help="of part 3: side of the frames, px (default 128)")
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--sentences", type=int, default=12)
    parser.add_argument("--held-out", type=int, default=3)
    parser.add_argument("--landmark-steps", type=int, default=1000)
    parser.add_argument("--audio-steps", type=int, default=3000)
    parser.add_argument("--expression-steps", type=int, default=250)
    parser.add_argument("--head-steps", type=int, default=1500)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    parts = set(options.parts.split(","))
    if not parts <= {"1", "2", "3"}:
        sys.exit("error: --parts takes 1, 2 and 3, separated by commas")
    reporter = Reporter()
    folder = options.output / "hard" if options.hard else options.output
    corpus = Corpus(folder, options.people, options.sentences, options.held_out, reporter, options.hard)
    steps = Steps(options.landmark_steps, options.audio_steps, options.expression_steps, options.head_steps)
    result: dict[str, Any] = {}
    if "1" in parts:
        if options.people > 1:
            result["landmarks"] = landmark_rows(corpus, steps, reporter)
        result["expression"] = expression_rows(corpus, steps, reporter)
    if "2" in parts:
        result["audio"] = audio_rows(corpus, steps, reporter)
    if "3" in parts:
        result["video"] = video_rows(
            corpus, steps, options.size, options.heads.split(","), chosen_rows(options.rows.split(",")), reporter
        )
    record = folder / "result.json"
    previous = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    result = merged(previous, result)
    record.write_text(json.dumps(result, indent=1), encoding="utf-8")
    if options.json:
        print_json(result)
    else:
        print("\n\n".join(table(rows) for rows in result.values()))


if __name__ == "__main__":
    main()
