"""The record of a finished job beside its result, for commands and places that keep none of their own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jean import remote
from jean.clips.clip import Clip, is_clip
from jean.files import exists, plain, sha256, write_json
from jean.jobs.config import PLACE
from jean.jobs.kind import Kind
from jean.jobs.table import Job

SUFFIX = ".job.json"


@dataclass(frozen=True)
class Record:
    """What is stored beside the result of a job when it is finished: ``OUTPUT.job.json``.

    Attributes:
        output: path or address of the result.
        key: everything that the result depends on.
    """

    output: str
    key: str

    def facts(self) -> dict[str, Any] | None:
        """The facts of a result with this key that is still there; None if there is none."""
        path = self.output.rstrip("/") + SUFFIX
        try:
            if remote.is_url(path):
                content = remote.read_bytes(path)
            else:
                content = Path(path).read_bytes() if exists(Path(path)) else None
            document = json.loads(content) if content is not None else {}
            same = document.get("key") == self.key
            facts, sizes = document.get("facts"), document.get("files", {})
        except (ValueError, AttributeError, OSError):
            return None  # damaged: the job is done again
        if not same or not isinstance(facts, dict) or not isinstance(sizes, dict):
            return None
        if not remote.is_url(path):
            return facts if exists(Path(self.output)) else None
        folder = path.rsplit("/", 1)[0]
        return facts if all(remote.size_of(f"{folder}/{name}") == size for name, size in sizes.items()) else None

    def write(self, facts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
        """Stores the record, after the result."""
        path, document = self.output.rstrip("/") + SUFFIX, {"key": self.key, "facts": facts, "files": sizes}
        if remote.is_url(path):
            remote.write_bytes(path, json.dumps(plain(document)).encode())
        else:
            write_json(Path(path), plain(document))


def key_of(kind: Kind, job: Job) -> str:
    """Hex sha256 of everything that the result of a job depends on: options by value, files by content."""
    options = kind.config.model_dump(mode="json", exclude={*PLACE, "device"})
    content = {}
    for name, text in job.values.items():
        if name in kind.files + kind.paths:
            content[name] = remote.identity(text) if remote.is_url(text) else _digest(Path(text))
    for name, value in options.items():
        if name in kind.files + kind.paths and value is not None and exists(Path(value)):
            content.setdefault(name, _digest(Path(value)))
    return hashlib.sha256(json.dumps([options, job.values, content], sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str | None:
    """Identity of a clip, a file, or any other folder by its files' names, sizes and times; None if there is none."""
    if not exists(path):
        return None
    if is_clip(path):
        return Clip.open(path, pictures=False).digest()
    if path.is_file():
        return sha256(path)
    facts = [(str(f.relative_to(path)), f.stat().st_size, f.stat().st_mtime_ns) for f in path.rglob("*") if f.is_file()]
    return str(sorted(facts))
