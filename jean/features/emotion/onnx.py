"""Any emotion network in ONNX, by file and output: ``onnx-FILE`` or ``onnx-FILE@OUTPUT``.

FILE is a path, or the name of a file among the weights, with or without ``.onnx``. How pictures go in may be said in
a JSON file of the same name beside it: ``size`` (px; else the network's), ``mean`` and ``std`` (three numbers each, of
values from 0 to 1), ``colour`` ("rgb" or "bgr"), ``margin`` around the landmarks' box, ``output``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import ArtefactError, SetupError, UsageError
from jean.features.emotion.face_square import MARGIN, face_square
from jean.files import sha256
from jean.weights import store as weights

_KEYS = {"size", "mean", "std", "colour", "margin", "output"}


class OnnxEmotion:
    """Output of an ONNX network; see ``EmotionFeatures``.

    Args:
        model: FILE or FILE@OUTPUT.
        device: "cpu", or "cuda" where onnxruntime can use it.

    Raises:
        SetupError: file or package missing.
        ArtefactError: not a network that takes one picture and gives numbers.
        UsageError: no such output.
    """

    network = True

    def __init__(self, model: str, device: str = "cpu"):
        file, _, output = model.partition("@")
        path = _find(file)
        options = _options(path)
        self._session = _open(path, device)
        source = self._session.get_inputs()[0]
        known = [each.name for each in self._session.get_outputs()]
        output = output or options.get("output") or known[0]
        if output not in known:
            raise UsageError(f"{path.name} has no output {output!r}.", f"Its outputs: {', '.join(known)}.")
        self._input, self._output = source.name, output
        shape = [size if isinstance(size, int) else 0 for size in source.shape]
        if len(shape) != 4 or 3 not in (shape[1], shape[3]):
            raise ArtefactError(f"{path.name} takes no picture, but {source.shape}.", "Give another network.")
        self._last = shape[3] == 3 and shape[1] != 3  # channels last
        self._size = int(options.get("size") or shape[1 if self._last else 2] or 224)
        self._mean = np.asarray(options.get("mean", [0, 0, 0]), np.float32)
        self._std = np.asarray(options.get("std", [1, 1, 1]), np.float32)
        self._bgr = options.get("colour", "rgb") == "bgr"
        self._margin = float(options.get("margin", MARGIN))
        self.name = f"onnx-{path.stem}@{output}"
        self.version = sha256(path)[:12]
        self.width = self._run(np.zeros((self._size, self._size, 3), np.uint8)).size

    def extract(self, frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """Yields float32 [D] of each frame, NaN without a face; frames are (RGB uint8, landmarks [68, 2] px)."""
        for image, landmarks in frames:
            square = face_square(image, landmarks, self._size, self._margin)
            yield np.full(self.width, np.nan, np.float32) if square is None else self._run(square)

    def _run(self, square: np.ndarray) -> np.ndarray:
        picture = (square.astype(np.float32) / 255 - self._mean) / self._std
        if self._bgr:
            picture = picture[..., ::-1]
        picture = picture if self._last else picture.transpose(2, 0, 1)
        try:
            (found,) = self._session.run([self._output], {self._input: np.ascontiguousarray(picture[None])})
        except Exception as error:  # onnxruntime's errors share no class
            raise ArtefactError(
                f"{self.name} cannot be run: {str(error).splitlines()[0][:120]}", "Check its input."
            ) from error
        return np.asarray(found, np.float32).reshape(-1)


def _find(file: str) -> Path:
    for name in (file, f"{file}.onnx"):
        for path in (Path(name).expanduser(), *(folder / name for folder in weights.folders())):
            if path.is_file():
                return path
    raise SetupError(f"there is no network {file}.", f"Give its path, or put {file}.onnx into {weights.folders()[0]}.")


def _options(path: Path) -> dict[str, Any]:
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return {}
    try:
        options = dict(json.loads(beside.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ArtefactError(f"{beside} is no JSON object.", f"Keys: {', '.join(sorted(_KEYS))}.") from error
    unknown = sorted(set(options) - _KEYS)
    if unknown:
        raise UsageError(f"{beside}: unknown key {unknown[0]!r}.", f"Keys: {', '.join(sorted(_KEYS))}.")
    return options


def _open(path: Path, device: str) -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise SetupError(f"onnxruntime cannot be loaded ({error}).", "Run: pip install onnxruntime") from error
    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    there = [name for name in [*wanted, "CPUExecutionProvider"] if name in onnxruntime.get_available_providers()]
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), settings, providers=there)
    except Exception as error:  # onnxruntime's errors share no class
        raise ArtefactError(f"{path} is no ONNX network ({type(error).__name__}).", "Get it again.") from error
