"""Matting without a network: GrabCut seeded by the landmarks, shared by a block of frames and smoothed in time.

GrabCut on single frames flickers, because each frame learns its own colours. Here all frames of a block share their
models (``matting/models.py``). The log odds of each frame are smoothed in time along the motion, aligned with the
edges of the frame, converted to opacity by the colour mixture along the edge, and smoothed once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from jean.features.matting.common import Frame, brighten_darks, process_blocks, shrink, work_size
from jean.features.matting.finish import finish_mattes
from jean.features.matting.models import KeyFrames, fit_models, frame_guide, frame_mask
from jean.features.matting.motion import MotionSmoother, motion_log_odds
from jean.features.matting.shape import certain_foreground, upper_head
from jean.landmarks import fill_gaps

FADE_FRAMES = 12.0  # decay of the confidence in interpolated landmarks with the distance to tracked ones


class GrabCutMatting:
    """Matting by colour, landmarks and motion; needs no weights. See ``Matting``.

    Frames without landmarks are segmented by colour and by neighbouring frames. A block in which no frame has
    landmarks gets an empty matte, because nothing tells where the person is.
    """

    name = "grabcut"
    version = "4"

    def segment(self, frames: Iterable[Frame]) -> Iterator[np.ndarray]:
        """Yields uint8 [H, W, 2] (head, torso) for each frame; reads up to one block (100 frames) ahead."""
        key_frames: KeyFrames = []
        yield from process_blocks(frames, lambda block: _segment_block(block, key_frames))


def _segment_block(block: list[Frame], key_frames: KeyFrames) -> np.ndarray:
    """Mattes uint8 [N, H, W, 2] of a block; appends its key frames to ``key_frames`` for later blocks."""
    full = [rgb for rgb, _ in block]
    side = full[0].shape[0]
    size = work_size(side)
    small = np.stack([brighten_darks(shrink(rgb, size)) for rgb in full])
    landmarks = np.stack([points for _, points in block]).astype(np.float64) * (size / side)
    valid = np.isfinite(landmarks).all((1, 2))
    if not valid.any():
        return np.zeros((len(block), side, side, 2), np.uint8)
    landmarks = fill_gaps(landmarks, valid)
    confidences = np.exp(-_frames_from(valid) / FADE_FRAMES)
    models = fit_models(small, landmarks, valid, key_frames)
    smoother = MotionSmoother(small)
    weights = confidences[:, None, None].astype(np.float32)
    motion_odds = motion_log_odds(small, landmarks, np.arange(len(small))) * weights
    odds = smoother.smooth(
        np.stack([models.frame_odds(*each) for each in zip(small, landmarks, motion_odds, confidences, strict=True)])
    )
    masks = np.empty(odds.shape, bool)
    for i, rgb in enumerate(small):
        inside = certain_foreground(landmarks[i], size) & (confidences[i] > 0.5)
        expected = upper_head(landmarks[i], size) & (confidences[i] > 0.5)
        masks[i] = frame_mask(frame_guide(rgb), odds[i], inside, expected, models.plate.observed)
    return finish_mattes(full, small, masks, landmarks, models.hair, smoother)


def _frames_from(valid: np.ndarray) -> np.ndarray:
    """Distance of each frame to the nearest valid frame, in frames."""
    return np.abs(np.arange(len(valid))[:, None] - np.flatnonzero(valid)[None]).min(1).astype(np.float64)
