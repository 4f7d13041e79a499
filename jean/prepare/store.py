"""Finished steps of a long job, kept on disk under a key, so that nothing is done twice.

A step's key is the hash of everything that decides its result: its own options, the versions of what it
uses, and the keys of the steps it builds on. Results lie in ``ROOT/.work/NAME``; large files that are part
of the product itself are moved to ``ROOT``. ``step.json`` is written last: without it the step is not done.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jean.errors import ArtefactError
from jean.files import read_json, sha256, write_error, write_json

FOLDER = ".work"
RECORD = "step.json"


@dataclass(frozen=True)
class Step:
    """A finished step.

    Attributes:
        name: of the step.
        key: hash of all that decided the result.
        folder: where the files that stay in the store lie.
        info: what the work returned, JSON values.
        files: size and sha256 of each file, by name.
        seconds: what the work took when it was done.
        reused: it was found finished.
    """

    name: str
    key: str
    folder: Path
    info: dict[str, Any]
    files: dict[str, dict[str, Any]]
    seconds: float
    reused: bool


@dataclass
class StepStore:
    """The steps of one output folder.

    Attributes:
        root: the output folder.
        on_change: called once, before the first new result replaces an old one; the place to take
            back the mark that says that the product is whole.
        steps: what was asked for so far, in order.
    """

    root: Path
    on_change: Callable[[], None] = lambda: None
    steps: list[Step] = field(default_factory=list)

    def run(
        self,
        name: str,
        inputs: dict[str, Any],
        work: Callable[[Path], dict[str, Any] | None],
        publish: Sequence[str] = (),
    ) -> Step:
        """Finds the step finished, or does it.

        Args:
            name: of the step, a plain word.
            inputs: JSON values that decide the result; give ``Step.key`` of the steps it builds on.
            work: writes its files into the folder it is given and returns JSON values to remember.
            publish: names of files that are moved to ``root``.

        Raises:
            SetupError: a file cannot be written.
        """
        key = key_of(name, inputs)
        step = self._finished(name, key, publish)
        if step is None:
            step = self._do(name, key, work, publish)
        self.steps.append(step)
        return step

    def drop(self, name: str) -> None:
        """Forgets a step and removes its files, the published ones too."""
        folder = self.root / FOLDER / name
        if (folder / RECORD).is_file():
            try:
                published = read_json(folder / RECORD)["published"]
            except (ArtefactError, KeyError, TypeError):
                published = []
            for file in published:
                (self.root / file).unlink(missing_ok=True)
        _remove(folder)

    def _finished(self, name: str, key: str, publish: Sequence[str]) -> Step | None:
        folder = self.root / FOLDER / name
        if not (folder / RECORD).is_file():
            return None
        try:
            record = read_json(folder / RECORD)
            if record["key"] != key:
                return None
            for file, facts in record["files"].items():
                path = (self.root if file in record["published"] else folder) / file
                if path.stat().st_size != facts["bytes"]:
                    return None
            return Step(name, key, folder, record["info"], record["files"], record["seconds"], True)
        except (ArtefactError, OSError, KeyError, TypeError, AttributeError):
            return None  # damaged: as good as not done

    def _do(self, name: str, key: str, work: Callable[[Path], Any], publish: Sequence[str]) -> Step:
        folder = self.root / FOLDER / name
        partial = folder.with_name(f"{name}.partial")
        started = time.monotonic()
        try:
            _remove(partial)
            partial.mkdir(parents=True)
            info = work(partial) or {}
            files = {path.name: _settle(path) for path in sorted(partial.iterdir())}
            if all(done.reused for done in self.steps):
                self.on_change()
            self.drop(name)
            for file in publish:
                if file in files:
                    os.replace(partial / file, self.root / file)
            os.replace(partial, folder)
            seconds = round(time.monotonic() - started, 3)
            published = [file for file in publish if file in files]
            write_json(
                folder / RECORD,
                {"key": key, "info": info, "files": files, "published": published, "seconds": seconds},
            )
        except OSError as error:
            raise write_error(Path(error.filename or partial), error) from error
        finally:
            _remove(partial)
            with suppress(OSError):  # not empty: other steps are kept
                partial.parent.rmdir()
        return Step(name, key, folder, info, files, seconds, False)


def key_of(name: str, inputs: dict[str, Any]) -> str:
    """Hex hash of a step's name and inputs; the order of the keys does not matter."""
    text = json.dumps([name, inputs], sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _settle(path: Path) -> dict[str, Any]:
    """Forces a file to disk and says what it is."""
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
