"""Pytest plugin of the fault suite: ``pytest --faults FILE`` runs it in full and writes what survived.

With names of tests, it renews the part of the page that these tests belong to, and keeps the rest. Without the option,
the tests of ``tests/faults`` run in a fast form, and the listed ones as always.
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

from jean.files import write_json, write_text
from tests.helpers.fault_rows import ELSEWHERE, ROWS

_PROPERTY = "fault_cases"
_HEAD = """# Reliability

What was done to `jean`, and how often it survived. `make faults` runs the suite on this machine and writes this page; a
fast form of the same tests runs in `make test`. A case is one kill, one signal, one damaged file, one command or one
test; it is lost if anything but the required outcome happens.

Measured on {date}, Python {python}, {machine}, {cores} cores; the tests took {minutes:.0f} minutes: {tried} cases,
{lost} lost. What each test came to is in [reliability.json](reliability.json).

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
    """What a row or a test came to: cases tried, what was lost, what was skipped."""

    files: set[str] = field(default_factory=set)
    tried: int = 0
    lost: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


class _Report:
    """Selects the tests of the suite, records the outcome of each, and writes the page.

    The record (JSON, beside the page) is written after every test, so that a run that is stopped loses nothing, and
    a run of some tests renews their part of the page alone.
    """

    def __init__(self, path: Path):
        self.path, self.record_path = path, path.with_suffix(".json")
        self.record: dict[str, dict[str, Any]] = {}
        if self.record_path.exists():
            self.record = json.loads(self.record_path.read_text(encoding="utf-8"))
        self.rows: dict[str, list[int]] = {}
        self.failed: set[str] = set()  # tests that failed outside their tally
        self.seconds = 0.0  # of the phases of the present test

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if rows_of(item)]
        config.hook.pytest_deselected(items=[item for item in items if not rows_of(item)])
        items[:] = chosen
        self.rows = {item.nodeid: rows_of(item) for item in chosen}
        if config.args_source is not pytest.Config.ArgsSource.ARGS:  # all tests were collected
            self.record = {place: entry for place, entry in self.record.items() if place in self.rows}

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds = report.duration + (self.seconds if report.when != "setup" else 0)
        failed_early = report.when == "setup" and report.outcome != "passed"
        if report.when != "teardown" and not failed_early:
            if report.failed or hasattr(report, "wasxfail"):  # a known fault is a lost case, too
                self.failed.add(report.nodeid)
            return
        failed = report.failed or report.nodeid in self.failed
        tried, lost = dict(report.user_properties).get(_PROPERTY, (int(not failed), []))
        if failed and not lost:  # outside the cases of its tally
            tried, lost = tried + 1, [report.nodeid]
        self.record[report.nodeid] = {
            "rows": self.rows.get(report.nodeid, []),
            "date": time.strftime("%Y-%m-%d"),
            "seconds": round(self.seconds, 1),
            "tried": 0 if report.skipped else tried,
            "lost": lost,
            "skipped": bool(report.skipped),
        }
        self._write()

    def _write(self) -> None:
        """Writes the record and the page."""
        write_json(self.record_path, dict(sorted(self.record.items())))
        write_text(self.path, page_of(self.record))


def page_of(record: dict[str, dict[str, Any]]) -> str:
    """The page of a record.

    Args:
        record: of each test, by its name: ``rows`` (numbers), ``date``, ``seconds``, ``tried``, ``lost`` (texts) and
            ``skipped``.
    """
    outcomes = {number: _Outcome() for number in ROWS}
    for place, entry in record.items():
        for outcome in (outcomes[number] for number in entry["rows"]):
            outcome.tried += entry["tried"]
            outcome.lost += entry["lost"]
            if entry["skipped"]:
                outcome.skipped.append(place)
            else:
                outcome.files.add(place.split("::")[0].removeprefix("tests/"))
    dates = sorted({entry["date"] for entry in record.values()})
    text = _HEAD.format(
        date=" to ".join(dict.fromkeys((dates[0], dates[-1]))),
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.machine()}",
        cores=os.cpu_count(),
        minutes=sum(entry["seconds"] for entry in record.values()) / 60,
        tried=sum(outcome.tried for outcome in outcomes.values()),
        lost=sum(len(outcome.lost) for outcome in outcomes.values()),
    )
    for number, row in ROWS.items():
        outcome = outcomes[number]
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
    text += "".join(f"- Row {number}, {row.name}: {row.limits}\n" for number, row in ROWS.items() if row.limits)
    skipped = sorted({place for outcome in outcomes.values() for place in outcome.skipped})
    text += "".join(f"- Skipped on this machine: `{place}`.\n" for place in skipped)
    lost = [(number, case) for number, outcome in outcomes.items() for case in outcome.lost]
    if lost:
        text += "\n## Lost\n\n"
        text += "".join(f"- Row {number}: {case.splitlines()[0]}\n" for number, case in lost)
    return text
