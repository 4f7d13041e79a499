"""Checkpoints on disk: a safetensors file and a JSON file, both verified by sha256; no pickle.

The checkpoint of step N consists of ``checkpoints/last-N.safetensors`` (modules, optimisers, random state) and
``checkpoints/last-N.json``::

    {"sha256": of the payload as written, "payload": {"kind", "format", "stage", "step", "steps",
     "seconds", "config", "meta", "log_bytes", "tensors_sha256", "state"}}

The JSON file is written last and removed first, so its presence means that both files are complete. The previous
checkpoint is removed only after that, so a loadable checkpoint exists at every moment.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from jean.documents import first_complaint
from jean.errors import ArtefactError
from jean.files import atomic_path, write_safetensors

FORMAT = 1
KEPT = 2  # checkpoints per run: the newest, and one in case the newest is damaged
_JSON_LIMIT_BYTES = 64 << 20  # a payload takes kilobytes; larger files are rejected before parsing
_NAME = re.compile(r"last-(\d+)\.json")


class _Payload(BaseModel):
    """The payload of a checkpoint: all keys, typed. Stages check ``meta`` when they build their model."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    stage: str
    step: int = Field(ge=0, lt=1 << 53)
    steps: int = Field(ge=1, lt=1 << 53)
    seconds: float = Field(ge=0)
    config: dict[str, JsonValue]
    meta: dict[str, JsonValue]
    log_bytes: int = Field(ge=0, lt=1 << 53)
    tensors_sha256: str
    state: dict[str, JsonValue]


