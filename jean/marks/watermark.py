"""An invisible watermark that says "synthetic", in one frame of every half second.

The marks are singular values of wavelet and cosine coefficients, by the package ``invisible-watermark``. They survive
re-encoding at good quality and enlarging; they do not survive strong compression, cropping or mirroring.
docs/guides/provenance.md has the figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from jean.errors import SetupError, UsageError

EVERY_S = 0.5
SMALLEST_PX = 256  # of the frame's side: smaller frames hold too few blocks
_METHOD = "dwtDctSvd"
_PAYLOAD = np.unpackbits(np.frombuffer(b"jean", np.uint8)).astype(bool)
# Of 32 random bits, at most 3 differ from the payload with a probability of 1.3e-6.
_MOST_WRONG_BITS = 3
_SIZES_PX = (256, 384, 512, 768, 1024)  # sides at which a resized frame is looked at


def is_marked(index: int, fps: float) -> bool:
    """Whether frame ``index`` of a result gets the mark."""
    return index % max(1, round(EVERY_S * fps)) == 0


def embed(rgb: np.ndarray) -> np.ndarray:
    """Returns a marked copy of a frame, uint8 [S, S, 3]; the difference has about 40 dB.

    Raises:
        UsageError: the frame is smaller than 256 pixels.
        SetupError: the package is missing.
    """
    if min(rgb.shape[:2]) < SMALLEST_PX:
        raise UsageError(f"a watermark needs frames of {SMALLEST_PX} pixels.", f"Add --size {SMALLEST_PX}.")
    encoder = _package().WatermarkEncoder()
    encoder.set_watermark("bits", _PAYLOAD.astype(int).tolist())
    marked = encoder.encode(np.ascontiguousarray(rgb[..., ::-1]), _METHOD)
    return np.ascontiguousarray(marked[..., ::-1])


def holds_mark(rgb: np.ndarray) -> bool:
    """Whether a frame, uint8 [H, W, 3], holds the mark at its present size."""
    if min(rgb.shape[:2]) < SMALLEST_PX:
        return False
    decoder = _package().WatermarkDecoder("bits", len(_PAYLOAD))
    bits = np.asarray(decoder.decode(np.ascontiguousarray(rgb[..., ::-1]), _METHOD)).astype(bool)
    return int((bits != _PAYLOAD).sum()) <= _MOST_WRONG_BITS


def find(frames: Iterable[np.ndarray]) -> bool:
    """Whether one of some frames, uint8 [H, W, 3] each, holds the mark, at its own or at a usual size.

    Args:
        frames: at least those of half a second.

    Raises:
        SetupError: the package is missing.
    """
    import cv2

    held = list(frames)
    if any(holds_mark(frame) for frame in held):
        return True
    sizes = [size for size in _SIZES_PX if not held or size != held[0].shape[0]]
    return any(
        holds_mark(np.asarray(cv2.resize(frame, (size, size), interpolation=cv2.INTER_CUBIC)))
        for size in sizes
        for frame in held
    )


def _package() -> Any:
    try:
        import imwatermark
    except ImportError as error:
        raise SetupError("the package invisible-watermark is missing.", 'Run: pip install "jean[marks]"') from error
    return imwatermark
