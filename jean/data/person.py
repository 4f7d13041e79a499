"""What a trained person is driven with when no other source is named: kept in the run folder.

A run is used without the clips it was trained on; their poses, expressions, camera and background
are small and travel with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jean.data.clip import Clip
from jean.data.datasets import PersonFrames
from jean.errors import ArtefactError
from jean.files import atomic_path
from jean.types import Camera

NAME = "person.safetensors"


@dataclass(frozen=True)
class Person:
    """The first clip's tracks.

    Attributes:
        camera: of the clip's frames.
        camera_to_world: [T, 4, 4].
        expression: [T, E], the coefficients that the model uses.
        background: uint8 [H, W, 3], RGB, the clean plate.
        clip: name of the clip's folder, absolute; it may be gone.
    """

    camera: Camera
    camera_to_world: np.ndarray
    expression: np.ndarray
    background: np.ndarray
    clip: Path


def write_person(folder: Path, data: PersonFrames, clips: Sequence[Clip]) -> None:
    """Writes ``person.safetensors`` for the first clip."""
    from safetensors.numpy import save_file

    count = clips[0].frame_count
    arrays = {
        "camera_to_world": data.camera_to_world[:count].astype(np.float64),
        "expression": data.expression[:count].astype(np.float32),
        "background": np.ascontiguousarray(clips[0].background),
        "focal_px": data.focal_px[:1],
        "center_px": data.center_px[0],
    }
    with atomic_path(folder / NAME) as temporary:
        save_file(arrays, str(temporary), metadata={"clip": str(clips[0].folder.resolve())})


def read_person(folder: Path) -> Person:
    """Reads it back.

    Raises:
        ArtefactError: missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / NAME
    try:
        with safe_open(str(path), "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no iterator there
            clip = Path((file.metadata() or {})["clip"])
    except (OSError, SafetensorError, KeyError) as error:
        raise ArtefactError(f"{path} is missing or damaged.", "Run train-nerf again with the same options.") from error
    size = arrays["background"].shape[0]
    center = (float(arrays["center_px"][0]), float(arrays["center_px"][1]))
    camera = Camera(float(arrays["focal_px"][0]), center, size, size)
    return Person(camera, arrays["camera_to_world"], arrays["expression"], arrays["background"], clip)
