"""Emotion features of any ONNX network, selected by file and output: ``onnx-FILE`` or ``onnx-FILE@OUTPUT``.

FILE is a path, or the name of a file among the weights, with or without ``.onnx``. A JSON file with the same name
beside it may describe the input: ``size`` (px; by default that of the network), ``mean`` and ``std`` (three numbers
each, for values from 0 to 1), ``colour`` ("rgb" or "bgr"), ``margin`` (see ``face_square``), and ``output``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jean.documents import parse_object
from jean.errors import ArtefactError, SetupError, UsageError
from jean.features.emotion.face_square import MARGIN, face_square
from jean.files import sha256
from jean.weights import store as weights

_KEYS = {"size", "mean", "std", "colour", "margin", "output"}


class OnnxEmotion:
    """Output of an ONNX network; see ``EmotionFeatures``.

    Args:
        model: FILE or FILE@OUTPUT.
        device: "cpu", or "cuda" if onnxruntime supports it.

    Raises:
        SetupError: the file or the package onnxruntime is missing.
        ArtefactError: the network does not take one image, or cannot be run.
        UsageError: the network has no such output, or the JSON file has an unknown key.
    """

    network = True

    def __init__(self, model: str, device: str = "cpu"):
        file, _, output = model.partition("@")
        path = _find(file)
        options = _options(path)
        self._session = _open(path, device)
        source = self._session.get_inputs()[0]
        outputs = [each.name for each in self._session.get_outputs()]
        output = output or options.get("output") or outputs[0]
        if output not in outputs:
            raise UsageError(f"{path.name} has no output {output!r}.", f"Choose from: {', '.join(outputs)}.")
        self._input, self._output = source.name, output
        shape = [size if isinstance(size, int) else 0 for size in source.shape]
        if len(shape) != 4 or 3 not in (shape[1], shape[3]):
            raise ArtefactError(
                f"{path.name} has an input of shape {source.shape}, not one image.", "Give another network."
            )
        self._channels_last = shape[3] == 3 and shape[1] != 3
        self._size = int(options.get("size") or shape[1 if self._channels_last else 2] or 224)
        self._mean = np.asarray(options.get("mean", [0, 0, 0]), np.float32)
        self._std = np.asarray(options.get("std", [1, 1, 1]), np.float32)
        self._bgr = options.get("colour", "rgb") == "bgr"
        self._margin = float(options.get("margin", MARGIN))
        self.name = f"onnx-{path.stem}@{output}"
        self.version = sha256(path)[:12]
        self.width = self._run(np.zeros((self._size, self._size, 3), np.uint8)).size

    def extract(self, frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """Yields features float32 [D] of each frame, NaN without a face.

        Args:
            frames: (RGB uint8 [H, W, 3], landmarks [68, 2] px), in order.
        """
        for image, landmarks in frames:
            square = face_square(image, landmarks, self._size, self._margin)
            yield np.full(self.width, np.nan, np.float32) if square is None else self._run(square)

    def _run(self, square: np.ndarray) -> np.ndarray:
        """Output of the network, flattened, for a crop uint8 [size, size, 3]."""
        image = (square.astype(np.float32) / 255 - self._mean) / self._std
        if self._bgr:
            image = image[..., ::-1]
        image = image if self._channels_last else image.transpose(2, 0, 1)
        try:
            (values,) = self._session.run([self._output], {self._input: np.ascontiguousarray(image[None])})
        except Exception as error:  # the exceptions of onnxruntime have no common class
            raise ArtefactError(
                f"{self.name} cannot be run: {str(error).splitlines()[0][:120]}", "Check its input."
            ) from error
        return np.asarray(values, np.float32).reshape(-1)


def _find(file: str) -> Path:
    """The path of a network given by path or name."""
    for name in (file, f"{file}.onnx"):
        for path in (Path(name).expanduser(), *(folder / name for folder in weights.folders())):
            if path.is_file():
                return path
    raise SetupError(f"there is no network {file}.", f"Give its path, or put {file}.onnx into {weights.folders()[0]}.")


def _options(path: Path) -> dict[str, Any]:
    """The options in the JSON file beside a network; empty if there is none."""
    json_path = path.with_suffix(".json")
    if not json_path.is_file():
        return {}
    try:
        options = dict(parse_object(json_path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ArtefactError(
            f"{json_path} is not a JSON object.", f"Write an object with keys from: {', '.join(sorted(_KEYS))}."
        ) from error
    unknown = sorted(set(options) - _KEYS)
    if unknown:
        raise UsageError(f"{json_path}: unknown key {unknown[0]!r}.", f"Choose from: {', '.join(sorted(_KEYS))}.")
    return options


def _open(path: Path, device: str) -> Any:
    """Opens a network with onnxruntime."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise SetupError(f"onnxruntime cannot be loaded ({error}).", "Run: pip install onnxruntime") from error
    preferred = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    available = onnxruntime.get_available_providers()
    providers = [name for name in [*preferred, "CPUExecutionProvider"] if name in available]
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), settings, providers=providers)
    except Exception as error:  # the exceptions of onnxruntime have no common class
        raise ArtefactError(
            f"{path} is not an ONNX network ({type(error).__name__}).", "Export or download it again."
        ) from error
