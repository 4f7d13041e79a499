"""Reads state dicts from untrusted files without running code that they may contain."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from jean.errors import ArtefactError
from jean.files import write_safetensors
from jean.weights.archives import check_archive

if TYPE_CHECKING:
    import torch


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Reads the named tensors of a ``.safetensors`` file or of a file that torch saved, on the CPU.

    A torch file is a pickle, which could run code when it is loaded; ``weights_only=True`` accepts only tensors and
    plain containers. If the file is a checkpoint with the key ``state_dict``, its state dict is returned.

    Raises:
        ArtefactError: the file is missing or damaged, or holds other objects than tensors.
    """
    import pickle

    import torch

    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        if zipfile.is_zipfile(path):  # torch's own format
            with zipfile.ZipFile(path) as archive:
                check_archive(archive)
        value = torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError,
        RuntimeError,
        ValueError,
        EOFError,
        KeyError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        _safetensors_error(),
    ) as error:
        reason = (
            "it holds other objects than tensors" if isinstance(error, pickle.UnpicklingError) else type(error).__name__
        )
        raise ArtefactError(
            f"{path} cannot be read as weights ({reason}).", "Delete it and get it again: jean models pull NAME"
        ) from error
    if isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value = value["state_dict"]
    if not isinstance(value, dict) or not value or not all(isinstance(item, torch.Tensor) for item in value.values()):
        raise ArtefactError(f"{path} holds no state dict.", "Delete it and get it again: jean models pull NAME")
    return {str(name): item.detach() for name, item in value.items()}


def read_metadata(path: Path) -> dict[str, str]:
    """Text in the header of a ``.safetensors`` file that ``read_tensors`` has read."""
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        return dict(file.metadata() or {})


def convert(path: Path, target: Path) -> None:
    """Converts a file that ``read_tensors`` can read to a safetensors file.

    Args:
        path: the file to read.
        target: the file to write.

    Raises:
        ArtefactError: as ``read_tensors``.
        SetupError: ``target`` cannot be written.
    """
    # copies, because safetensors rejects tensors that share memory
    write_safetensors(target, {name: value.clone() for name, value in read_tensors(path).items()})


def _safetensors_error() -> type[Exception]:
    from safetensors import SafetensorError

    return SafetensorError
