"""``jean evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jean.errors import InputError, SetupError, UsageError
from jean_cli.command import command
from jean_cli.console import Reporter
from jean_cli.options import Option

if TYPE_CHECKING:
    from jean.evaluation.config import EvaluateConfig


def parse_systems(entries: list[str]) -> dict[str, Path]:
    """The systems of ``--system NAME=DIR``, given once for each.

    Raises:
        UsageError: an entry without a name or a folder, or two of one name.
    """
    systems: dict[str, Path] = {}
    for entry in entries:
        name, equals, folder = entry.partition("=")
        if not equals or not name.strip() or not folder:
            raise UsageError(f"--system {entry}: no NAME=DIR.", "Write, for example: --system ours=results/ours")
        if name.strip() in systems:
            raise UsageError(f"there are two systems called {name.strip()!r}.", "Give each its own name.")
        systems[name.strip()] = Path(folder)
    return systems


def parse_metric_options(entries: list[str]) -> dict[str, dict[str, str]]:
    """The options of metrics, by metric and option, from ``--metric-option METRIC.OPTION=VALUE``.

    Raises:
        UsageError: an entry of another form, or an option given twice.
    """
    options: dict[str, dict[str, str]] = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        metric, dot, option = key.strip().partition(".")
        if not equals or not dot or not metric or not option:
            raise UsageError(
                f"--metric-option {entry}: no METRIC.OPTION=VALUE.",
                "Write, for example: --metric-option sync.protocol=frame",
            )
        if option in options.setdefault(metric, {}):
            raise UsageError(f"--metric-option {metric}.{option} is given twice.", "Give it once.")
        options[metric][option] = value
    return options


@command(
    config="jean.evaluation.config:EvaluateConfig",
    options=[
        Option("systems", flag="--system", metavar="NAME=DIR", parse=parse_systems),
        Option("reference", metavar="SOURCE"),
        Option("expression_source", metavar="SOURCE"),
        Option("audio_source", metavar="SOURCE"),
        Option("pairs", metavar="FILE.csv"),
        Option("no_audio", metavar="NAME"),
        Option("no_expression", metavar="NAME"),
        Option("metrics", metavar="NAME,…", separator=","),
        Option("metric_options", flag="--metric-option", metavar="METRIC.OPTION=VALUE", parse=parse_metric_options),
        Option("workers", metavar="N"),
        Option("cluster", metavar="ADDRESS"),
    ],
    example="jean evaluate --system ours=results/ours --reference videos/ -o tables",
)
def evaluate(
    config: EvaluateConfig,
    reporter: Reporter,
    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RESULT]...", help="Videos, clips or folders of them, of one system without a name."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder for the tables and the report.")
    ] = None,
    landmarks: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Short for --metric-option own_sync.landmarks=RUN.")
    ] = None,
    audio_encoder: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Short for --metric-option own_sync.audio_encoder=RUN.")
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Exit with 0 although metrics without weights are left out."),
    ] = False,
) -> None:
    """Score talking-head videos of one or several systems: tables, confidence intervals, a report."""
    from jean.evaluation.evaluate import evaluate

    runs = {name: run for name, run in (("landmarks", landmarks), ("audio_encoder", audio_encoder)) if run is not None}
    if runs:
        own_sync = config.metric_options.get("own_sync", {}) | runs
        config = config.model_copy(update={"metric_options": config.metric_options | {"own_sync": own_sync}})
    table = evaluate(results or [], config, output, reporter)
    reporter.finish(table, _text(table, output))
    # the tables come first: they hold what could be computed
    if table["failed"]:
        code, problem = InputError.exit_code, f"{len(table['failed'])} results could not be scored"
    elif table["missing"] and not allow_missing:
        code = SetupError.exit_code
        problem = f"not computed: {', '.join(table['missing'])} (--allow-missing makes this no failure)"
    else:
        return
    reporter.warn(problem)
    raise typer.Exit(code)


def _text(table: dict[str, Any], output: Path | None) -> str:
    from jean.evaluation.tables import to_markdown

    return to_markdown(table) + (f"\nReport: {output / 'report.html'}" if output is not None else "")
