"""Stages that are done once: a record of what each was made from, what it gave and how long it took."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jean
from jean.errors import ArtefactError
from jean.files import read_json, write_json
from jean.progress import Progress


class Stages:
    """Runs the stages of one output folder in order.

    A stage is skipped when its record says that it was made from the same (its own options and all
    stages before it) and its files are still there.

    Attributes:
        seconds: how long each stage took when it ran, by its title.
    """

    def __init__(self, folder: Path, progress: Progress):
        self._folder, self._progress = folder / "stages", progress
        self._chain = jean.__version__
        self.seconds: dict[str, float] = {}

    def run(self, name: str, title: str, made_from: Any, files: list[Path], work: Callable[[], Any]) -> Any:
        """The result of ``work`` (JSON values), from its record if that holds.

        Args:
            name: of the record.
            title: shown to people.
            made_from: everything that decides the result, as JSON values.
            files: must be there for the record to hold.
        """
        self._chain = hashlib.sha256(json.dumps([self._chain, name, made_from]).encode()).hexdigest()
        record = self._read(self._folder / f"{name}.json")
        if record.get("made_from") == self._chain and all(path.exists() for path in files):
            self._progress.say(f"{title}: already done.")
        else:
            self._progress.say(f"{title} …")
            started = time.monotonic()
            result = work()
            record = {"made_from": self._chain, "seconds": time.monotonic() - started, "result": result}
            write_json(self._folder / f"{name}.json", record)
        self.seconds[title] = float(record["seconds"])
        return record["result"]

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        try:
            return dict(read_json(path))
        except (ArtefactError, ValueError, TypeError):
            return {}  # no record: the stage runs
