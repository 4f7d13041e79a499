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
        hidden, width, self.heads = sizes.hidden, sizes.width, sizes.heads
        self.token = nn.Linear(3 * width, hidden)
        self.time = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 4 * hidden))
        self.blocks = nn.ModuleList(_Block(hidden, sizes.heads) for _ in range(sizes.layers))
        self.norm = nn.LayerNorm(hidden)
        self.velocity_out = nn.Linear(hidden, width)
        nn.init.zeros_(self.velocity_out.weight)

    def condition(self, features: Tensor, emotion: Tensor) -> Tensor:
        """What ``velocity`` is conditioned on, [B, L, H]; see ``MotionNetwork`` for the arguments."""
        return features + self.emotion(emotion)

    def velocity(self, values: Tensor, time: Tensor, given: Tensor, mask: Tensor, condition: Tensor) -> Tensor:
        """Velocity [B, L, D] of the flow.

        Args:
            values: x_t [B, L, D].
            time: t in [0, 1], [B].
            given: known values [B, L, D]; ignored where ``mask`` is 0.
            mask: 1 where a value is known, [B, L, D].
            condition: from ``condition``; at sampling, it is the same at all times of the flow.
        """
        tokens = self.token(torch.cat([values, given * mask, mask], -1)) + condition
        modulation = self.time(_time_waves(time, self.hidden))[:, None].chunk(4, -1)
        bias = _attention_bias(values.shape[1], self.heads, values)
        for block in self.blocks:
            tokens = block(tokens, modulation, bias)
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
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.expand(batch, -1, -1, -1))
        tokens = tokens + self.out(mixed.transpose(1, 2).reshape(batch, length, hidden))
        inner = self.second(tokens) * (1 + scale2) + shift2
        return tokens + self.narrow(functional.gelu(self.wide(inner)))


def _time_waves(time: Tensor, width: int) -> Tensor:
    """Sinusoidal encoding [B, width] of times in [0, 1]."""
    rates = torch.exp(torch.linspace(0, math.log(100), width // 2, dtype=time.dtype, device=time.device))
    angle = 2 * time[:, None] * rates
    return torch.cat([angle.sin(), angle.cos()], 1)


def _attention_bias(length: int, heads: int, like: Tensor) -> Tensor:
    """Bias of the attention [heads, length, length]: near frames attend more, by head (Press et al., 2022)."""
    place = torch.arange(length, dtype=like.dtype, device=like.device)
    slopes = 2.0 ** -torch.arange(1, heads + 1, dtype=like.dtype, device=like.device)
    return -slopes[:, None, None] * (place[:, None] - place[None]).abs()
