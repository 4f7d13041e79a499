"""What all motion models share: sound features, emotion, lips, the voice's emotion, statistics of the corpus.

Lips have one right value and are regressed on the sound's features. Blinks are events, see ``jean.drivers.blinks``; the
network only stores their weights. How face, eyes and pose are generated is the subclasses' part.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

CONTEXT = 8  # frames of sound before and after a window that its features depend on


@dataclass(frozen=True)
class MotionSizes:
    """Sizes of a motion model.

    Attributes:
        width: D, values of the motion vector.
        lips: lip components.
        sound: F, sound features per frame.
        emotions: E, emotions besides neutral.
        hidden: H, width of tokens or of the recurrent state; a multiple of ``heads``.
        layers: transformer blocks, or recurrent layers.
        heads: attention heads per transformer block.
        expressions: coefficients of the corpus' tracker that the cues tell linearly.
    """

    width: int
    lips: int
    sound: int
    emotions: int
    hidden: int = 120
    layers: int = 4
    heads: int = 4
    expressions: int = 0


class MotionNetwork(nn.Module):
    """The shared part.

    ``emotion`` is in all methods the strength of each emotion per frame, and 1 in the last column where the emotion is
    unknown, [B, L, E + 1]; zeros mean neutral. ``features`` come from ``sound_features``, [B, L, H].

    Args:
        sizes: of the network.
    """

    sound_mean: Tensor
    sound_std: Tensor
    shape: Tensor
    pose: Tensor
    expression: Tensor

    def __init__(self, sizes: MotionSizes):
        super().__init__()
        sound, hidden, emotions, lips = sizes.sound, sizes.hidden, sizes.emotions, sizes.lips
        self.emotions, self.hidden = emotions, hidden
        self.trunk = nn.Sequential(
            nn.Conv1d(sound, hidden, 5),
            nn.GELU(),
            nn.Conv1d(hidden, hidden, 5, dilation=2),
            nn.GELU(),
            nn.Conv1d(hidden, hidden, 5),
            nn.GELU(),
        )
        self.emotion = nn.Sequential(nn.Linear(emotions + 1, hidden), nn.GELU(), nn.Linear(hidden, hidden))
        self.lips_out = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, lips))
        self.voice_weight = nn.Linear(hidden, 1)
        self.voice_out = nn.Linear(hidden, emotions + 2)  # logits of neutral and the emotions, and a strength
        self.register_buffer("sound_mean", torch.zeros(sound))
        self.register_buffer("sound_std", torch.ones(sound))
        # of the corpus: maps (``jean.drivers.motion_vector.MotionBasis``), a mean face, blinks (``BlinkModel``)
        shapes = {
            "face_mean": (62,), "face_axes": (10, 62), "face_dual": (62, 10), "lip_mean": (46,),
            "lip_axes": (lips, 46), "lip_dual": (46, lips), "shape": (68, 3), "pose": (4, 4),
            "expression": (sizes.width + lips + 3, sizes.expressions),
            "blink_hazard": (9 + emotions,), "blink_length": (1 + emotions,), "blink_length_std": (1,),
        }  # fmt: skip
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))

    def sound_features(self, sound: Tensor) -> Tensor:
        """Features [B, L, H] of the sound [B, L + 2 · ``CONTEXT``, F] of windows of L frames."""
        standardised = ((sound - self.sound_mean) / self.sound_std).clamp(-4, 4)
        return self.trunk(standardised.transpose(1, 2)).transpose(1, 2)

    def lips(self, features: Tensor, emotion: Tensor) -> Tensor:
        """Lip components [B, L, lips] of sound features and emotion."""
        return self.lips_out(features + self.emotion(emotion))

    def voice(self, features: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Emotion of a voice: logits [B, E + 1], neutral first, and a strength [B] in [0, 1].

        Args:
            features: of the sound.
            weight: [B, L], 0 for frames that do not count.
        """
        scores = self.voice_weight(features)[..., 0].masked_fill(weight <= 0, -1e4)
        pooled = (torch.softmax(scores, 1)[..., None] * features).sum(1)
        out = self.voice_out(pooled)
        return out[:, :-1], torch.sigmoid(out[:, -1])
