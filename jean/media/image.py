"""Still images as RGB arrays: reading, PNG encoding and writing. OpenCV's BGR order stays in this file."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from jean.errors import InputError, SetupError
from jean.files import atomic_path

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


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
    try:
        content = Path(path).read_bytes()  # not cv2.imread: it prints a warning when a file is missing
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.", "Check the path.") from error
    image = decode_image(content)
    if image is None:
        raise InputError(f"{path} is damaged or not an image.", "Give a PNG or JPEG file.")
    return image


def decode_image(content: bytes) -> np.ndarray | None:
    """The RGB image uint8 [H, W, 3] of a PNG or JPEG file's content; None where it cannot be decoded."""
    import cv2

    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def is_whole_png(content: bytes) -> bool:
    """Whether the content of a PNG file is complete and no chunk of it was changed.

    Decoders return the readable part of a truncated or altered file as if it were the image.

    Example:
        >>> is_whole_png(encode_png(np.zeros((2, 2), np.uint8))), is_whole_png(b"")
        (True, False)
    """
    position, kind = len(_PNG_SIGNATURE), b""
    if not content.startswith(_PNG_SIGNATURE):
        return False
    while position + 12 <= len(content) and kind != b"IEND":
        size = int.from_bytes(content[position : position + 4], "big")
        kind, end = content[position + 4 : position + 8], position + 8 + size
        if zlib.crc32(content[position + 4 : end]) != int.from_bytes(content[end : end + 4], "big"):
            return False
        position = end + 4
    return kind == b"IEND" and position == len(content)


def central_square(image: np.ndarray, size_px: int) -> np.ndarray:
    """The largest square in the middle of an image, resized; uint8 [size_px, size_px, 3]."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return cut_square(image, left, top, side, size_px)


def cut_square(image: np.ndarray, left_px: int, top_px: int, side_px: int, size_px: int) -> np.ndarray:
    """Cuts a square from an image and resizes it; beyond the image, edge pixels are repeated.

    Args:
        image: uint8 [H, W, 3].
        left_px: left edge of the square; may be negative.
        top_px: top edge.
        side_px: side of the square.
        size_px: side of the result.

    Returns:
        uint8 [size_px, size_px, 3], contiguous.
    """
    import cv2

    height, width = image.shape[:2]
    if left_px >= 0 and top_px >= 0 and left_px + side_px <= width and top_px + side_px <= height:
        piece = image[top_px : top_px + side_px, left_px : left_px + side_px]
    else:
        rows = np.clip(np.arange(top_px, top_px + side_px), 0, height - 1)
        columns = np.clip(np.arange(left_px, left_px + side_px), 0, width - 1)
        piece = image[rows[:, None], columns]
    if side_px == size_px:
        return np.ascontiguousarray(piece)
    # Averaging avoids aliasing in a reduced image; an enlarged one needs a smooth kernel.
    method = cv2.INTER_AREA if side_px > size_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(piece, (size_px, size_px), interpolation=method))


def shrink_to(image: np.ndarray, side_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Divides both sides of an image by the smallest whole number that brings the longer one to ``side_px`` or less.

    Returns:
        The image, and the factors (x, y) that convert its positions back, float64 [2]. Sides that are no multiple of
        the number shrink by slightly more.
    """
    import cv2

    height, width = image.shape[:2]
    times = -(-max(width, height) // side_px)
    if times == 1:
        return image, np.ones(2)
    size = max(width // times, 1), max(height // times, 1)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)), np.array([width, height]) / size


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
