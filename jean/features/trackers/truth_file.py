"""Files with the ground truth of a synthetic video: ``NAME.truth.safetensors`` and ``NAME.matte.npz`` beside it."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jean.documents import parse_object
from jean.errors import ArtefactError, InputError
from jean.files import atomic_path, write_safetensors

FORMAT = "jean-truth-1"
# What numpy and zipfile raise on damaged files: MemoryError for an absurd shape
_DAMAGE = (
    *(OSError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, SyntaxError, MemoryError),
    *(RuntimeError, zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class Truth:
    """Ground truth of a synthetic video.

    Attributes:
        arrays: ``times_s`` [T]; ``landmarks`` [T, 68, 2] px; ``landmarks_3d`` [T, 68, 3] head space, cm;
            ``irises`` [T, 2, 2] px (subject's right, left); ``camera_to_world`` [T, 4, 4] head space, cm;
            ``expression`` [T, E]; ``mouth_opening`` and ``mouth_rounding`` [T], measured on the final geometry;
            ``gaze`` [T, 2] rad (to the right of the image, down; relative to the head); ``emotion_strength`` [T];
            ``shape`` [68, 3], neutral landmarks of the person, head space, cm;
            ``phoneme_starts_s``, ``phoneme_ends_s`` [N].
        meta: ``fps``, ``size_px``, ``camera`` (``focal_px``, ``center_px``), ``expression`` (``names``,
            ``upper``), ``emotion``, ``strength``, ``identity``, ``seed``, ``sentences``, ``phonemes`` [N].
    """

    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]


def truth_path(video: str | Path) -> Path:
    """Path of the ground-truth file of a video."""
    return Path(video).resolve().with_suffix(".truth.safetensors")


def save_truth(path: Path, truth: Truth) -> None:
    """Writes a ground-truth file, atomically; equal ground truth gives equal bytes."""
    meta = {"format": FORMAT, "truth": json.dumps(truth.meta, sort_keys=True)}
    write_safetensors(path, truth.arrays, meta)


def load_truth(video: str | Path) -> Truth:
    """Reads the ground truth of a video.

    Raises:
        InputError: there is no file beside the video.
        ArtefactError: the file is damaged or has another format.
    """
    from safetensors import SafetensorError, safe_open

    path = truth_path(video)
    if not path.is_file():
        raise InputError(
            f"{video} has no ground truth beside it ({path.name}).", "Use another tracker: --tracker mediapipe."
        )
    try:
        with safe_open(str(path), "numpy") as handle:
            meta = handle.metadata() or {}
            if meta.get("format") != FORMAT:
                raise ArtefactError(
                    f"{path} has format {meta.get('format')}, not {FORMAT}.", "Generate the video again."
                )
            arrays = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (no mapping)
            return Truth(arrays, dict(parse_object(meta["truth"])))
    except (*_DAMAGE, SafetensorError) as error:
        raise ArtefactError(f"{path} is damaged ({type(error).__name__}).", "Generate the video again.") from error


def matte_path(video: str | Path) -> Path:
    """Path of the file with the true mattes of a video."""
    return Path(video).resolve().with_suffix(".matte.npz")


def save_matte(path: Path, matte: np.ndarray) -> None:
    """Writes true mattes, opacity of head and torso uint8 [T, H, W, 2], compressed."""
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.savez_compressed(handle, matte=matte)


def load_matte(video: str | Path) -> np.ndarray:
    """Reads the true mattes of a video, opacity of head and torso uint8 [T, H, W, 2].

    Raises:
        InputError: there is no file beside the video.
        ArtefactError: the file is damaged.
    """
    path = matte_path(video)
    if not path.is_file():
        raise InputError(f"{video} has no true matte beside it ({path.name}).", "Generate the video with matte=True.")
    try:
        with np.load(path, allow_pickle=False) as content:
            matte = content["matte"]
    except _DAMAGE as error:
        raise ArtefactError(f"{path} is damaged ({type(error).__name__}).", "Generate the video again.") from error
    return np.asarray(matte)
