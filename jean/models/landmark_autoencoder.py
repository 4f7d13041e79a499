"""The landmark autoencoder (sections 3.1 and 8.1.2): separate embeddings of the mouth and of the rest of the face."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

MOUTH_POINTS = 20  # the last landmarks are the mouth (section 8.1.2)


def mlp(widths: Sequence[int], slope: float = 0.02) -> nn.Sequential:
    """Linear layers with LeakyReLU between them, none after the last.

    Args:
        widths: of the input, the hidden layers and the output.
        slope: negative slope of LeakyReLU (0.02 in the paper).
    """
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers[:-1])


class LandmarkAutoencoder(nn.Module):
    """Encoder LE and decoder LD: landmarks → e_f, e_m → landmarks.

    Args:
        points: P, number of landmarks (51 in the paper: 68 without the contour).
        width: width of e_f and of e_m.
        hidden: widths of the hidden layers. "4 MLPs each" (section 8.1.2) is read as four linear layers with these
            three widths between them.
        separate: encode e_f from the landmarks outside the mouth and e_m from the mouth's, with two encoders. The paper
            has one encoder over all landmarks; there, only Eq. 1 separates e_f from e_m.
    """

    def __init__(
        self, points: int = 51, width: int = 64, hidden: Sequence[int] = (256, 256, 128), separate: bool = False
    ):
        super().__init__()
        self.points, self.width, self.separate = points, width, separate
        if separate:
            self.face_encoder = mlp([2 * (points - MOUTH_POINTS), *hidden, width])
            self.mouth_encoder = mlp([2 * MOUTH_POINTS, *hidden, width])
        else:
            self.encoder = mlp([2 * points, *hidden, 2 * width])
        self.decoder = mlp([2 * width, *hidden, 2 * points])

    def encode(self, landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """e_f and e_m, [B, width] each, of landmarks [B, P, 2] (coordinates: ``jean.drivers.face_points``)."""
        if self.separate:
            face, mouth = landmarks[:, :-MOUTH_POINTS], landmarks[:, -MOUTH_POINTS:]
            return self.face_encoder(face.flatten(1)), self.mouth_encoder(mouth.flatten(1))
        both = self.encoder(landmarks.flatten(1))
        return both[:, : self.width], both[:, self.width :]

    def decode(self, face_embedding: Tensor, mouth_embedding: Tensor) -> Tensor:
        """Landmarks [B, P, 2] of e_f and e_m, [B, width] each."""
        return self.decoder(torch.cat([face_embedding, mouth_embedding], -1)).view(-1, self.points, 2)


def with_mouth_of(landmarks: Tensor, other: Tensor) -> Tensor:
    """Landmarks [B, P, 2] with their mouth replaced by that of ``other``: the target of a swap (section 3.1)."""
    return torch.cat([landmarks[:, :-MOUTH_POINTS], other[:, -MOUTH_POINTS:]], 1)


def swapped(a: Tensor, b: Tensor, swap: Tensor) -> tuple[Tensor, Tensor]:
    """Exchanges the rows of ``a`` and ``b``, [B, ...] each, where ``swap``, bool [B], is true."""
    mask = swap.view(-1, *[1] * (a.ndim - 1))
    return torch.where(mask, b, a), torch.where(mask, a, b)
