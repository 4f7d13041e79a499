"""The motion model: flow matching over windows of cues, conditioned on sound, emotion and given cues.

A cue has many right values (a head may nod or not), and their mean is no motion. The flow therefore learns the velocity
v(x_t, t) that carries Gaussian noise x_0 to a motion x_1 along x_t = (1 - t) x_0 + t x_1 (Lipman et al., 2023). Lips
and blinks: ``jean.models.motion_network``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from jean.models.motion_network import MotionNetwork, MotionSizes


class MotionFlow(MotionNetwork):
    """The network.

    Args:
        sizes: of the network.
    """

    def __init__(self, sizes: MotionSizes):
        super().__init__(sizes)
        hidden, width = sizes.hidden, sizes.width
        self.token = nn.Linear(3 * width, hidden)
        self.time = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 4 * hidden))
        self.blocks = nn.ModuleList(_Block(hidden, sizes.heads) for _ in range(sizes.layers))
        self.norm = nn.LayerNorm(hidden)
        self.velocity_out = nn.Linear(hidden, width)
        nn.init.zeros_(self.velocity_out.weight)

    def velocity(
        self, values: Tensor, time: Tensor, given: Tensor, mask: Tensor, features: Tensor, emotion: Tensor
    ) -> Tensor:
        """Velocity [B, L, D] of the flow.

        Args:
            values: x_t [B, L, D].
            time: t in [0, 1], [B].
            given: known values [B, L, D]; ignored where ``mask`` is 0.
            mask: 1 where a value is known, [B, L, D].
            features, emotion: see ``MotionNetwork``.
        """
        tokens = self.token(torch.cat([values, given * mask, mask], -1)) + features + self.emotion(emotion)
        shift1, scale1, shift2, scale2 = self.time(_time_waves(time, self.hidden))[:, None].chunk(4, -1)
        bias = _distance(values.shape[1], values)
        for block in self.blocks:
            tokens = block(tokens, (shift1, scale1, shift2, scale2), bias)
        return self.velocity_out(self.norm(tokens))


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