class _Damaged(Exception):
    """One of the two files differs from what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint.

    Attributes:
        path: its JSON file.
        tensors: all tensors of the safetensors file, on the CPU, with keys ``<module>/<parameter>``.
        payload: see the top of this file.
    """

    path: Path
    tensors: dict[str, torch.Tensor]
    payload: dict[str, Any]

    @property
    def step(self) -> int:
        """Number of completed optimisation steps."""
        return int(self.payload["step"])

    @property
    def tensors_path(self) -> Path:
        """Its safetensors file."""
        return self.path.with_suffix(".safetensors")

    @property
    def content_hash(self) -> str:
        """Hexadecimal sha256 of the tensors file: equal for equal weights, optimiser and random state."""
        return str(self.payload["tensors_sha256"])

    def module_state(self, name: str) -> dict[str, torch.Tensor]:
        """The ``state_dict`` of module ``name``.

        Raises:
            ArtefactError: the checkpoint has no such module.
        """
        state = self.under(f"{name}/")
        if not state:
            raise ArtefactError(f"{self.path} has no module {name!r}.", "Train it again with this version.")
        return state

    def under(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors whose key begins with ``prefix``, by the remainder of the key."""
        return {key[len(prefix) :]: value for key, value in self.tensors.items() if key.startswith(prefix)}


def save_checkpoint(run_folder: Path, tensors: dict[str, torch.Tensor], payload: dict[str, Any]) -> dict[str, Any]:
    """Writes a checkpoint, then removes all but the last ``KEPT``.

    Args:
        run_folder: folder of the training run.
        tensors: on the CPU, contiguous, without shared memory.
        payload: JSON values, see the top of this file; kind, format and the hash of the tensors are added.

    Returns:
        The complete payload.

    Raises:
        SetupError: the checkpoint cannot be written; earlier ones are unchanged.
    """
    json_path = _json_path(run_folder, payload["step"])
    json_path.unlink(missing_ok=True)  # only a damaged checkpoint can exist here; its tensors are replaced next
    tensors_sha256 = write_safetensors(json_path.with_suffix(".safetensors"), tensors)
    head = {"kind": "checkpoint", "format": FORMAT}
    payload = {**head, **payload, "tensors_sha256": tensors_sha256}
    with atomic_path(json_path) as temporary:
        temporary.write_bytes(_document(payload))
    for path in _json_paths(run_folder)[KEPT:]:
        path.unlink()
        path.with_suffix(".safetensors").unlink(missing_ok=True)
    return payload


def load_checkpoint(
    run_folder: str | Path, *, stage: str | None = None, warn: Callable[[str], None] = warnings.warn
) -> Checkpoint:
    """Loads the newest valid checkpoint of a run.

    Args:
        run_folder: folder of the training run.
        stage: the required stage, for example "nerf"; None accepts any.
        warn: called when a damaged checkpoint is skipped in favour of the previous one.

    Raises:
        ArtefactError: there is no checkpoint, none is valid, or the newest has another stage or format.
    """
    paths = _json_paths(Path(run_folder))
    for path in paths:
        try:
            payload = _read_payload(path)
            _check_kind(path, payload, stage)  # a mismatch is an error; only damage skips to the previous checkpoint
            return Checkpoint(path, _read_tensors(path, payload), payload)
        except _Damaged as error:
            warn(f"the checkpoint {path} is damaged ({error}); trying the previous one.")
    if paths:
        raise ArtefactError(f"every checkpoint in {run_folder} is damaged.", "Train again into another folder.")
    raise ArtefactError(f"{run_folder} holds no checkpoint.", "Train first, or give the folder of a training run.")


def has_checkpoint(run_folder: str | Path) -> bool:
    """Whether ``run_folder`` holds a checkpoint, valid or damaged."""
    return bool(_json_paths(Path(run_folder)))


def stored_steps(run_folder: str | Path) -> int | None:
    """Total number of steps that a run was started with; None if it has no readable checkpoint.

    Trainers that convert a time limit to steps use it, because a resumed run must keep its number of steps.
    """
    for path in _json_paths(Path(run_folder)):
        try:
            payload = _read_payload(path)
            _check_kind(path, payload, None)
            return int(payload["steps"])
        except (_Damaged, ArtefactError):
            continue
    return None


def sweep(run_folder: Path) -> None:
    """Removes the files of a save that was killed. Only the process that holds the lock of the folder may call it."""
    folder = Path(run_folder) / "checkpoints"
    for path in [*folder.glob(".last-*.partial.*"), *folder.glob("last-*.safetensors")]:
        if path.name.startswith(".") or not path.with_suffix(".json").exists():
            path.unlink(missing_ok=True)


def _json_path(run_folder: Path, step: int) -> Path:
    return Path(run_folder) / "checkpoints" / f"last-{step:08d}.json"


def _json_paths(run_folder: Path) -> list[Path]:
    """The JSON files of the checkpoints of a run, newest first."""
    folder = run_folder / "checkpoints"
    named = [(int(match[1]), path) for path in folder.glob("last-*.json") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(named, reverse=True)]


def _document(payload: dict[str, Any]) -> bytes:
    """Content of the JSON file for ``payload``; it is unique, byte for byte."""
    digest = hashlib.sha256(json.dumps(payload, allow_nan=False).encode()).hexdigest()
    return (json.dumps({"sha256": digest, "payload": payload}, indent=1, allow_nan=False) + "\n").encode()


def _read_payload(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _JSON_LIMIT_BYTES:
            raise _Damaged("its JSON file is too large")
        content = path.read_bytes()
        payload = json.loads(content)["payload"]
        # Serialising the payload again must give the same bytes, so that changed white space is detected as well.
        if not isinstance(payload, dict) or _document(payload) != content:
            raise _Damaged("its JSON file was changed")
    except OSError as error:
        raise _Damaged(f"{error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _Damaged("its JSON file was changed") from error
    return payload


def _check_kind(path: Path, payload: dict[str, Any], stage: str | None) -> None:
    if payload.get("kind") != "checkpoint":
        raise ArtefactError(
            f"{path} is not a checkpoint (its kind is {payload.get('kind')}).", "Give the folder of a training run."
        )
    if payload.get("format") != FORMAT:
        raise ArtefactError(
            f"{path} has checkpoint format {payload.get('format')}; this version reads {FORMAT}.", "Train it again."
        )
    try:
        _Payload.model_validate(payload)
    except ValidationError as error:
        raise ArtefactError(f"{path} is malformed: {first_complaint(error)}.", "Train it again.") from None
    if stage is not None and payload["stage"] != stage:
        raise ArtefactError(
            f"{path} is a checkpoint of the stage {payload['stage']!r}, not {stage!r}.",
            f"Give the folder of a training run of the stage {stage!r}.",
        )


def _read_tensors(path: Path, payload: dict[str, Any]) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        # Read once, so that exactly the verified bytes are parsed.
        content = path.with_suffix(".safetensors").read_bytes()
    except OSError as error:
        raise _Damaged(f"tensors: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != payload.get("tensors_sha256"):
        raise _Damaged("its tensors were changed")
    try:
        return load(content)
    except (SafetensorError, KeyError, ValueError) as error:
        raise _Damaged("its tensors cannot be parsed") from error
