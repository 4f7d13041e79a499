"""Pytest plugin of the fault suite: ``pytest --faults FILE`` runs it in full and writes what survived.

Without the option, the tests of ``tests/faults`` run in a fast form, and the listed ones as always.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.fault_rows import ELSEWHERE, ROWS

_PROPERTY = "fault_cases"
_HEAD = """# Reliability

What was done to `jean`, and how often it survived. `make faults` runs the suite on this machine and writes this page; a
fast form of the same tests runs in `make test`. A case is one kill, one signal, one damaged file, one command or one
test; it is lost if anything but the required outcome happens.

Measured on {date} with Python {python} on {machine}, {cores} cores, in {minutes:.0f} minutes: {tried} cases,
{lost} lost.

| row | fault | required | tried | survived | lost | tests |
| --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass
class Tally:
    """Counts cases of one test.

    Attributes:
        full: whether the suite runs in full.
        tried: number of cases.
        lost: what happened in those that did not end as required.
    """

    full: bool
    tried: int = 0
    lost: list[str] = field(default_factory=list)

    def count(self, full: int, fast: int) -> int:
        """Number of cases to try."""
        return full if self.full else fast

    @contextmanager
    def case(self, name: str) -> Iterator[None]:
        """Counts one case; an exception in it loses the case and does not end the test."""
        self.tried += 1
        try:
            yield
        except (AssertionError, OSError, ValueError, RuntimeError, TimeoutError) as error:
            self.lost.append(f"{name}: {type(error).__name__} {str(error).strip()[:300]}")


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """The tally of a test; the test fails if a case was lost or none was tried."""
    tally = Tally(request.config.getoption("--faults") is not None)
    yield tally
    request.node.user_properties.append((_PROPERTY, (tally.tried, tally.lost)))
    assert tally.tried and not tally.lost, "\n".join(tally.lost) or "no case was tried"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", metavar="FILE", default=None, help="run the fault suite in full and write FILE")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(row): belongs to a row of the fault suite, see tests/helpers/fault_rows")
    if config.getoption("--faults") is not None:
        if config.getoption("numprocesses", None):
            raise pytest.UsageError("--faults works in one process: leave -n away")
        config.pluginmanager.register(_Report(Path(config.getoption("--faults")).resolve()), "fault_report_writer")


def rows_of(item: pytest.Item) -> list[int]:
    """The rows that a test belongs to."""
    rows = {int(mark.args[0]) for mark in item.iter_markers("fault")}
    place = item.nodeid.removeprefix("tests/")
    rows |= {row for row, prefixes in ELSEWHERE.items() if any(place.startswith(prefix) for prefix in prefixes)}
    return sorted(rows)


@dataclass
class _Outcome:
    files: set[str] = field(default_factory=set)
    tried: int = 0
    lost: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


class _Report:
    """Selects the tests of the suite, collects their outcomes and writes the page."""

    def __init__(self, path: Path):
        self.path, self.begun = path, time.monotonic()
        self.rows: dict[str, list[int]] = {}
        self.failed: set[str] = set()  # tests that failed outside their tally
        self.outcomes = {number: _Outcome() for number in ROWS}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if rows_of(item)]
        config.hook.pytest_deselected(items=[item for item in items if not rows_of(item)])
        items[:] = chosen
        self.rows = {item.nodeid: rows_of(item) for item in chosen}

    def pytest_runtest_logreport(self, report: Any) -> None:
        failed_early = report.when == "setup" and report.outcome != "passed"
        if report.when != "teardown" and not failed_early:
            if report.failed or hasattr(report, "wasxfail"):  # a known fault is a lost case, too
                self._lose(report)
            return
        for number in self.rows.get(report.nodeid, []):
            outcome = self.outcomes[number]
            if report.skipped:
                outcome.skipped.append(report.nodeid)
                continue
            counted = int(report.nodeid not in self.failed)
            tried, lost = dict(report.user_properties).get(_PROPERTY, (counted, []))
            outcome.tried += tried
            outcome.lost += lost or ([report.nodeid] if report.failed else [])
            outcome.files.add(report.nodeid.split("::")[0].removeprefix("tests/"))

    def _lose(self, report: Any) -> None:
        """Counts a test that failed outside the cases of its tally."""
        self.failed.add(report.nodeid)
        for number in self.rows.get(report.nodeid, []):
            self.outcomes[number].tried += 1
            self.outcomes[number].lost.append(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        tried = sum(outcome.tried for outcome in self.outcomes.values())
        lost = sum(len(outcome.lost) for outcome in self.outcomes.values())
        text = _HEAD.format(
            date=time.strftime("%Y-%m-%d"),
            python=platform.python_version(),
            machine=f"{platform.system()} {platform.machine()}",
            cores=os.cpu_count(),
            minutes=(time.monotonic() - self.begun) / 60,
            tried=tried,
            lost=lost,
        )
        for number, row in ROWS.items():
            outcome = self.outcomes[number]
            cells = [
                f"{number} {row.name}",
                row.fault,
                row.required,
                str(outcome.tried or "none"),
                str(outcome.tried - len(outcome.lost)),
                str(len(outcome.lost)),
                ", ".join(f"`{file}`" for file in sorted(outcome.files)),
            ]
            text += "| " + " | ".join(cells) + " |\n"
        text += "\n## What is not proven here\n\n"
        limits = [f"- Row {number}, {row.name}: {row.limits}\n" for number, row in ROWS.items() if row.limits]
        skipped = sorted({place for outcome in self.outcomes.values() for place in outcome.skipped})
        text += "".join(limits) + "".join(f"- Skipped on this machine: `{place}`.\n" for place in skipped)
        if lost:
            text += "\n## Lost\n\n" + "".join(
                f"- Row {number}: {json.dumps(case, ensure_ascii=False)}\n"
                for number, outcome in self.outcomes.items()
                for case in outcome.lost
            )
        self.path.write_text(text, encoding="utf-8")
