"""``jean demo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jean_cli.command import command
from jean_cli.console import Reporter
from jean_cli.options import Output

if TYPE_CHECKING:
    from jean.demo.config import DemoConfig


@command(config="jean.demo.config:DemoConfig", options=["short"], example="jean demo -o demo --short")
def demo(output: Output, config: DemoConfig, reporter: Reporter) -> None:
    """Run every stage on a synthetic speaker, without any download, and write a report."""
    from jean.demo.run import run_demo

    reporter.finish(run_demo(output, config, reporter))
