"""Files of a run folder beside its checkpoints.

``config.yaml`` and ``environment.json`` describe the run, ``log.jsonl`` grows with it, ``metrics.json`` marks its end.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from jean.errors import ArtefactError
from jean.files import write_error, write_json, write_text
from jean.integrity import read_sealed, write_sealed

METRICS, LOG = "metrics.json", "log.jsonl"
_CHECKPOINT = "checkpoint_sha256"  # key of the metrics
_PACKAGES = ("jean", "torch", "numpy", "safetensors", "scipy", "opencv-python", "mediapipe", "av")
# Suffixes of scalars that depend on wall time. They stay out of the log, so that the logs of an interrupted and of an
# uninterrupted run are equal.
_WALL_TIME = ("_per_s", "seconds")


LENGTH_KEYS = ("steps", "epochs")  # settings that a run may change when it goes on


def write_description(folder: Path, config: dict[str, Any], device: str) -> None:
    """Writes ``config.yaml`` and ``environment.json`` before training starts or resumes.

    A ``metrics.json`` is removed, because its presence means that the run is finished.

    Args:
        folder: the run folder.
        config: everything that decides the result, as JSON values.
        device: name of the torch device.

    Raises:
        SetupError: a file cannot be written.
    """
    import yaml

    (Path(folder) / METRICS).unlink(missing_ok=True)
    write_text(Path(folder) / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    write_json(Path(folder) / "environment.json", environment(device))


def environment(device: str) -> dict[str, Any]:
    """Versions of packages and the hardware, as JSON values without paths or host names."""
    import torch

    versions: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": versions,
        "cpu": _cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device,
        "gpu": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
    }


def differing_keys(stored: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """Dotted names of the settings that differ or are missing on one side, sorted.

    Example:
        >>> differing_keys({"rate": 1, "field": {"width": 8}}, {"rate": 1, "field": {"width": 9}})
        ['field.width']
    """

    def flat(values: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in values.items():
            if isinstance(value, dict) and value:
                result |= {f"{key}.{name}": leaf for name, leaf in flat(value).items()}
            else:
                result[key] = value
        return result

    absent = object()
    old, new = flat(stored), flat(given)
    return sorted(key for key in old.keys() | new.keys() if old.get(key, absent) != new.get(key, absent))


def require_same_settings(folder: Path, stored: dict[str, Any], given: dict[str, Any]) -> None:
    """Checks that a run is resumed under the settings that it was started with; only its length may differ.

    Raises:
        ArtefactError: settings differ; the message names all of them, with stored words and numbers.
    """
    if keys := [key for key in differing_keys(stored, given) if key not in LENGTH_KEYS]:
        values = [f"{key}={stored[key]}" for key in keys if isinstance(stored.get(key), str | int | float)]
        same = f"the same ones ({', '.join(values)})" if values else "the same ones"
        raise ArtefactError(
            f"{folder} was trained with other settings: {', '.join(keys)}.",
            f"Give {same}, or choose another --output.",
        )


class Log:
    """Writer of ``log.jsonl``, one JSON object per line. Interrupted and uninterrupted runs write equal logs.

    Args:
        path: the file.
        length_bytes: length of the file when the resumed checkpoint was written. Later lines are removed.
        warn: receives a warning if the file is shorter than that.

    Raises:
        SetupError: the file cannot be written.
    """

    def __init__(self, path: Path, length_bytes: int, warn: Callable[[str], None]):
        self.path = path
        try:
            # Unbuffered, so that a write error is raised at its own line.
            self._handle = open(path, "ab", buffering=0)  # noqa: SIM115 (lives as long as the object)
            if self.length_bytes < length_bytes:
                warn(f"{path} lost lines that it had at the last checkpoint. New lines follow the remaining ones.")
            else:
                self._handle.truncate(length_bytes)
        except OSError as error:
            raise write_error(path, error) from error

    @property
    def length_bytes(self) -> int:
        """Current length of the file."""
        return os.fstat(self._handle.fileno()).st_size

    def write(self, kind: str, step: int, scalars: dict[str, float]) -> None:
        """Appends a line with ``kind``, ``step`` and the scalars, except those of wall time.

        Raises:
            SetupError: the disk is full.
        """
        reproducible = {key: value for key, value in scalars.items() if not key.endswith(_WALL_TIME)}
        line = json.dumps({"kind": kind, "step": step, **reproducible}, allow_nan=False) + "\n"
        remaining = memoryview(line.encode())
        try:
            while remaining:
                remaining = remaining[self._handle.write(remaining) :]
        except OSError as error:
            raise write_error(self.path, error) from error

    def sync(self) -> None:
        """Flushes the file to the disk, before a checkpoint stores its length.

        Raises:
            SetupError: the disk is full.
        """
        try:
            os.fsync(self._handle.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error

    def close(self) -> None:
        """Closes the file."""
        self._handle.close()


def finished_metrics(folder: Path, content_hash: str) -> dict[str, Any] | None:
    """Metrics of a finished run; None if the run is not finished.

    Args:
        folder: the run folder.
        content_hash: of the last checkpoint. Metrics that belong to another checkpoint, or were changed, do not count.
    """
    path = Path(folder) / METRICS
    try:
        metrics = read_sealed(path) if path.is_file() else {}
    except ArtefactError:
        return None
    if metrics.pop(_CHECKPOINT, None) != content_hash or not {"steps", "seconds"} <= metrics.keys():
        return None
    numbers = [each for value in metrics.values() for each in (value if isinstance(value, list) else [value])]
    return metrics if all(map(_is_number, numbers)) else None


def write_metrics(folder: Path, metrics: dict[str, Any], content_hash: str) -> None:
    """Writes ``metrics.json``, which marks the run as finished.

    Args:
        folder: the run folder.
        metrics: JSON values.
        content_hash: of the last checkpoint, to which the metrics belong.
    """
    write_sealed(Path(folder) / METRICS, {**metrics, _CHECKPOINT: content_hash})


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``log.jsonl``: ``kind``, ``step`` and scalars.

    Raises:
        ArtefactError: it is missing, or a line has another form.
    """
    path = Path(folder) / LOG
    lines = []
    try:
        for text in path.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            numbers = {name: value for name, value in line.items() if name != "kind"}
            if not isinstance(line["kind"], str) or not all(map(_is_number, numbers.values())) or "step" not in line:
                raise ValueError("no log line")
            lines.append(line)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ArtefactError(f"{path} is missing or damaged.", "Train again into another folder.") from error
    return lines


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
