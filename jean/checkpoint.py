"""Checkpoints on disk: tensors in safetensors beside a JSON document, both checked by sha256, never a pickle.

A checkpoint of step N is ``checkpoints/last-N.safetensors`` (module, optimiser and random state) and
``checkpoints/last-N.json``::

    {"sha256": of the payload as written, "payload": {"kind", "format", "stage", "step", "steps",
     "seconds", "config", "meta", "log_bytes", "tensors_sha256", "state"}}

The JSON is written last and removed first, so a JSON file means that both are whole; the checkpoint before
it is removed only afterwards, so one that loads exists at every moment.
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

from jean.errors import ArtefactError
from jean.files import atomic_path

FORMAT = 1
KEPT = 2  # one to load, one to fall back on
_JSON_LIMIT_BYTES = 64 << 20  # a payload takes kilobytes: anything larger is refused before it is parsed
_KEYS = {"stage", "step", "steps", "seconds", "config", "meta", "log_bytes", "tensors_sha256", "state"}
_NAME = re.compile(r"last-(\d+)\.json")


class _Damaged(Exception):
    """One of the two files is not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole, verified checkpoint.

    Attributes:
        path: its JSON file.
        tensors: everything in the safetensors file, on the CPU, keys as ``<module>/<parameter>``.
        payload: see the head of this file.
    """

    path: Path
    tensors: dict[str, torch.Tensor]
    payload: dict[str, Any]

    @property
    def step(self) -> int:
        """Optimisation steps done."""
        return int(self.payload["step"])

    @property
    def content_hash(self) -> str:
        """Hex sha256 of the tensors file: equal for equal weights, optimiser and random state."""
        return str(self.payload["tensors_sha256"])

    def module_state(self, name: str) -> dict[str, torch.Tensor]:
        """The ``state_dict`` of module ``name``.

        Raises:
            ArtefactError: the checkpoint has no such module.
        """
        state = self.under(f"{name}/")
        if not state:
            raise ArtefactError(f"{self.path} holds no module {name!r}.", "Train it again with this version.")
        return state

    def under(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors whose key begins with ``prefix``, by the rest of the key."""
        return {key[len(prefix) :]: value for key, value in self.tensors.items() if key.startswith(prefix)}


def save_checkpoint(run_folder: Path, tensors: dict[str, torch.Tensor], payload: dict[str, Any]) -> dict[str, Any]:
    """Writes a checkpoint and removes all but the last ``KEPT``.

    Args:
        run_folder: the run.
        tensors: on the CPU, contiguous, without shared memory.
        payload: JSON values, see the head of this file; the kind, the format and the hash of the tensors are added.

    Returns:
        The payload as it was written.

    Raises:
        SetupError: it cannot be written; the checkpoints before it are untouched.
    """
    from safetensors.torch import save

    json_path = _json_path(run_folder, payload["step"])
    json_path.unlink(missing_ok=True)  # only a damaged one can be there: its tensors are about to change
    content = save(tensors)
    with atomic_path(json_path.with_suffix(".safetensors")) as temporary:
        temporary.write_bytes(content)
    head = {"kind": "checkpoint", "format": FORMAT}
    payload = {**head, **payload, "tensors_sha256": hashlib.sha256(content).hexdigest()}
    with atomic_path(json_path) as temporary:
        temporary.write_bytes(_document(payload))
    for path in _json_paths(run_folder)[KEPT:]:
        path.unlink()
        path.with_suffix(".safetensors").unlink(missing_ok=True)
    return payload


