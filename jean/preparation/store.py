"""Finished steps of a long job, stored under keys so that nothing is done twice.

A step's key is the hash of everything that decides its result: its options, the versions of what it uses, and the keys
of the steps it builds on. Results are stored in ``ROOT/.work/NAME``. Files that belong to the product are published:
moved to ``ROOT``. ``step.json`` is written last; a step without it is not finished. Neither is a step of which a file
was removed, cut off or changed: the sha256 of every file is compared before the step is reused.
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
from jean.files import sha256, write_error
from jean.integrity import HashCache, content_facts, read_sealed, write_sealed
from jean.tuning import return_freed_memory

FOLDER = ".work"
RECORD = "step.json"


@dataclass(frozen=True)
class Step:
    """A finished step.

    Attributes:
        name: of the step.
        key: hash of everything that decided the result.
        folder: of the files that are not published.
        info: JSON values that the work returned.
        files: ``bytes`` and ``sha256`` of each file, by name.
        seconds: duration of the work.
        reused: whether the step was finished before.
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
        on_change: called once, before the first new result replaces an old one; it should remove the mark that the
            product is complete.
        steps: the steps that were run so far, in order.
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
        products: Sequence[Path] = (),
    ) -> Step:
        """Returns the finished step, after doing its work if necessary.

        Args:
            name: of the step; also the name of its folder.
            inputs: JSON values that decide the result; use ``Step.key`` for the steps it builds on.
            work: writes files into the folder that it is given and returns JSON values to store.
            publish: names of files that are moved to ``root``.
            products: files and folders below ``root`` that the work writes itself.

        Raises:
            SetupError: a file cannot be written.
        """
        key = key_of(name, inputs)
        step = self._finished(name, key)
        if step is None:
            step = self._do(name, key, work, publish, products)
        self.steps.append(step)
        return step

    def drop(self, name: str, *published: str) -> None:
        """Removes a step and its files.

        Args:
            name: of the step.
            published: files in ``root`` that are removed even if the step did not record them.
        """
        folder = self.root / FOLDER / name
        for file in {*published, *_published(folder)}:
            (self.root / file).unlink(missing_ok=True)
        _remove(folder)

    def remove_others(self) -> None:
        """Removes the folders of steps that were not run; their published files stay.

        Older versions named some steps differently, so a published file may belong to a current step.
        """
        folder = self.root / FOLDER
        names = {step.name for step in self.steps}
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in names:
                _remove(path)

    def _finished(self, name: str, key: str) -> Step | None:
        folder = self.root / FOLDER / name
        if not (folder / RECORD).is_file():
            return None
        try:
            record = read_sealed(folder / RECORD)
            if record["key"] != key:
                return None
            hashes = HashCache(self.root)
            for file, facts in record["files"].items():
                path = Path(file) if file in record["published"] else Path(FOLDER) / name / file
                if (self.root / path).stat().st_size != facts["bytes"]:
                    return None
                if hashes.sha256(path.as_posix()) != facts["sha256"]:
                    return None
            hashes.save()
            for file, digest in record["products"].items():
                if content_facts(self.root / file)["sha256"] != digest:
                    return None
            return Step(name, key, folder, record["info"], record["files"], record["seconds"], True)
        except (ArtefactError, OSError, KeyError, TypeError, AttributeError):
            return None  # a damaged record means that the step is not finished

    def _do(
        self, name: str, key: str, work: Callable[[Path], Any], publish: Sequence[str], products: Sequence[Path]
    ) -> Step:
        folder = self.root / FOLDER / name
        partial = folder.with_name(f"{name}.partial")
        started = time.monotonic()
        try:
            _remove(partial)
            partial.mkdir(parents=True)
            info = json.loads(json.dumps(work(partial) or {}))  # the same types whether fresh or read back
            return_freed_memory()  # the peak is then that of a single step
            files = {path.name: _settle(path) for path in sorted(partial.iterdir())}
            if all(step.reused for step in self.steps):
                self.on_change()
            self.drop(name)
            published = [file for file in publish if file in files]
            for file in published:
                os.replace(partial / file, self.root / file)
            os.replace(partial, folder)
            seconds = round(time.monotonic() - started, 3)
            record = {"key": key, "info": info, "files": files, "published": published, "seconds": seconds}
            record["products"] = {
                path.relative_to(self.root).as_posix(): content_facts(path)["sha256"] for path in products
            }
            write_sealed(folder / RECORD, record)
        except OSError as error:
            raise write_error(Path(error.filename or partial), error) from error
        finally:
            _remove(partial)
            with suppress(OSError):  # not empty: it holds other steps
                partial.parent.rmdir()
        return Step(name, key, folder, info, files, seconds, False)


def key_of(name: str, inputs: dict[str, Any]) -> str:
    """Hex sha256 of a step's name and inputs; the order of the keys does not matter."""
    text = json.dumps([name, inputs], sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _published(folder: Path) -> list[str]:
    """Names of the files that a step has published, from its record."""
    try:
        return [str(name) for name in read_sealed(folder / RECORD)["published"]]
    except (ArtefactError, KeyError, TypeError):
        return []


def _settle(path: Path) -> dict[str, Any]:
    """Flushes a file to disk and returns its size and hash."""
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
