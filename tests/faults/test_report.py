"""The page of the fault suite says what the record says."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.helpers.fault_report import page_of


def entry(row: int, **known: Any) -> dict[str, Any]:
    return {"rows": [row], "date": "2026-01-02", "seconds": 60.0, "tried": 1, "lost": [], "skipped": False, **known}


def test_a_page_counts_cases_and_lists_what_was_lost_and_skipped() -> None:
    page = page_of(
        {
            "tests/a.py::first": entry(6, tried=3, lost=["byte 7\nand where"]),
            "tests/a.py::second": entry(6, tried=2, date="2026-01-05"),
            "tests/b.py::third": entry(9, tried=0, skipped=True),
        }
    )
    row = next(line for line in page.splitlines() if line.startswith("| 6 "))
    assert [cell.strip() for cell in row.split("|")][4:8] == ["5", "4", "1", "`a.py`"]
    row = next(line for line in page.splitlines() if line.startswith("| 9 "))
    assert [cell.strip() for cell in row.split("|")][4:7] == ["none", "0", "0"]
    assert "2026-01-02 to 2026-01-05" in page and "took 3 minutes" in page and "5 cases,\n1 lost" in page
    assert "Skipped on this machine: `tests/b.py::third`" in page and "- Row 6: byte 7\n" in page


def test_a_run_of_one_test_keeps_the_rest_of_the_record(tmp_path) -> None:
    other = {"tests/gone.py::test": entry(6)}
    (tmp_path / "page.json").write_text(json.dumps(other))
    test = "tests/test_checkpoint.py::test_a_huge_json_file_is_rejected_before_it_is_parsed"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--faults", tmp_path / "page.md", test]
    assert subprocess.run(command, capture_output=True).returncode == 0
    record = json.loads((tmp_path / "page.json").read_text())
    assert record["tests/gone.py::test"] == other["tests/gone.py::test"]
    assert record[test]["tried"] == 1 and 24 in record[test]["rows"]
    assert "| 24 hostile files |" in (tmp_path / "page.md").read_text()
