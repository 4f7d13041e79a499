"""Exchange of expression vectors between training frames of the same emotion, and their dropout.

A vector that comes from an emotion network tells what is said as well, and a head may read lips from it. If half of the
frames get the vector of another frame with the same emotion, the vector predicts only what these frames have in common,
and the head has to listen. Neither is the paper's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from jean.clips.corpus import describe
from jean.drivers.person_frames import PersonFrames
from jean.models.talking_head import Frames
from jean.train.nerf.presets import ResolvedNerfConfig

NEAR_S = 2.0  # frames of a clip without a known emotion are exchanged within that time


class ExpressionExchange:
    """Draws other vectors for the frames of a batch.

    Args:
        data: the person's frames; the emotion of a clip is that of its name, see ``jean.clips.corpus.describe``.
        config: fractions of frames.
        device: where training runs.
    """

    def __init__(self, data: PersonFrames, config: ResolvedNerfConfig, device: torch.device):
        self.exchanged, self.dropped = config.expression_exchange, config.expression_dropout
        order, first, count = same_emotion(data)
        self.order, self.first, self.count = (torch.from_numpy(each).to(device) for each in (order, first, count))

    def apply(
        self, frames: Frames, indices: Tensor, vectors: Tensor, mean: Tensor, generator: torch.Generator
    ) -> Frames:
        """Frames with vectors of other frames, or the mean vector.

        Args:
            frames: F frames.
            indices: their dataset frames [F].
            vectors: expression vectors of all dataset frames [T, E].
            mean: of the training frames [E].
            generator: draws frames and choices; not used where both fractions are 0.
        """
        expression = frames.expression
        if self.exchanged:
            place, chosen = self._random(indices, generator), self._random(indices, generator)
            other = self.order[self.first[indices] + (place * self.count[indices]).long()]
            expression = torch.where((chosen < self.exchanged)[:, None], vectors[other], expression)
        if self.dropped:
            chosen = self._random(indices, generator)
            expression = torch.where((chosen < self.dropped)[:, None], mean, expression)
        return replace(frames, expression=expression)

    @staticmethod
    def _random(indices: Tensor, generator: torch.Generator) -> Tensor:
        return torch.rand(len(indices), generator=generator, device=indices.device)


def same_emotion(data: PersonFrames) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training frames with the same emotion as each frame.

    Returns:
        Dataset frames [N] in groups, and where the group of each frame begins and how long it is, int64 [T] each.
    """
    frames, train = len(data.clip_of), np.isin(np.arange(len(data.clip_of)), data.train)
    emotions = [describe(clip.folder).emotion for clip in data.clips]
    parts, first, count, start = [], np.zeros(frames, np.int64), np.ones(frames, np.int64), 0

    def add(members: np.ndarray, of: np.ndarray) -> None:
        nonlocal start
        parts.append(members)
        first[of], count[of] = start, len(members)
        start += len(members)

    for emotion in sorted({name for name in emotions if name}):
        own = np.isin(data.clip_of, [k for k, name in enumerate(emotions) if name == emotion])
        if (own & train).any():
            add(np.flatnonzero(own & train), np.flatnonzero(own))
    for number, clip in enumerate(data.clips):
        if emotions[number]:
            continue
        shown = np.flatnonzero((data.clip_of == number) & train)
        for frame in shown:
            add(shown[np.abs(shown - frame) <= NEAR_S * clip.fps], np.array([frame]))
    return np.concatenate(parts), first, count
