"""The motion model: flow matching over windows of cues, conditioned on sound, emotion and given cues.

A cue has many right values (a head may nod or not), and their mean is no motion. The flow therefore learns the velocity
v(x_t, t) that carries Gaussian noise x_0 to a motion x_1 along x_t = (1 - t) x_0 + t x_1 (Lipman et al., 2023). Lips
have one right value and are regressed on the sound's features. Blinks are events, see ``jean.drivers.blinks``; the
network only stores their weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

CONTEXT = 8  # frames of sound before and after a window that its features depend on


class MotionFlow(nn.Module):
    """The network.

    Args:
        width: D, values of the motion vector.
        lips: lip components.
        sound: F, sound features per frame.
        emotions: E, emotions besides neutral.
        hidden: width of tokens; a multiple of ``heads``.
        layers: transformer blocks.
        heads: attention heads per block.
        expressions: coefficients of the corpus' tracker that the cues tell linearly.
    """

    sound_mean: Tensor
    sound_std: Tensor
    shape: Tensor
    pose: Tensor
    expression: Tensor

    def __init__(
        self,
        width: int,
        lips: int,
        sound: int,
        emotions: int,
        hidden: int = 120,
        layers: int = 4,
        heads: int = 4,
        expressions: int = 0,
    ):
        super().__init__()
        self.width, self.emotions, self.hidden = width, emotions, hidden
        self.trunk = nn.Sequential(
            nn.Conv1d(sound, hidden, 5),
            nn.GELU(),
            nn.Conv1d(hidden, hidden, 5, dilation=2),
            nn.GELU(),
            nn.Conv1d(hidden, hidden, 5),
            nn.GELU(),
        )
        self.emotion = nn.Sequential(nn.Linear(emotions + 1, hidden), nn.GELU(), nn.Linear(hidden, hidden))
        self.token = nn.Linear(3 * width, hidden)
        self.time = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 4 * hidden))
        self.blocks = nn.ModuleList(_Block(hidden, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.velocity_out = nn.Linear(hidden, width)
        nn.init.zeros_(self.velocity_out.weight)
        self.lips_out = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, lips))
        self.voice_weight = nn.Linear(hidden, 1)
        self.voice_out = nn.Linear(hidden, emotions + 2)  # logits of neutral and the emotions, and a strength
        self.register_buffer("sound_mean", torch.zeros(sound))
        self.register_buffer("sound_std", torch.ones(sound))
        # of the corpus: maps (``jean.drivers.motion_vector.MotionBasis``), a mean face, blinks (``BlinkModel``)
        shapes = {
            "face_mean": (62,), "face_axes": (10, 62), "face_dual": (62, 10), "lip_mean": (46,), "lip_axes": (lips, 46),
            "lip_dual": (46, lips), "shape": (68, 3), "pose": (4, 4), "expression": (width + lips + 3, expressions),
            "blink_hazard": (9 + emotions,), "blink_length": (1 + emotions,), "blink_length_std": (1,),
        }  # fmt: skip
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))

    def sound_features(self, sound: Tensor) -> Tensor:
        """Features [B, L, H] of the sound [B, L + 2 · ``CONTEXT``, F] of windows of L frames."""
        standardised = ((sound - self.sound_mean) / self.sound_std).clamp(-4, 4)
        return self.trunk(standardised.transpose(1, 2)).transpose(1, 2)

    def velocity(
        self, values: Tensor, time: Tensor, given: Tensor, mask: Tensor, features: Tensor, emotion: Tensor
    ) -> Tensor:
        """Velocity [B, L, D] of the flow.

        Args:
            values: x_t [B, L, D].
            time: t in [0, 1], [B].
            given: known values [B, L, D]; ignored where ``mask`` is 0.
            mask: 1 where a value is known, [B, L, D].
            features: from ``sound_features``.
            emotion: strength of each emotion per frame, and 1 in the last column where the emotion is unknown
                [B, L, E + 1]; zeros mean neutral.
        """
        tokens = self.token(torch.cat([values, given * mask, mask], -1)) + features + self.emotion(emotion)
        shift1, scale1, shift2, scale2 = self.time(_time_waves(time, self.hidden))[:, None].chunk(4, -1)
        bias = _distance(values.shape[1], values)
        for block in self.blocks:
            tokens = block(tokens, (shift1, scale1, shift2, scale2), bias)
        return self.velocity_out(self.norm(tokens))

    def lips(self, features: Tensor, emotion: Tensor) -> Tensor:
        """Lip components [B, L, lips] of sound features and emotion, see ``velocity``."""
        return self.lips_out(features + self.emotion(emotion))

    def voice(self, features: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Emotion of a voice: logits [B, E + 1], neutral first, and a strength [B] in [0, 1].

        Args:
            features: from ``sound_features``.
            weight: [B, L], 0 for frames that do not count.
        """
        scores = self.voice_weight(features)[..., 0].masked_fill(weight <= 0, -1e4)
        pooled = (torch.softmax(scores, 1)[..., None] * features).sum(1)
        out = self.voice_out(pooled)
        return out[:, :-1], torch.sigmoid(out[:, -1])


class _Block(nn.Module):
    """A transformer block; the flow's time scales and shifts its inputs (adaLN, Peebles and Xie, 2023)."""

    def __init__(self, hidden: int, heads: int):
        super().__init__()
        self.heads = heads
        self.first, self.second = (nn.LayerNorm(hidden, elementwise_affine=False) for _ in range(2))
        self.adapt = nn.Parameter(torch.zeros(4, hidden))
        self.query_key_value = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.wide, self.narrow = nn.Linear(hidden, 3 * hidden), nn.Linear(3 * hidden, hidden)

    def forward(self, tokens: Tensor, adapt: tuple[Tensor, ...], bias: Tensor) -> Tensor:
        shift1, scale1, shift2, scale2 = (part + own for part, own in zip(adapt, self.adapt, strict=True))
        batch, length, hidden = tokens.shape
        inner = self.first(tokens) * (1 + scale1) + shift1
        split = self.query_key_value(inner).view(batch, length, 3, self.heads, hidden // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        slopes = 2.0 ** -torch.arange(1, self.heads + 1, dtype=tokens.dtype, device=tokens.device)
        mask = (slopes[:, None, None] * bias).expand(batch, -1, -1, -1)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        tokens = tokens + self.out(mixed.transpose(1, 2).reshape(batch, length, hidden))
        inner = self.second(tokens) * (1 + scale2) + shift2
        return tokens + self.narrow(functional.gelu(self.wide(inner)))


def _time_waves(time: Tensor, width: int) -> Tensor:
    """Sinusoidal encoding [B, width] of times in [0, 1]."""
    rates = torch.exp(torch.linspace(0, math.log(100), width // 2, dtype=time.dtype, device=time.device))
    angle = 2 * time[:, None] * rates
    return torch.cat([angle.sin(), angle.cos()], 1)


def _distance(length: int, like: Tensor) -> Tensor:
    """Minus the distance of two frames, [length, length]; near frames attend more (Press et al., 2022)."""
    place = torch.arange(length, dtype=like.dtype, device=like.device)
    return -(place[:, None] - place[None]).abs()