def load_checkpoint(
    run_folder: str | Path, *, stage: str | None = None, warn: Callable[[str], None] = warnings.warn
) -> Checkpoint:
    """The newest valid checkpoint of a run.

    Args:
        run_folder: the run.
        stage: the stage it must be of, e.g. "nerf"; None takes any.
        warn: told when a damaged checkpoint is passed over for the one before it.

    Raises:
        ArtefactError: there is none, none is valid, or the newest is of another stage or format.
    """
    paths = _json_paths(Path(run_folder))
    for path in paths:
        try:
            payload = _read_payload(path)
            _check_kind(path, payload, stage)  # a mismatch is an answer; only damage falls back
            return Checkpoint(path, _read_tensors(path, payload), payload)
        except _Damaged as error:
            warn(f"checkpoint {path} is damaged ({error}): passed over, looking for the one before it.")
    if paths:
        raise ArtefactError(f"no checkpoint in {run_folder} is whole.", "Train again into another folder.")
    raise ArtefactError(f"{run_folder} holds no checkpoint.", "Train first, or name the folder of a training run.")


def has_checkpoint(run_folder: str | Path) -> bool:
    """Whether ``run_folder`` holds a checkpoint, whole or damaged."""
    return bool(_json_paths(Path(run_folder)))


def stored_steps(run_folder: str | Path) -> int | None:
    """The total step count that an interrupted or finished run was begun with; None if nothing tells.

    For trainers that turn a time into steps: the count must stay when the run goes on.
    """
    for path in _json_paths(Path(run_folder)):
        try:
            return int(_read_payload(path)["steps"])
        except (_Damaged, KeyError):
            continue
    return None


def sweep(run_folder: Path) -> None:
    """Removes what a killed save left behind; only for the process that holds the folder's lock."""
    folder = Path(run_folder) / "checkpoints"
    for path in [*folder.glob(".last-*.partial.*"), *folder.glob("last-*.safetensors")]:
        if path.name.startswith(".") or not path.with_suffix(".json").exists():
            path.unlink(missing_ok=True)


def _json_path(run_folder: Path, step: int) -> Path:
    return Path(run_folder) / "checkpoints" / f"last-{step:08d}.json"


def _json_paths(run_folder: Path) -> list[Path]:
    """The JSON files, newest first."""
    folder = run_folder / "checkpoints"
    named = [(int(match[1]), path) for path in folder.glob("last-*.json") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(named, reverse=True)]


def _document(payload: dict[str, Any]) -> bytes:
    """The JSON file of ``payload``; one payload has exactly one such file."""
    digest = hashlib.sha256(json.dumps(payload, allow_nan=False).encode()).hexdigest()
    return (json.dumps({"sha256": digest, "payload": payload}, indent=1, allow_nan=False) + "\n").encode()


def _read_payload(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _JSON_LIMIT_BYTES:
            raise _Damaged("its JSON is far too large")
        content = path.read_bytes()
        payload = json.loads(content)["payload"]
        # Writing it again must give the same bytes: no flipped bit hides in a blank or in an exponent's "e".
        if not isinstance(payload, dict) or _document(payload) != content:
            raise _Damaged("its JSON is not what was written")
    except OSError as error:
        raise _Damaged(f"{error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _Damaged("its JSON is not what was written") from error
    return payload


def _check_kind(path: Path, payload: dict[str, Any], stage: str | None) -> None:
    if payload.get("kind") != "checkpoint":
        raise ArtefactError(f"{path} is of kind {payload.get('kind')}, no checkpoint.", "Name a run folder.")
    if payload.get("format") != FORMAT:
        raise ArtefactError(
            f"{path} has checkpoint format {payload.get('format')}, this version reads {FORMAT}.", "Train it again."
        )
    if missing := _KEYS - payload.keys():
        raise ArtefactError(f"{path} lacks {', '.join(sorted(missing))}.", "Train it again.")
    if stage is not None and payload["stage"] != stage:
        raise ArtefactError(
            f"{path} is of stage {payload['stage']!r}, {stage!r} is needed.", "Name the folder of such a run."
        )


def _read_tensors(path: Path, payload: dict[str, Any]) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        # Read once, so that the bytes that were checked are the bytes that are parsed.
        content = path.with_suffix(".safetensors").read_bytes()
    except OSError as error:
        raise _Damaged(f"tensors: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != payload.get("tensors_sha256"):
        raise _Damaged("its tensors are not what was written")
    try:
        return load(content)
    except (SafetensorError, KeyError, ValueError) as error:
        raise _Damaged("its tensors do not parse") from error
