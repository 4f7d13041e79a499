"""The person of a trained head: default drivers, background and support, stored in the run folder.

A run is used without the clips it was trained on. Their poses, expressions, camera and background are small and are
stored with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jean.clips.clip import Clip
from jean.drivers.checks import check_person
from jean.drivers.driver_support import DriverSupport
from jean.drivers.lip_style import LipStyle
from jean.drivers.offsets import fit_offsets, predict_offsets
from jean.drivers.person_eyes import PersonEyes
from jean.drivers.person_frames import PersonFrames
from jean.drivers.voice import voiced
from jean.errors import ArtefactError
from jean.files import write_safetensors
from jean.geometry import Camera, refocus
from jean.lips.parameters import opening_and_width
from jean.media import read_audio

NAME = "person.safetensors"
_REMEDY = "Run train-nerf again with the same options."


@dataclass(frozen=True)
class Person:
    """Tracks of the first training clip, and properties of the person from all clips.

    Attributes:
        camera: intrinsics of the clip's frames.
        camera_to_world: head poses [T, 4, 4].
        expression: expression vectors [T, E].
        offsets: landmark offsets from the rigid head [T, 68, 2], cm.
        expression_to_offsets: regression of offsets on expression vectors [E + 1, 136], see ``fit_offsets``.
        background: the clean plate, uint8 [H, W, 3], RGB.
        clip: absolute path of the clip's folder, which may no longer exist.
        means: mean expression vector [E] by the name of an emotion or a clip.
        support: the range of the driver values in training; for a run that stored none, that of these tracks.
        style: how the person's lips look; None for a run that stored none, or whose head has no lip coordinates.
        eyes: how the person's eyes move; None for a head that has no inputs for them.
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
    style: LipStyle | None = None
    eyes: PersonEyes | None = None

    def predict_offsets(self, expression: np.ndarray) -> np.ndarray:
        """Landmark offsets [T, 68, 2], cm, that this person's face has with expression vectors [T, E]."""
        return predict_offsets(self.expression_to_offsets, expression)

    def retarget_offsets(self, expression: np.ndarray, measured: np.ndarray | None) -> np.ndarray:
        """Landmark offsets of a source, transferred to this person: [T, 68, 2], cm.

        The constant part of a source's offsets cannot be separated from the shape of its face. Therefore the mean is
        predicted from the mean expression vector. The motion is the measured one, or predicted without measurements.

        Args:
            expression: the source's vectors [T, E].
            measured: the source's own offsets [T, 68, 2], or None.
        """
        if measured is None:
            return self.predict_offsets(expression)
        return measured - measured.mean(0) + self.predict_offsets(expression.mean(0, keepdims=True))

    def still_index(self) -> int:
        """The frame whose head position is nearest to the mean: a real pose, not an average of rotations."""
        position = self.camera_to_world[:, :3, 3]
        return int(np.argmin(np.linalg.norm(position - position.mean(0), axis=1)))


def write_person(
    folder: Path,
    data: PersonFrames,
    clips: Sequence[Clip],
    means: dict[str, np.ndarray] | None = None,
    lips: np.ndarray | None = None,
) -> None:
    """Writes ``person.safetensors``: the tracks of the first clip, and properties of the person from all clips.

    Args:
        folder: the run folder.
        data: the frames of all clips.
        clips: the clips.
        means: mean expression vector [E] by name.
        lips: lip coordinates [T, W] of all frames; None where the head is not trained on any.
    """
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
    if lips is not None:
        arrays |= {f"style/{name}": array for name, array in _style(data, lips).arrays().items()}
    if data.eyes is not None:
        eyes = PersonEyes.fit(data.eyes, data.measured_offsets, data.expression, data.train, count)
        arrays |= {f"eyes/{name}": array for name, array in eyes.arrays().items()}
    clip = str(clips[0].folder.resolve())
    write_safetensors(folder / NAME, arrays, {"clip": clip, "sha256": _content_hash(arrays, clip)})


def _support(data: PersonFrames, lips: np.ndarray | None) -> DriverSupport:
    train = data.train
    # Clips have different fitted focal lengths, so the same head has different depths. Renders use the first clip's.
    poses = refocus(data.camera_to_world[train], data.focal_px[0] / data.focal_px[train])
    return DriverSupport.fit(data.expression[train], data.offsets[train], poses, None if lips is None else lips[train])


def _style(data: PersonFrames, lips: np.ndarray) -> LipStyle:
    speaking = []
    for clip, shift in zip(data.clips, data.sound_shifts, strict=True):
        voice = voiced(read_audio(clip.sound()), clip.frame_count, clip.fps)
        speaking.append(voice[np.clip(np.arange(len(voice)) + shift, 0, len(voice) - 1)])
    measured = opening_and_width(data.shape[:, :2] + data.measured_offsets)
    train = data.train
    return LipStyle.fit(measured[train], lips[train], np.concatenate(speaking)[train])


def read_person(folder: Path) -> Person:
    """The person stored in a run folder.

    Raises:
        ArtefactError: ``person.safetensors`` is missing, was changed, or does not describe a person.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / NAME
    try:
        with safe_open(str(path), "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no iterator there
            metadata = dict(file.metadata() or {})
        clip = metadata["clip"]
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ArtefactError(f"{path} is missing or damaged.", _REMEDY) from error
    # a run of version 0.1 or earlier stored no hash
    if metadata.get("sha256", "") not in ("", _content_hash(arrays, clip)):
        raise ArtefactError(f"{path} was changed or damaged after it was written.", _REMEDY)
    check_person(path, arrays)
    size = arrays["background"].shape[0]
    center = (float(arrays["center_px"][0]), float(arrays["center_px"][1]))
    camera = Camera(float(arrays["focal_px"][0]), center, size, size)
    means = {name.removeprefix("mean/"): array for name, array in arrays.items() if name.startswith("mean/")}
    tracks = {name: arrays[name] for name in ("camera_to_world", "expression", "offsets", "expression_to_offsets")}
    style = {name.removeprefix("style/"): array for name, array in arrays.items() if name.startswith("style/")}
    eyes = {name.removeprefix("eyes/"): array for name, array in arrays.items() if name.startswith("eyes/")}
    stored = {name.removeprefix("support/"): array for name, array in arrays.items() if name.startswith("support/")}
    if stored:
        support = DriverSupport.from_arrays(stored)
    else:  # a run of version 0.1 or earlier
        support = DriverSupport.fit(tracks["expression"], tracks["offsets"], tracks["camera_to_world"], None)
    return Person(
        camera,
        **tracks,
        background=arrays["background"],
        clip=Path(clip),
        means=means,
        support=support,
        style=LipStyle.from_arrays(style) if style else None,
        eyes=PersonEyes.from_arrays(eyes) if eyes else None,
    )


def is_intact(folder: Path) -> bool:
    """Whether ``person.safetensors`` of a run folder can be read and is as it was written."""
    try:
        read_person(folder)
    except ArtefactError:
        return False
    return True


def _content_hash(arrays: Mapping[str, np.ndarray], clip: str) -> str:
    """Hex sha256 of the arrays and the path that ``person.safetensors`` holds."""
    digest = hashlib.sha256(clip.encode("utf-8", "surrogateescape"))
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
