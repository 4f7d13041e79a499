"""``jean evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jean.errors import InputError, SetupError, UsageError
from jean_cli.console import Reporter
from jean_cli.options import ConfigFile, DeviceName, Json, Quiet, Seed, Sets, Verbose, configure

Names = Annotated[list[str] | None, typer.Option(metavar="NAME", help="A system that ignores that source; repeatable.")]


def evaluate(
    results: Annotated[list[Path] | None, typer.Argument(metavar="[RESULT]...", help="Videos, or folders.")] = None,
    system: Annotated[
        list[str] | None, typer.Option(metavar="NAME=DIR", help="The results of one system; may be repeated.")
    ] = None,
    reference: Annotated[Path | None, typer.Option(help="What results should be: a video, or a folder.")] = None,
    expression_source: Annotated[Path | None, typer.Option(help="Whose expression was asked for.")] = None,
    audio_source: Annotated[Path | None, typer.Option(help="The speech that was asked for.")] = None,
    pairs: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Pairs, instead of by name.")] = None,
    no_audio: Names = None,
    no_expression: Names = None,
    metrics: Annotated[str | None, typer.Option(metavar="NAME,…", help="Which; all of the usual ones.")] = None,
    metric_option: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC.KEY=VALUE", help="An option of one metric, e.g. sync.protocol=frame; repeatable."),
    ] = None,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Missing weights are no failure.")] = False,
    workers: Annotated[int | None, typer.Option(help="Results scored at the same time.", min=1)] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for tables and report.")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: DeviceName = None,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Score talking-head videos of one system or several: tables, intervals, a report."""
    from jean.evaluation.evaluate import EvaluateConfig
    from jean.evaluation.evaluate import evaluate as run

    reporter = Reporter(json_output, quiet)
    stage = configure(
        EvaluateConfig,
        config,
        sets,
        systems=_systems(system) if system else None,
        reference=reference,
        expression_source=expression_source,
        audio_source=audio_source,
        pairs=pairs,
        no_audio=no_audio or None,
        no_expression=no_expression or None,
        metrics=[name.strip() for name in metrics.split(",")] if metrics else None,
        metric_options=_metric_options(metric_option) if metric_option else None,
        workers=workers,
        seed=seed,
        device=device,
    )
    table = run(results or [], stage, output, reporter)
    reporter.finish(table, _text(table, output))
    # after the tables, which hold what could be computed
    if table["failed"]:
        code, what = InputError.exit_code, f"{len(table['failed'])} results could not be scored"
    elif table["missing"] and not allow_missing:
        code = SetupError.exit_code
        what = f"not computed: {', '.join(table['missing'])} (--allow-missing makes this no failure)"
    else:
        return
    reporter.warn(what)
    raise typer.Exit(code)


def _systems(entries: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for entry in entries:
        name, equals, folder = entry.partition("=")
        if not equals or not name.strip() or not folder:
            raise UsageError(f"--system {entry}: no NAME=DIR.", "Write, for example: --system ours=results/ours")
        if name in found:
            raise UsageError(f"there are two systems called {name!r}.", "Give each its own name.")
        found[name.strip()] = Path(folder)
    return found


def _metric_options(entries: list[str]) -> dict[str, dict[str, str]]:
    options: dict[str, dict[str, str]] = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        metric, dot, option = key.strip().partition(".")
        if not equals or not dot or not metric or not option:
            raise UsageError(
                f"--metric-option {entry}: no METRIC.KEY=VALUE.",
                "Write, for example: --metric-option sync.protocol=frame",
            )
        if option in options.setdefault(metric, {}):
            raise UsageError(f"--metric-option {metric}.{option} is given twice.", "Give it once.")
        options[metric][option] = value
    return options


def _text(table: dict[str, Any], output: Path | None) -> str:
    from jean.evaluation.tables import to_markdown

    return to_markdown(table) + (f"\nReport: {output / 'report.html'}" if output is not None else "")
