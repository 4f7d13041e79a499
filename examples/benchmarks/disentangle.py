"""Does what sections 3.1 and 3.2 learn keep speech and expression apart? On a corpus whose truth is known.

    python examples/benchmarks/disentangle.py -o DIR [--parts 1,2,3] [--json]

Part 1: what the embeddings tell of the true tracks (R² of a ridge regression on held-out sentences).
Part 2: does the audio encoder find the sound that belongs to a mouth, and the offset between the two.
Part 3: a head for every method, driven by the speech of one clip and the expression of another: what the rendered
mouth and the rendered upper face follow.
Every stage is kept in DIR: the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from disentangle_embeddings import audio_rows, expression_rows, landmark_rows
from disentangle_runs import Corpus, Steps
from disentangle_video import video_rows

from jean_cli.console import Reporter, print_json


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table."""
    heads = list(dict.fromkeys(head for row in rows for head in row))
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    for row in rows:
        values = ["" if row.get(head) is None else row[head] for head in heads]
        cells = [f"{value:.2f}" if isinstance(value, float) else value for value in values]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--parts", default="1,2,3")
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
    corpus = Corpus(options.output, options.people, options.sentences, options.held_out, reporter)
    steps = Steps(options.landmark_steps, options.audio_steps, options.expression_steps, options.head_steps)
    result: dict[str, Any] = {}
    if "1" in parts:
        result["landmarks"] = landmark_rows(corpus, steps, reporter)
        result["expression"] = expression_rows(corpus, steps, reporter)
    if "2" in parts:
        result["audio"] = audio_rows(corpus, steps, reporter)
    if "3" in parts:
        result["video"] = video_rows(corpus, steps, reporter)
    record = options.output / "result.json"
    known = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}  # of other parts
    record.write_text(json.dumps(known | result, indent=1), encoding="utf-8")
    if options.json:
        print_json(result)
    else:
        print("\n\n".join(table(rows) for rows in result.values()))


if __name__ == "__main__":
    main()
