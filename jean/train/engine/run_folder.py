"""The run folder: ``config.yaml``, ``environment.json``, ``log.jsonl``, ``metrics.json`` beside the checkpoints."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from jean.errors import ArtefactError
from jean.files import read_json, write_error, write_json, write_text

_PACKAGES = ("jean", "torch", "numpy", "safetensors", "scipy", "opencv-python", "mediapipe", "av")
# Scalars of wall time differ from run to run; the log must not, or a resumed run could not be compared.
_WALL_TIME = ("_per_s", "seconds")


def write_description(folder: Path, config: dict[str, Any], device: str) -> None:
    """Writes ``config.yaml`` (can be given back by ``--config``) and ``environment.json`` of a run to be trained.

    An older ``metrics.json`` goes, as its presence would say that the run is finished.

    Raises:
        SetupError: they cannot be written.
    """
    import yaml

    (Path(folder) / "metrics.json").unlink(missing_ok=True)
    write_text(Path(folder) / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    write_json(Path(folder) / "environment.json", environment(device))


def environment(device: str) -> dict[str, Any]:
    """Versions and hardware, without any path or host name."""
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
    """Dotted names of the settings that are not equal, sorted."""

    def flat(values: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in values.items():
            if isinstance(value, dict) and value:
                result |= {f"{key}.{inner}": part for inner, part in flat(value).items()}
            else:
                result[key] = value
        return result

    absent = object()
    old, new = flat(stored), flat(given)
    return sorted(key for key in old.keys() | new.keys() if old.get(key, absent) != new.get(key, absent))


def require_same_settings(folder: Path, stored: dict[str, Any], given: dict[str, Any]) -> None:
    """Refuses to go on under other settings.

    Raises:
        ArtefactError: names every setting that differs.
    """
    if keys := differing_keys(stored, given):
        raise ArtefactError(
            f"{folder} was trained with other settings: {', '.join(keys)}.",
            "Give the same ones, or choose another --output.",
        )


class Log:
    """``log.jsonl``: one JSON object a line, identical for a run that was killed and resumed.

    Args:
        path: the file.
        length_bytes: its length at the checkpoint that is resumed; what follows is cut off.
        warn: told when the file is shorter than that.

    Raises:
        SetupError: it cannot be written.
    """

    def __init__(self, path: Path, length_bytes: int, warn: Callable[[str], None]):
        self.path = path
        try:
            # Unbuffered, so that an error shows at the line that met it.
            self._handle = open(path, "ab", buffering=0)  # noqa: SIM115 (lives as long as the object)
            if self.length_bytes < length_bytes:
                warn(f"{path} lost lines that were there at the last checkpoint; it goes on from what is left.")
            else:
                self._handle.truncate(length_bytes)
        except OSError as error:
            raise write_error(path, error) from error

    @property
    def length_bytes(self) -> int:
        """Its present length."""
        return os.fstat(self._handle.fileno()).st_size

    def write(self, kind: str, step: int, scalars: dict[str, float]) -> None:
        """Adds a line; scalars of wall time are left out.

        Raises:
            SetupError: the disk is full.
        """
        kept = {key: value for key, value in scalars.items() if not key.endswith(_WALL_TIME)}
        rest = memoryview((json.dumps({"kind": kind, "step": step, **kept}, allow_nan=False) + "\n").encode())
        try:
            while rest:
                rest = rest[self._handle.write(rest) :]
        except OSError as error:
            raise write_error(self.path, error) from error

    def sync(self) -> None:
        """Brings it to the disk, before a checkpoint that counts on its length.

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
    """The metrics of a finished run whose last checkpoint has ``content_hash``; None if it is not finished."""
    path = Path(folder) / "metrics.json"
    if not path.is_file():
        return None
    metrics = read_json(path)
    return metrics if metrics.pop("checkpoint_sha256", None) == content_hash else None


def write_metrics(folder: Path, metrics: dict[str, Any], content_hash: str) -> None:
    """Writes ``metrics.json``, whose presence means that the run is finished."""
    write_json(Path(folder) / "metrics.json", {**metrics, "checkpoint_sha256": content_hash})


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
