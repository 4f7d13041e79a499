"""Shared by all mattings: working size, streaming in overlapping blocks, conversion to uint8."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from jean.threads import map_ahead

Frame = tuple[np.ndarray, np.ndarray]

# Mattes are computed at most at this side length, then enlarged along the edges of the full frame.
WORK_SIZE_PX = 256
# Exponent that brightens dark tones before colours are compared.
GAMMA = 0.6
# Frames processed together. Longer blocks uncover more of the background; memory limits the length.
BLOCK_FRAMES, BLOCK_MIN_FRAMES, BLOCK_BYTES = 100, 24, 100_000_000
# Frames in which the mattes of one block blend into those of the next, so that no step is visible.
OVERLAP_FRAMES = 8


def work_size(side_px: int) -> int:
    """Side length (px) at which a frame of side ``side_px`` is segmented."""
    return min(side_px, WORK_SIZE_PX)


def shrink(rgb: np.ndarray, size_px: int) -> np.ndarray:
    """Resizes uint8 [H, W, 3] to uint8 [size, size, 3] by area averaging."""
    import cv2

    if rgb.shape[0] == size_px == rgb.shape[1]:
        return rgb
    return cv2.resize(rgb, (size_px, size_px), interpolation=cv2.INTER_AREA)


def brighten_darks(rgb: np.ndarray) -> np.ndarray:
    """Brightens dark uint8 colours, so that the distance of dark hair to a dark wall matches its visibility."""
    table = 255.0 * (np.arange(256) / 255.0) ** GAMMA
    return np.round(table).astype(np.uint8)[rgb]


def block_length(frame_bytes: int) -> int:
    """Frames per block, so that the full-size frames of a block stay below ``BLOCK_BYTES``."""
    return int(np.clip(BLOCK_BYTES // max(frame_bytes, 1), BLOCK_MIN_FRAMES, BLOCK_FRAMES))


def process_blocks(
    frames: Iterable[Frame],
    process: Callable[[list[Frame]], np.ndarray],
    overlap: int = OVERLAP_FRAMES,
    threads: int = 1,
) -> Iterator[np.ndarray]:
    """Applies ``process`` to overlapping blocks of a stream and blends the mattes of consecutive blocks.

    Args:
        frames: (RGB uint8 [H, W, 3], landmarks [68, 2] px).
        process: converts a block of frames to mattes uint8 [N, H, W, 2].
        overlap: frames that consecutive blocks share.
        threads: blocks that are processed at once; ``process`` must then depend on its block alone.

    Yields:
        uint8 [H, W, 2] for each frame, in order.
    """
    tail: np.ndarray | None = None  # last mattes of the previous block, for the frames that start the next one
    for mattes in map_ahead(process, _blocks(frames, overlap), threads):
        if tail is not None:
            mattes = _fade(tail, mattes)
        yield from mattes[:-overlap]
        tail = mattes[-overlap:]
    if tail is not None:
        yield from tail


def _blocks(frames: Iterable[Frame], overlap: int) -> Iterator[list[Frame]]:
    """Blocks of frames; each begins with the last ``overlap`` frames of the one before."""
    block: list[Frame] = []
    length, shared = 0, 0
    for frame in frames:
        block.append(frame)
        length = length or block_length(frame[0].nbytes)
        if len(block) == length:
            yield block
            block, shared = block[-overlap:], overlap
    if len(block) > shared:
        yield block


def _fade(tail: np.ndarray, mattes: np.ndarray) -> np.ndarray:
    """Blends the first mattes of a block with ``tail``, the mattes of the same frames in the previous block."""
    weight = (np.arange(1, len(tail) + 1, dtype=np.float32) / (len(tail) + 1))[:, None, None, None]
    mattes = mattes.copy()
    mattes[: len(tail)] = np.round(tail * (1 - weight) + mattes[: len(tail)] * weight).astype(np.uint8)
    return mattes


def to_uint8(head: np.ndarray, torso: np.ndarray) -> np.ndarray:
    """Converts opacities in [0, 1] with a sum of at most 1 to uint8 [..., 2] with a sum of at most 255."""
    head_bytes = np.round(np.clip(head, 0, 1) * 255)
    both = np.round(np.clip(head + torso, 0, 1) * 255)
    return np.stack([np.minimum(head_bytes, both), np.maximum(both - head_bytes, 0)], -1).astype(np.uint8)
