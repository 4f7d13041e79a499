"""A report of guarded parts: one that fails is noted, the next one runs, and the file is written after each."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jean.files import write_json


class Report:
    """Results of parts by name.

    Args:
        path: JSON file, written after every part.
        limit_s: parts that would begin later are left out.

    Attributes:
        result: results so far. A part without a result has the key ``reason``.
        failed: names of the parts that raised an error.
    """

    def __init__(self, path: Path, limit_s: float):
        self.path, self.limit_s = path, limit_s
        self.result: dict[str, Any] = {}
        self.failed: list[str] = []
        self._began = time.monotonic()

    def part(self, name: str, work: Callable[[], dict[str, Any]], **constants: float) -> dict[str, Any]:
        """Runs a part and stores its result with ``constants``, or why there is none; returns what it stores."""
        began = time.monotonic()
        if began - self._began > self.limit_s:
            outcome: dict[str, Any] = {"value": None, "reason": f"not begun: the limit is {self.limit_s:.0f} s"}
        else:
            try:
                outcome = work()
            except Exception as error:  # whatever it is: the other parts must still report
                traceback.print_exc(file=sys.stderr)
                self.failed.append(name)
                outcome = {"value": None, "reason": f"{type(error).__name__}: {error}"}
        self.result[name] = outcome | constants
        self.result["seconds"] = self.result.get("seconds", {}) | {name: round(time.monotonic() - began, 2)}
        self.result["failed"] = self.failed
        write_json(self.path, self.result)
        line = self.result[name].get("reason") or "done"
        print(f"{time.monotonic() - self._began:6.1f} s  {name}: {line}", file=sys.stderr, flush=True)
        return self.result[name]
