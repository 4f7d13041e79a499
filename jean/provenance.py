"""Says of every result that it is synthetic, what made it and from what; and checks that it still does.

Two places, so that one survives the loss of the other: a manifest beside the file (``out.mp4.json``)
and tags inside the mp4. Both carry the manifest's ``id``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from jean import __version__
from jean.errors import ArtefactError, InputError
from jean.files import read_json, sha256, write_json

FORMAT = 1
STATEMENT = "Synthetic: made by a computer, not a recording of what anyone said or did."
TAGGED = (".mp4", ".m4v", ".mov", ".mkv")


def manifest(
    kind: str,
    inputs: Mapping[str, str | Path],
    options: Mapping[str, Any],
    result: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The manifest of a result that is about to be made.

    Args:
        kind: what made it, e.g. ``"render"``.
        inputs: file or folder by the part it plays, e.g. ``{"audio": Path("a.wav")}``; all are hashed.
            Only their names are kept, not where they lie.
        options: everything that decides the result, as JSON-like values, paths and numpy numbers.
        result: facts about it, e.g. ``{"frames": 200, "fps": 25}``.

    Raises:
        InputError: an input cannot be read.
    """
    body = {
        "format": FORMAT,
        "synthetic": True,
        "statement": STATEMENT,
        "kind": kind,
        "tool": {"name": "jean", "version": __version__},
        "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "inputs": {part: _facts(Path(path)) for part, path in inputs.items()},
        "options": plain(options),
        "result": plain(result or {}),
    }
    return {**body, "id": _identity(body)}


def metadata_tags(made: Mapping[str, Any]) -> dict[str, str]:
    """Short tags for the video file itself: ``comment`` for programs, ``description`` for people."""
    inputs = ",".join(f"{part}:{facts['sha256'][:16]}" for part, facts in made["inputs"].items())
    tool = f"{made['tool']['name']} {made['tool']['version']}"
    fields = {
        "synthetic": "true",
        "tool": tool,
        "kind": made["kind"],
        "created": made["created_utc"],
        "manifest": made["id"],
        "inputs": inputs,
    }
    return {
        "comment": "; ".join(f"{name}={value}" for name, value in fields.items()),
        "description": f"{STATEMENT} Made with {tool}.",
    }


def manifest_path(output: str | Path) -> Path:
    """Where the manifest of ``output`` (file or folder) lies: beside it, ``.json`` added to its name."""
    output = Path(output)
    return output.with_name(output.name + ".json")


def write_manifest(output: str | Path, made: Mapping[str, Any]) -> Path:
    """Writes the manifest beside the finished ``output``, with its hash; returns its path.

    Raises:
        InputError: the output is not there.
        SetupError: it cannot be written.
    """
    path = manifest_path(output)
    write_json(path, {**made, "output": _facts(Path(output))})
    return path


def check(path: str | Path) -> dict[str, Any]:
    """Whether a result is marked as synthetic and unchanged since it was made.

    Returns:
        ``ok`` (manifest there and whole, hash of the output right, tags right where the file can carry
        them), ``synthetic`` (the manifest or the tags say so), ``hash_matches`` and ``tags_match``
        (None: not checked), ``problems`` (one line each), and ``manifest``, its content or None.

    Raises:
        InputError: ``path`` cannot be read.
    """
    path = Path(path)
    found = _facts(path)
    problems: list[str] = []
    made = _read(manifest_path(path), problems)
    marked = made is not None and made.get("synthetic") is True
    hash_matches = None
    if made is not None:
        if not marked:
            problems.append("the manifest does not say that it is synthetic")
        if made.get("id") != _identity(made):
            problems.append("the manifest was changed after it was written")
        output = made.get("output")
        hash_matches = isinstance(output, dict) and output.get("sha256") == found["sha256"]
        if not hash_matches:
            problems.append(f"{path.name} is not the file that the manifest describes")
    tags_match = None
    tagged = False
    if path.is_file() and path.suffix.lower() in TAGGED:
        fields = _fields(path, problems)
        if fields is not None:
            tagged = fields.get("synthetic") == "true"
            tags_match = tagged and (made is None or fields.get("manifest") == made.get("id"))
            if not tags_match:
                problems.append(
                    f"the tags inside {path.name} " + ("name another manifest" if tagged else "are missing")
                )
    return {
        "path": str(path),
        "ok": not problems,
        "synthetic": marked or tagged,
        "hash_matches": hash_matches,
        "tags_match": tags_match,
        "problems": problems,
        "manifest": made,
    }


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: a path becomes its name, a number that is not finite its spelling."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(one) for one in value), key=str)
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Path):
        return value.name
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _identity(made: Mapping[str, Any]) -> str:
    """16 hex digits over everything but the id itself and the output, which comes later."""
    body = {name: value for name, value in made.items() if name not in ("id", "output")}
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:16]


def _facts(path: Path) -> dict[str, Any]:
    """Name, sha256 and size of a file, or of a folder: over the names and hashes of all its files."""
    try:
        if not path.is_dir():
            return {"name": path.name, "sha256": sha256(path), "bytes": path.stat().st_size}
        root = path.resolve()
        # Hidden files are locks and unfinished writes, not content
        files = sorted(
            one
            for one in root.rglob("*")
            if one.is_file() and not any(p[0] == "." for p in one.relative_to(root).parts)
        )
        digest = hashlib.sha256()
        for one in files:
            digest.update(f"{one.relative_to(root).as_posix()}\0{sha256(one)}\n".encode())
        size = sum(one.stat().st_size for one in files)
        return {"name": root.name, "sha256": digest.hexdigest(), "bytes": size, "files": len(files)}
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.", "Check the path.") from error


def _read(path: Path, problems: list[str]) -> dict[str, Any] | None:
    if not path.is_file():
        problems.append(f"there is no manifest {path.name}")
        return None
    try:
        made = read_json(path)
    except ArtefactError as error:
        problems.append(error.message)
        return None
    if not isinstance(made, dict) or made.get("format") != FORMAT:
        problems.append(f"{path.name} is not a manifest that this version reads")
        return None
    return made


def _fields(path: Path, problems: list[str]) -> dict[str, str] | None:
    """The fields of the comment tag; None where they could not be looked at."""
    from jean.media import has_av, read_tags

    if not has_av():
        return None
    try:
        tags = read_tags(path)
    except InputError as error:
        problems.append(error.message)
        return None
    comment = next((value for name, value in tags.items() if name.lower() == "comment"), "")
    pairs = (field.partition("=") for field in comment.split("; "))
    return {name: value for name, equals, value in pairs if equals}
