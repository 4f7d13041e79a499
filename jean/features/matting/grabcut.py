"""Head and torso without a network: GrabCut seeded by the landmarks, one model for a whole block of frames,
and steadiness along the motion.

Plain GrabCut on every frame flickers, because each frame learns colours of its own. Here a block of frames
shares its models (``matting_models``); every frame's log odds are averaged with its neighbours' along the
motion, drawn to the frame's edges, softened by the mixture of colours there, and averaged once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from jean.features.matting.common import Frame, compand, in_blocks, shrink, to_bytes, work_size
from jean.features.matting.edges import enlarge
from jean.features.matting.models import Memory, frame_guide, frame_mask, learn
from jean.features.matting.motion import Steadier, parting_odds
from jean.features.matting.refine import soft_alpha
from jean.features.matting.shape import crown, surely_inside
from jean.features.matting.split import head_share
from jean.landmarks import fill_gaps

FADE_FRAMES = 12.0  # how fast old landmarks lose their say in frames without a face


class GrabCutMatting:
    """Matting by colours, landmarks and time; needs no weights.

    Frames without landmarks are judged by colours and by their neighbours; a block in which no frame has
    landmarks gets an empty matte, because nothing says what in it is a person.
    """

    name = "grabcut"
    version = "3"

    def segment(self, frames: Iterable[Frame]) -> Iterator[np.ndarray]:
        """Yields uint8 [H, W, 2] (head, torso) a frame; looks up to a block (100 frames) ahead."""
        memory: Memory = []
        yield from in_blocks(frames, lambda block: _segment_block(block, memory))


def _segment_block(block: list[Frame], memory: Memory) -> np.ndarray:
    """uint8 [N, H, W, 2] for a block; ``memory`` gathers key frames for later blocks."""
    import cv2

    full = [rgb for rgb, _ in block]
    side = full[0].shape[0]
    size = work_size(side)
    small = np.stack([compand(shrink(rgb, size)) for rgb in full])
    marks = np.stack([points for _, points in block]).astype(np.float64) * (size / side)
    valid = np.isfinite(marks).all((1, 2))
    if not valid.any():
        return np.zeros((len(block), side, side, 2), np.uint8)
    marks = fill_gaps(marks, valid)
    says = np.exp(-_frames_from(valid) / FADE_FRAMES)
    models = learn(small, marks, valid, memory)
    steadier = Steadier(small)
    parting = parting_odds(small, marks, np.arange(len(small))) * says[:, None, None].astype(np.float32)
    odds = steadier.steady(
        np.stack([models.frame_odds(*each) for each in zip(small, marks, parting, says, strict=True)])
    )
    alphas, shares = np.empty_like(odds), np.empty_like(odds)
    for i, rgb in enumerate(small):
        guide = frame_guide(rgb)
        inside = surely_inside(marks[i], size) & (says[i] > 0.5)
        expected = crown(marks[i], size) & (says[i] > 0.5)
        mask = frame_mask(guide, odds[i], inside, expected, models.plate.known)
        alphas[i] = soft_alpha(rgb, guide, mask)
        shares[i] = head_share(rgb, guide, alphas[i], marks[i], models.hair)
    alphas, shares = steadier.steady(alphas), steadier.steady(shares)
    mattes = np.empty((len(block), side, side, 2), np.uint8)
    for i, rgb in enumerate(full):
        alpha = enlarge(alphas[i], shrink(rgb, size), rgb)
        share = cv2.resize(shares[i], (side, side), interpolation=cv2.INTER_LINEAR)
        mattes[i] = to_bytes(alpha * share, alpha * (1 - share))
    return mattes


def _frames_from(valid: np.ndarray) -> np.ndarray:
    """Distance of each frame to the nearest valid one, frames."""
    return np.abs(np.arange(len(valid))[:, None] - np.flatnonzero(valid)[None]).min(1).astype(np.float64)
