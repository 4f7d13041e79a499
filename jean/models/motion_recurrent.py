"""The auto-regressive motion model: frame after frame from the sound, the emotion and the frame before.

The rival of ``MotionFlow``, built as public descriptions of *Emotional Conversation* tell: auto-regressive, with the
gaze in classes, because the mean of many gazes looks nowhere. Sizes of the network and of the classes are readings.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jean.models.motion_network import MotionNetwork, MotionSizes

ACROSS, DOWN = 9, 7  # classes of the gaze
CLASSES = ACROSS * DOWN
SPACING = 0.6  # between the classes' centres, in the motion vector's unit of the gaze


class MotionRecurrent(MotionNetwork):
    """The network.

    Args:
        sizes: of the network.
    """

    def __init__(self, sizes: MotionSizes):
        super().__init__(sizes)
        hidden, width = sizes.hidden, sizes.width
        self.token = nn.Linear(width, hidden)
        self.cell = nn.GRU(hidden, hidden, sizes.layers, batch_first=True)
        self.values_out = nn.Linear(hidden, width)
        self.gaze_out = nn.Linear(hidden, CLASSES)

    def step(
        self, before: Tensor, features: Tensor, emotion: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Values and gaze of L frames.

        Args:
            before: the vector before each frame [B, L, D].
            features, emotion: see ``MotionNetwork``.
            state: of the recurrent layers, [layers, B, H]; None at the beginning.

        Returns:
            Values [B, L, D], whose gaze does not count; logits of the gaze's classes [B, L, ``CLASSES``]; the state.
        """
        tokens = self.token(before) + features + self.emotion(emotion)
        hidden, state = self.cell(tokens, state)
        return self.values_out(hidden), self.gaze_out(hidden), state


def gaze_centres() -> Tensor:
    """Centres of the classes [``CLASSES``, 2]: gaze to the right and down, in the motion vector's unit.

    Example:
        >>> gaze_centres()[CLASSES // 2].tolist()
        [0.0, 0.0]
    """
    down, across = torch.meshgrid(
        SPACING * (torch.arange(DOWN) - DOWN // 2), SPACING * (torch.arange(ACROSS) - ACROSS // 2), indexing="ij"
    )
    return torch.stack([across, down], -1).reshape(CLASSES, 2)


def gaze_class(gaze: Tensor) -> Tensor:
    """The class [...] of each gaze [..., 2]; a gaze beyond the classes belongs to the nearest.

    Example:
        >>> gaze_class(torch.tensor([[0.1, 0.1], [9.0, 0.0]])).tolist()
        [31, 35]
    """
    across = (gaze[..., 0] / SPACING).round().long().clamp(-(ACROSS // 2), ACROSS // 2) + ACROSS // 2
    down = (gaze[..., 1] / SPACING).round().long().clamp(-(DOWN // 2), DOWN // 2) + DOWN // 2
    return down * ACROSS + across
