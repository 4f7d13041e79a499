"""What every matting shares: its working size, streaming in blocks that fade into each other, bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

Frame = tuple[np.ndarray, np.ndarray]

# Mattes are computed at this side at most and brought up to the frame's own size along its edges.
WORK_SIZE_PX = 256
# Exponent that spreads out dark tones before colours are compared.
TONE = 0.6
# Frames looked at together. Longer blocks see more of the background; memory is what bounds them.
BLOCK_FRAMES, BLOCK_MIN_FRAMES, BLOCK_BYTES = 100, 24, 100_000_000
# Frames in which one block's mattes fade into the next one's, so that no step is seen between them.
OVERLAP_FRAMES = 8


def work_size(side_px: int) -> int:
    """The side at which a frame of ``side_px`` is segmented."""
    return min(side_px, WORK_SIZE_PX)


def shrink(rgb: np.ndarray, size_px: int) -> np.ndarray:
    """uint8 [H, W, 3] → uint8 [size, size, 3], area-averaged."""
    import cv2

    if rgb.shape[0] == size_px == rgb.shape[1]:
        return rgb
    return cv2.resize(rgb, (size_px, size_px), interpolation=cv2.INTER_AREA)


def compand(rgb: np.ndarray) -> np.ndarray:
    """Lifts the darks of uint8 colours, so that dark hair and a dark wall lie apart as the eye sees them."""
    table = 255.0 * (np.arange(256) / 255.0) ** TONE
    return np.round(table).astype(np.uint8)[rgb]


def block_length(frame_bytes: int) -> int:
    """Frames in a block, so that its frames at full size stay below ``BLOCK_BYTES``."""
    return int(np.clip(BLOCK_BYTES // max(frame_bytes, 1), BLOCK_MIN_FRAMES, BLOCK_FRAMES))


def in_blocks(
    frames: Iterable[Frame], process: Callable[[list[Frame]], np.ndarray], overlap: int = OVERLAP_FRAMES
) -> Iterator[np.ndarray]:
    """Streams ``process`` over overlapping blocks and fades each block's mattes into the next one's.

    Args:
        frames: (RGB uint8 [H, W, 3], landmarks [68, 2]).
        process: block of frames → uint8 [N, H, W, 2].

    Yields:
        uint8 [H, W, 2] a frame, in order.
    """
    block: list[Frame] = []
    tail: np.ndarray | None = None  # the last mattes of the block before, of the frames that start this one
    length = 0
    for frame in frames:
        block.append(frame)
        length = length or block_length(frame[0].nbytes)
        if len(block) == length:
            mattes = _fade(tail, process(block))
            yield from mattes[:-overlap]
            tail, block = mattes[-overlap:], block[-overlap:]
    if tail is not None and len(block) == overlap:
        yield from tail
    elif block:
        yield from _fade(tail, process(block))


def _fade(tail: np.ndarray | None, mattes: np.ndarray) -> np.ndarray:
    if tail is None:
        return mattes
    share = (np.arange(1, len(tail) + 1, dtype=np.float32) / (len(tail) + 1))[:, None, None, None]
    mattes = mattes.copy()
    mattes[: len(tail)] = np.round(tail * (1 - share) + mattes[: len(tail)] * share).astype(np.uint8)
    return mattes


def to_bytes(head: np.ndarray, torso: np.ndarray) -> np.ndarray:
    """uint8 [..., 2] from opacities in [0, 1] whose sum is at most 1; the bytes' sum stays at most 255."""
    head_bytes = np.round(np.clip(head, 0, 1) * 255)
    both = np.round(np.clip(head + torso, 0, 1) * 255)
    return np.stack([np.minimum(head_bytes, both), np.maximum(both - head_bytes, 0)], -1).astype(np.uint8)
