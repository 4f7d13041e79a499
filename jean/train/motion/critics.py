"""Critics of the motion model: they learn from true motion which emotion a cue shows and what belongs together.

Afterwards they are frozen, and the generated motion has to satisfy them. They see half of the people; the judges of the
evaluation are trained on others, with another seed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from jean.drivers.motion_vector import CUES

TEMPERATURE = 0.1  # of the agreement
CHANGE = 4.0  # factor on the change from frame to frame, which is small
PAIRS = (("eyes", "pose"), ("face", "pose"))  # cues that should agree with each other
SOUND_PAIRS = ("face", "pose")  # cues that should agree with the sound
_WIDTH = 32


class WindowEncoder(nn.Module):
    """A vector per window: two convolutions over values and their changes, pooled to mean and standard deviation.

    Args:
        width: D, values per frame.
        out: width of the vector.
    """

    def __init__(self, width: int, out: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(2 * width, _WIDTH, 5, padding=2), nn.GELU(), nn.Conv1d(_WIDTH, _WIDTH, 5, padding=2), nn.GELU()
        )
        self.out = nn.Linear(2 * _WIDTH, out)

    def forward(self, values: Tensor) -> Tensor:
        """Vectors [B, out] of values [B, L, D]."""
        change = functional.pad(CHANGE * values.diff(dim=1), (0, 0, 1, 0))
        hidden = self.layers(torch.cat([values, change], -1).transpose(1, 2))
        return self.out(torch.cat([hidden.mean(2), (hidden.var(2) + 1e-6).sqrt()], 1))


class Critics(nn.Module):
    """All critics.

    Args:
        width: D of the motion vector.
        sound: F, sound features.
        emotions: number of emotions with neutral.
    """

    def __init__(self, width: int, sound: int, emotions: int):
        super().__init__()
        widths = {name: cue.stop - cue.start for name, cue in CUES.items()} | {"all": width}
        self.emotion = nn.ModuleDict({name: WindowEncoder(each, emotions) for name, each in widths.items()})
        self.agreement = nn.ModuleDict(
            {name: WindowEncoder(each, 16) for name, each in (widths | {"sound": sound}).items() if name != "all"}
        )

    def emotion_loss(self, vectors: Tensor, label: Tensor, counts: Tensor) -> Tensor:
        """Mean cross-entropy over critics of the emotion of windows.

        Args:
            vectors: [B, L, D]; label: [B]; counts: whether a window counts, bool [B].
        """
        if not bool(counts.any()):
            return self._nothing(vectors)
        losses = [
            functional.cross_entropy(critic(_part(vectors[counts], name)), label[counts])
            for name, critic in self.emotion.items()
        ]
        return torch.stack(losses).mean()

    def agreement_losses(self, vectors: Tensor, sound: Tensor, label: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """InfoNCE of cue with cue, and of cue with sound: the same window against others of the same emotion.

        Args:
            vectors: [B, L, D]; sound: [B, L, F], standardised; label: [B]; counts: bool [B].
        """
        if int(counts.sum()) < 2:
            return self._nothing(vectors), self._nothing(vectors)
        codes = {name: self._code(name, _part(vectors[counts], name)) for name in CUES}
        codes["sound"] = self._code("sound", sound[counts])
        same = label[counts][:, None] == label[counts][None]
        cues = torch.stack([_info_nce(codes[a], codes[b], same) for a, b in PAIRS]).mean()
        sounds = torch.stack([_info_nce(codes[name], codes["sound"], same) for name in SOUND_PAIRS]).mean()
        return cues, sounds

    def _nothing(self, vectors: Tensor) -> Tensor:
        """Zero, with gradients."""
        return 0.0 * (vectors.sum() + next(self.parameters()).sum())

    def _code(self, name: str, values: Tensor) -> Tensor:
        return functional.normalize(self.agreement[name](values), dim=-1)


def _info_nce(first: Tensor, second: Tensor, same: Tensor) -> Tensor:
    """Cross-entropy of finding the partner among windows of the same emotion, in both directions.

    Args:
        first, second: unit vectors [B, K]; same: bool [B, B], which windows have the same emotion.
    """
    scores = (first @ second.T / TEMPERATURE).masked_fill(~same, -1e4)
    target = torch.arange(len(first), device=first.device)
    return 0.5 * (functional.cross_entropy(scores, target) + functional.cross_entropy(scores.T, target))


def _part(vectors: Tensor, name: str) -> Tensor:
    return vectors if name == "all" else vectors[..., CUES[name]]


def spread_loss(made: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """Mean squared difference of the standard deviations of each value over the weighted frames of a batch.

    Args:
        made, true: [B, L, D]; weight: [B, L, 1], 0 for frames that do not count.
    """

    def std(values: Tensor) -> Tensor:
        total = weight.sum().clamp_min(1.0)
        mean = (weight * values).sum((0, 1)) / total
        return ((weight * (values - mean).square()).sum((0, 1)) / total + 1e-6).sqrt()

    return (std(made) - std(true)).square().mean()
