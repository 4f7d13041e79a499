"""The expression transformer of sections 3.2 and 8.3.2: emotion features → e_l and e_e → emotion features."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn


class ExpressionTransformer(nn.Module):
    """EE and ED.

    EE maps a window of features down to 2 · ``width`` numbers a frame, adds positions, puts a start and an end
    vector around it, and splits what its layers give into e_l and e_e. ED is an ordinary transformer decoder:
    it looks at all e_l and e_e of the window, and, causally, at the features before the one it predicts.

    Args:
        features: D. window: ω. width: of e_l and of e_e each.
        hidden: of the two maps, D → hidden → 2 · width and back.
        layers, heads, dropout: of EE and of ED.
        feedforward: width inside a layer (the paper is silent; 2048 is torch's own).
        history: what ED sees of the features before: "teacher", those of the target (while training; its own
            output in use), or "none", so that only e_l and e_e can tell (not the paper's).
    """

    mean: Tensor
    scale: Tensor
    part_mean: Tensor
    part_lip: Tensor
    part_expression: Tensor
    positions: Tensor
    causal: Tensor

    def __init__(
        self,
        *,
        features: int,
        window: int = 8,
        width: int = 64,
        hidden: int = 512,
        layers: int = 3,
        heads: int = 8,
        dropout: float = 0.2,
        feedforward: int = 2048,
        history: str = "teacher",
    ):
        super().__init__()
        inner = 2 * width
        self.width, self.window, self.history = width, window, history
        self.down = nn.Sequential(nn.Linear(features, hidden), nn.LeakyReLU(0.02), nn.Linear(hidden, inner))
        self.up = nn.Sequential(nn.Linear(inner, hidden), nn.LeakyReLU(0.02), nn.Linear(hidden, features))
        self.ends = nn.Parameter(torch.randn(3, inner) * 0.02)  # start and end of EE's input, start of ED's
        encoder = nn.TransformerEncoderLayer(inner, heads, feedforward, dropout, batch_first=True)
        decoder = nn.TransformerDecoderLayer(inner, heads, feedforward, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(encoder, layers, enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(decoder, layers)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        # how e_l and e_e are parted further in use (``jean.train.expression.disentangle``); as they come unless set
        self.register_buffer("part_mean", torch.zeros(inner))
        self.register_buffer("part_lip", torch.eye(inner)[:, :width].clone())
        self.register_buffer("part_expression", torch.eye(inner)[:, width:].clone())
        self.register_buffer("positions", position_codes(window + 2, inner), persistent=False)
        causal = torch.full((window, window), -torch.inf).triu(1)
        self.register_buffer("causal", causal, persistent=False)

    def set_statistics(self, mean: Tensor, scale: Tensor) -> None:
        """What is taken from features, [D], and what they are then divided by, [D]."""
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def set_parting(self, mean: Tensor, lip: Tensor, expression: Tensor) -> None:
        """What is taken from (e_l, e_e), [2 · width], and the maps to e_l and e_e in use, [2 · width, width]."""
        self.part_mean.copy_(mean)
        self.part_lip.copy_(lip)
        self.part_expression.copy_(expression)

    def standardised(self, features: Tensor) -> Tensor:
        """Features [..., D] in the units that the network sees."""
        return (features - self.mean) / self.scale

    def encode(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """e_l and e_e, [B, ω, width] each, from features [B, ω, D]: "split in half", section 8.3.2."""
        return self.encode_tokens(self.down(self.standardised(features)))

    def encode_tokens(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """e_l and e_e, [B, ω, width] each, from mapped features [B, ω, 2 · width]."""
        start, end, _ = self.ends.expand(len(tokens), -1, -1).split(1, 1)
        sequence = torch.cat([start, tokens, end], 1) + self.positions[: tokens.shape[1] + 2]
        out = self.encoder(sequence)[:, 1:-1]
        return out[..., : self.width], out[..., self.width :]

    def decode(self, lip: Tensor, expression: Tensor, target_tokens: Tensor | None = None) -> Tensor:
        """Standardised features [B, ω, D] from e_l and e_e [B, ω, width].

        Args:
            lip, expression: of the window.
            target_tokens: mapped features [B, ω, 2 · width] of the target, whose place t is seen from t + 1 on;
                None: ED sees what it gave itself, frame after frame.
        """
        memory = torch.cat([lip, expression], -1)
        start = self.ends[2].expand(len(lip), 1, -1)
        if self.history == "none":
            # the start vector at every place: nothing of the past, the positions alone differ
            return self._decoded(start.expand(-1, lip.shape[1], -1), memory)
        if target_tokens is not None:
            return self._decoded(torch.cat([start, target_tokens[:, :-1]], 1), memory)
        tokens, frames = start, []
        for _ in range(lip.shape[1]):
            frames.append(self._decoded(tokens, memory)[:, -1:])
            tokens = torch.cat([tokens, self.down(frames[-1])], 1)
        return torch.cat(frames, 1)

    def _decoded(self, tokens: Tensor, memory: Tensor) -> Tensor:
        count = tokens.shape[1]
        out = self.decoder(
            tokens + self.positions[:count],
            memory + self.positions[1 : memory.shape[1] + 1],
            tgt_mask=self.causal[:count, :count],
        )
        return self.up(out)

    @torch.no_grad()
    def embed_track(self, track: np.ndarray, batch: int = 512) -> tuple[np.ndarray, np.ndarray]:
        """e_l and e_e, float32 [T, width] each, of a track [T, D]: element ω/2 of each frame's window (8.4.2).

        No time warping: that is for training alone (section 3.2).
        """
        index = np.arange(len(track))[:, None] + np.arange(self.window) - self.window // 2
        windows = np.clip(index, 0, len(track) - 1)
        lips, expressions = [], []
        for first in range(0, len(track), batch):
            part = torch.from_numpy(np.asarray(track, np.float32)[windows[first : first + batch]]).to(self.mean.device)
            both = torch.cat(self.encode(part), -1)[:, self.window // 2] - self.part_mean
            lips.append(both @ self.part_lip)
            expressions.append(both @ self.part_expression)
        return torch.cat(lips).cpu().numpy(), torch.cat(expressions).cpu().numpy()


def position_codes(count: int, width: int) -> Tensor:
    """Sines and cosines of places 0 to ``count`` - 1, [count, width], as transformers have them."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(count)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width]
