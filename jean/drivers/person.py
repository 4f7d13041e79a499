"""What a trained person is driven with when no other source is named: kept in the run folder.

A run is used without the clips it was trained on; their poses, expressions, camera and background
are small and travel with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jean.clips.clip import Clip
from jean.drivers.person_frames import PersonFrames
from jean.drivers.support import DriverSupport
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
        offsets: [T, 68, 2], of the landmarks beside the rigid head, cm.
        expression_to_offsets: [E + 1, 136], which offsets go with which coefficients (the last row: always).
        background: uint8 [H, W, 3], RGB, the clean plate.
        clip: name of the clip's folder, absolute; it may be gone.
        means: mean expression vector [E] by the name of an emotion or a clip.
        support: the driver values that training has shown; for a run that stored none, those of these tracks.
    """

    camera: Camera
    camera_to_world: np.ndarray
    expression: np.ndarray
    offsets: np.ndarray
    expression_to_offsets: np.ndarray
    background: np.ndarray
    clip: Path
    means: dict[str, np.ndarray]
    support: DriverSupport

    def offsets_of(self, expression: np.ndarray) -> np.ndarray:
        """[T, 68, 2] cm: the offsets that this person's face would have with coefficients [T, E]."""
        return offsets_from(self.expression_to_offsets, expression)

    def offsets_like(self, expression: np.ndarray, measured: np.ndarray | None) -> np.ndarray:
        """[T, 68, 2] cm: a source's offsets, brought to this person.

        What is constant in a source cannot be told from the shape of its face, so its mean comes from the
        mean of its coefficients; its motion is what was measured, or, where nothing was, told from them too.

        Args:
            expression: the source's coefficients [T, E]; measured: its own offsets [T, 68, 2].
        """
        if measured is None:
            return self.offsets_of(expression)
        return measured - measured.mean(0) + self.offsets_of(expression.mean(0, keepdims=True))


def offsets_from(slopes: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """[T, 68, 2] cm: what ``fit_offsets`` found ([E + 1, 136]) for coefficients [T, E]."""
    known = np.concatenate([expression, np.ones((len(expression), 1))], 1)
    return (known @ slopes).reshape(len(expression), -1, 2)


def fit_offsets(expression: np.ndarray, offsets: np.ndarray, ridge: float = 10.0) -> np.ndarray:
    """[E + 1, 136]: ridge regression of offsets [T, 68, 2] on standardised coefficients [T, E]."""
    # as in the head: a coefficient that never moves must not turn its noise into motion
    mean, spread = expression.mean(0), np.maximum(expression.std(0), 0.02)
    known = ((expression - mean) / spread).astype(np.float64)
    flat = offsets.reshape(len(offsets), -1).astype(np.float64)
    slopes = np.linalg.solve(known.T @ known + ridge * np.eye(known.shape[1]), known.T @ (flat - flat.mean(0)))
    slopes = slopes / spread[:, None]
    return np.concatenate([slopes, (flat.mean(0) - mean @ slopes)[None]])


def write_person(
    folder: Path,
    data: PersonFrames,
    clips: Sequence[Clip],
    means: dict[str, np.ndarray] | None = None,
    lips: np.ndarray | None = None,
) -> None:
    """Writes ``person.safetensors``: the first clip's tracks, and what all clips say of the person.

    Args:
        folder: the run folder.
        data: the frames of all clips.
        clips: the clips.
        means: mean expression vector [E] by name.
        lips: lip coordinates [T, W] of all frames; None where the head is not trained on any.
    """
    from safetensors.numpy import save_file

    count = clips[0].frame_count
    arrays = {
        "camera_to_world": data.camera_to_world[:count].astype(np.float64),
        "expression": data.expression[:count].astype(np.float32),
        "offsets": data.offsets[:count],
        "expression_to_offsets": fit_offsets(data.expression[data.train], data.offsets[data.train]),
        "background": clips[0].background,
        "focal_px": data.focal_px[:1],
        "center_px": data.center_px[0],
        **{f"mean/{name}": vector for name, vector in (means or {}).items()},
        **{f"support/{name}": array for name, array in _support(data, lips).arrays().items()},
    }
    with atomic_path(folder / NAME) as temporary:
        # the library writes memory as it lies: columns chosen by a mask lie the other way round
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(whole, str(temporary), metadata={"clip": str(clips[0].folder.resolve())})


def _support(data: PersonFrames, lips: np.ndarray | None) -> DriverSupport:
    train = data.train
    shown = data.expression[train], data.offsets[train], data.camera_to_world[train]
    return DriverSupport.fit(*shown, None if lips is None else lips[train])


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
    means = {name.removeprefix("mean/"): array for name, array in arrays.items() if name.startswith("mean/")}
    tracks = {name: arrays[name] for name in ("camera_to_world", "expression", "offsets", "expression_to_offsets")}
    stored = {name.removeprefix("support/"): array for name, array in arrays.items() if name.startswith("support/")}
    if stored:
        support = DriverSupport.from_arrays(stored)
    else:  # a run of version 0.1 or earlier
        support = DriverSupport.fit(tracks["expression"], tracks["offsets"], tracks["camera_to_world"], None)
    return Person(camera, **tracks, background=arrays["background"], clip=clip, means=means, support=support)
