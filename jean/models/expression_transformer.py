"""The expression transformer (sections 3.2 and 8.3.2): emotion features → e_l and e_e → emotion features."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn


class ExpressionTransformer(nn.Module):
    """Encoder EE and decoder ED of emotion features.

    EE maps the features of a window to tokens of 2 · ``width`` numbers per frame. It adds positions and puts a start
    and an end vector around the sequence. The output of its transformer layers is split into e_l and e_e.

    ED is an ordinary transformer decoder. It attends to e_l and e_e of the whole window and, causally, to the features
    of earlier frames.

    Args:
        features: D, width of the emotion features.
        window: ω, frames per window.
        width: width of e_l and of e_e.
        hidden: hidden width of the two maps D → hidden → 2 · ``width`` and back.
        layers, heads, dropout: of EE and of ED.
        feedforward: width of the feed-forward part of a layer (not stated in the paper; 2048 is torch's default).
        history: what ED attends to as earlier frames. "teacher": those of the target while training, and its own output
            in use. "none": nothing, so that e_l and e_e must hold everything (not the paper's).
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
        # Maps applied to (e_l, e_e) in use; by default they pass e_l and e_e on unchanged (see set_disentangling_maps).
        # The names are part of the checkpoint format.
        self.register_buffer("part_mean", torch.zeros(inner))
        self.register_buffer("part_lip", torch.eye(inner)[:, :width].clone())
        self.register_buffer("part_expression", torch.eye(inner)[:, width:].clone())
        self.register_buffer("positions", position_codes(window + 2, inner), persistent=False)
        causal = torch.full((window, window), -torch.inf).triu(1)
        self.register_buffer("causal", causal, persistent=False)

    def set_statistics(self, mean: Tensor, scale: Tensor) -> None:
        """Sets offset and scale, [D] each, of ``standardised``."""
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def set_disentangling_maps(self, mean: Tensor, lip: Tensor, expression: Tensor) -> None:
        """Sets the linear maps that ``embed_track`` applies (``jean.train.expression.disentangle``).

        Args:
            mean: [2 · width], subtracted from (e_l, e_e).
            lip, expression: [2 · width, width], maps of the difference to e_l and to e_e.
        """
        self.part_mean.copy_(mean)
        self.part_lip.copy_(lip)
        self.part_expression.copy_(expression)

    def standardised(self, features: Tensor) -> Tensor:
        """Features [..., D] in the units of the network: offset removed, divided by the scale."""
        return (features - self.mean) / self.scale

    def encode(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """e_l and e_e, [B, ω, width] each, of features [B, ω, D] (section 8.3.2: the output is "split in half")."""
        return self.encode_tokens(self.down(self.standardised(features)))

    def encode_tokens(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """e_l and e_e, [B, ω, width] each, of tokens [B, ω, 2 · width], the output of ``down``."""
        start, end, _ = self.ends.expand(len(tokens), -1, -1).split(1, 1)
        sequence = torch.cat([start, tokens, end], 1) + self.positions[: tokens.shape[1] + 2]
        out = self.encoder(sequence)[:, 1:-1]
        return out[..., : self.width], out[..., self.width :]

    def decode(self, lip: Tensor, expression: Tensor, target_tokens: Tensor | None = None) -> Tensor:
        """Standardised features [B, ω, D] of e_l and e_e.

        Args:
            lip, expression: e_l and e_e of a window, [B, ω, width] each.
            target_tokens: tokens [B, ω, 2 · width] of the target; frame t attends to those before t. None: the decoder
                attends to its own output, frame by frame.
        """
        memory = torch.cat([lip, expression], -1)
        start = self.ends[2].expand(len(lip), 1, -1)
        if self.history == "none":
            # the start vector at every position, so that frames differ by their positions only
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
        """Embeddings of every frame of a track: element ω/2 of the frame's window (section 8.4.2).

        Windows are not time-warped, which belongs to training alone (section 3.2). The first and the last frame are
        repeated beyond the ends.

        Args:
            track: features [T, D].
            batch: windows per pass.

        Returns:
            e_l and e_e, float32 [T, width] each, after the disentangling maps.
        """
        index = np.arange(len(track))[:, None] + np.arange(self.window) - self.window // 2
        windows = np.clip(index, 0, len(track) - 1)
        lips, expressions = [], []
        for first in range(0, len(track), batch):
            features = np.asarray(track, np.float32)[windows[first : first + batch]]
            halves = self.encode(torch.from_numpy(features).to(self.mean.device))
            centred = torch.cat(halves, -1)[:, self.window // 2] - self.part_mean
            lips.append(centred @ self.part_lip)
            expressions.append(centred @ self.part_expression)
        return torch.cat(lips).cpu().numpy(), torch.cat(expressions).cpu().numpy()


def position_codes(count: int, width: int) -> Tensor:
    """Sinusoidal position codes of positions 0 to ``count`` - 1, [count, width]; ``width`` is even."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(count)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width]
