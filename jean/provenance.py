"""Provenance: marks results as synthetic, records how they were made, and checks these marks.

The marks are in two places, so that one survives the loss of the other: a manifest beside the file
(``out.mp4.json``) and tags inside the video. Both contain the ``id`` of the manifest.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from jean import __version__
from jean.clips.clip import Clip, is_clip
from jean.clips.meta import CONTENT_FILES, META, ClipMeta
from jean.errors import ArtefactError, InputError, SetupError
from jean.files import plain, read_json, write_json
from jean.integrity import content_facts
from jean.marks import credentials, watermark

FORMAT = 1  # of the manifest
STATEMENT = "Synthetic: made by a computer, not a recording of what anyone said or did."
_LOOKED_AT = 40  # frames in which the invisible mark is looked for: more than half a second at 60 per second
TAGGED = (".mp4", ".m4v", ".mov", ".mkv", ".webm")  # video formats that hold tags


def manifest(
    kind: str,
    inputs: Mapping[str, str | Path],
    options: Mapping[str, Any],
    result: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Creates the manifest of a result before it is written.

    Args:
        kind: the command that makes the result, for example ``"render"``.
        inputs: file or folder by its role, for example ``{"audio": Path("a.wav")}``. All are hashed. Only their
            names are stored, not their folders.
        options: everything that determines the result: JSON-like values, paths and numpy numbers.
        result: properties of the result, for example ``{"frames": 200, "fps": 25}``.

    Returns:
        JSON values; ``id`` identifies the manifest.

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
        "inputs": {role: _fingerprint(Path(path)) for role, path in inputs.items()},
        "options": _plain(options),
        "result": _plain(result or {}),
    }
    return {**body, "id": _identity(body)}


def metadata_tags(document: Mapping[str, Any]) -> dict[str, str]:
    """Tags for the video file: ``comment`` for programs, ``description`` for people.

    Args:
        document: from ``manifest``.
    """
    inputs = ",".join(f"{role}:{facts['sha256'][:16]}" for role, facts in document["inputs"].items())
    tool = f"{document['tool']['name']} {document['tool']['version']}"
    fields = {
        "synthetic": "true",
        "tool": tool,
        "kind": document["kind"],
        "created": document["created_utc"],
        "manifest": document["id"],
        "inputs": inputs,
    }
    return {
        "comment": "; ".join(f"{name}={value}" for name, value in fields.items()),
        "description": f"{STATEMENT} Made with {tool}.",
    }


def manifest_path(output: str | Path) -> Path:
    """Path of the manifest of a file or folder: beside it, with ``.json`` added to its name."""
    output = Path(output)
    return output.with_name(output.name + ".json")


def write_manifest(
    output: str | Path,
    document: Mapping[str, Any],
    content: str | Path | None = None,
    others: Mapping[str, Path] | None = None,
) -> Path:
    """Writes a manifest beside the finished result, with the hash of the result.

    Args:
        output: the result, a file or folder.
        document: from ``manifest``.
        content: the complete result under a temporary name; None where it has its own name already.
        others: further files and folders that belong to the result, by what they hold.

    Returns:
        The path of the manifest.

    Raises:
        InputError: the result does not exist.
        SetupError: the manifest cannot be written.
    """
    output = Path(output)
    facts = _fingerprint(Path(content or output)) | {"name": output.name}
    hashes = {name: _fingerprint(path) for name, path in (others or {}).items()}
    path = manifest_path(output)
    write_json(path, {**document, "output": facts, **({"others": hashes} if hashes else {})})
    return path


def unchanged(output: Path, others: Mapping[str, Path] | None = None) -> dict[str, Any] | None:
    """The manifest of a result, if the result and the manifest are as they were written; None otherwise.

    Args:
        output: the result.
        others: further files and folders of the result that must be unchanged, as for ``write_manifest``.
    """
    document = _read(manifest_path(output), [])
    if document is None or document["id"] != _identity(document):
        return None
    expected = {output: document.get("output")}
    expected |= {path: document.get("others", {}).get(name) for name, path in (others or {}).items()}
    for path, facts in expected.items():
        if facts is None or not path.exists() or _fingerprint(path)["sha256"] != facts["sha256"]:
            return None
    return document


def check(path: str | Path) -> dict[str, Any]:
    """Checks whether a result is marked as synthetic and unchanged.

    Args:
        path: the result, a file or folder.

    Returns:
        ``ok``: no problem was found; ``synthetic``: a mark says that it is synthetic; ``tagged``: whether
        the tags inside do, also where the manifest is lost or belongs to another file (None: no tags can be read);
        ``credentials``: what signed credentials inside say, see ``jean.marks.credentials.read``;
        ``watermarked``: whether an invisible mark was found (None: not looked for, because the other marks speak, or
        because the file or this machine does not allow it);
        ``hash_matches`` and ``tags_match``: True, False, or None if not checked; ``problems``: one line each;
        ``manifest``: its content, or None.

    Raises:
        InputError: ``path`` cannot be read.
    """
    path = Path(path)
    fingerprint = _fingerprint(path)
    problems: list[str] = []
    document = _read(manifest_path(path), problems)
    marked = document is not None and document["synthetic"] is True
    hash_matches = None
    if document is not None:
        if not marked:
            problems.append("the manifest does not mark the file as synthetic")
        if document["id"] != _identity(document):
            problems.append("the manifest was changed after it was written")
        output = document.get("output")
        hash_matches = output is not None and output["sha256"] == fingerprint["sha256"]
        if not hash_matches:
            problems.append(f"{path.name} is not the file that the manifest describes")
    has_tags = path.suffix.lower() in TAGGED
    fields = _fields(path, problems if has_tags else []) if path.is_file() else None
    tagged = None if fields is None else fields.get("synthetic") == "true"
    tags_match = None
    if fields is not None and (has_tags or tagged):
        tags_match = tagged is True and (document is None or fields.get("manifest") == document["id"])
        if not tags_match:
            problems.append(f"the tags inside {path.name} " + ("name another manifest" if tagged else "are missing"))
    signed = credentials.read(path) if path.is_file() else None
    if signed is not None and not signed["valid"]:
        problems.append(f"the signature inside {path.name} does not belong to this content")
    says = marked or tagged is True or (signed is not None and signed["synthetic"])
    watermarked = None if says else _watermarked(path)
    return {
        "path": str(path),
        "ok": not problems,
        "synthetic": says or watermarked is True,
        "tagged": tagged,
        "credentials": signed,
        "watermarked": watermarked,
        "hash_matches": hash_matches,
        "tags_match": tags_match,
        "problems": problems,
        "manifest": document,
    }


def _watermarked(path: Path) -> bool | None:
    """Whether the first seconds of a video hold the invisible mark; None if that cannot be told here."""
    if not path.is_file() or path.suffix.lower() not in TAGGED:
        return None
    try:
        from jean.media import read_frames

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frames = [image for _, image in islice(read_frames(path, warn=lambda message: None), _LOOKED_AT)]
        return watermark.find(frames)
    except (InputError, SetupError):
        return None


def _plain(value: Any) -> Any:
    """``value`` for JSON: without the folders of paths, which may be private; NaN and infinity as text."""
    return plain(value, path=lambda path: path.name, non_finite=str)


def _identity(document: Mapping[str, Any]) -> str:
    """16 hexadecimal digits over the whole manifest except the id itself and the outputs, which are added later."""
    body = {name: value for name, value in document.items() if name not in ("id", "output", "others")}
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:16]


def _fingerprint(path: Path) -> dict[str, Any]:
    """Name, sha256 and size of a file, a folder or a clip.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return _clip_facts(path) if is_clip(path) else content_facts(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.", "Check the path.") from error


def _clip_facts(folder: Path) -> dict[str, Any]:
    """Name, digest and size of a clip folder."""
    digest = Clip.open(folder, ClipMeta.read(folder / META).pictures).digest()
    files = [folder / name for name in (META, *CONTENT_FILES) if (folder / name).is_file()]
    size = sum(path.stat().st_size for path in files)
    return {"name": folder.resolve().name, "sha256": digest, "bytes": size, "files": len(files)}


class _Facts(BaseModel):
    """Name, hash and size of a file or folder."""

    model_config = ConfigDict(strict=True)

    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class _Manifest(BaseModel):
    """The keys of a manifest that this module reads."""

    model_config = ConfigDict(strict=True)

    format: Literal[1]
    synthetic: bool
    kind: str
    inputs: dict[str, _Facts]
    options: dict[str, JsonValue]
    result: dict[str, JsonValue]
    id: str
    output: _Facts | None = None
    others: dict[str, _Facts] = {}


def _read(path: Path, problems: list[str]) -> dict[str, Any] | None:
    if not path.is_file():
        problems.append(f"there is no manifest {path.name}")
        return None
    try:
        document: dict[str, Any] = read_json(path)
        _Manifest.model_validate(document)
    except ArtefactError as error:
        problems.append(error.message)
        return None
    except ValidationError:
        problems.append(f"{path.name} is not a manifest that this version can read")
        return None
    return document


def _fields(path: Path, problems: list[str]) -> dict[str, str] | None:
    """The fields of the comment tag; None if they cannot be read."""
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
