"""Still images as RGB arrays: reading, PNG encoding and writing. OpenCV's BGR order stays in this file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jean.errors import InputError, SetupError
from jean.files import atomic_path


def check_rgb(rgb: np.ndarray, size: tuple[int, int]) -> None:
    """Checks that an image is uint8 [H, W, 3] of ``size``, (width, height) px.

    Raises:
        ValueError: it has another shape or type.
    """
    width, height = size
    if rgb.dtype != np.uint8 or rgb.shape != (height, width, 3):
        raise ValueError(f"frame is {rgb.dtype} {rgb.shape}, not uint8 of {width}×{height}")


def read_image(path: str | Path) -> np.ndarray:
    """Reads an image file as RGB uint8 [H, W, 3].

    Raises:
        InputError: the file is missing or is not an image.
    """
    import cv2

    try:
        data = np.fromfile(path, np.uint8)  # not cv2.imread: it prints a warning when a file is missing
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.", "Check the path.") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise InputError(f"{path} is damaged or not an image.", "Give a PNG or JPEG file.")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def encode_png(image: np.ndarray, *, fast: bool = False) -> bytes:
    """Encodes an image as PNG.

    Args:
        image: RGB uint8 [H, W, 3], or one channel uint8 or uint16 [H, W].
        fast: compress with Huffman codes only: half the time, about a fifth larger.

    Raises:
        ValueError: another shape or type.
        SetupError: OpenCV cannot encode it.
    """
    import cv2

    colour = image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    if not colour and not (image.ndim == 2 and image.dtype in (np.uint8, np.uint16)):
        raise ValueError(f"a PNG needs uint8 [H, W, 3] or one channel, not {image.dtype} {image.shape}")
    options = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY] if fast else []
    try:
        encoded, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if colour else image, options)
    except cv2.error as error:
        raise SetupError(f"cannot encode a PNG of {image.shape[1]}×{image.shape[0]} pixels.") from error
    if not encoded:
        raise SetupError(f"cannot encode a PNG of {image.shape[1]}×{image.shape[0]} pixels.")
    return data.tobytes()


def write_png(path: str | Path, image: np.ndarray, *, fast: bool = False) -> None:
    """Writes an image as a PNG file, atomically; creates the folder if necessary.

    Args:
        path: the file.
        image: see ``encode_png``.
        fast: see ``encode_png``.

    Raises:
        ValueError: the image has another shape or type.
        SetupError: the file cannot be written.
    """
    data = encode_png(image, fast=fast)
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(data)


def write_opacity(path: str | Path, opacity: np.ndarray) -> None:
    """Writes the opacity of head and torso, uint8 [H, W, 2], as a PNG file: head in red, torso in green."""
    write_png(path, np.pad(opacity, ((0, 0), (0, 0), (0, 1))), fast=True)


def read_opacity(path: str | Path) -> np.ndarray:
    """Reads a file of ``write_opacity``: uint8 [H, W, 2].

    Raises:
        InputError: the file is missing or is not an image.
    """
    return read_image(path)[..., :2]
