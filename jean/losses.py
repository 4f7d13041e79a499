"""The losses of the paper, each by its equation, and the priors of the fast preset."""

from __future__ import annotations

import torch
from torch import Tensor


def landmark_loss(predicted_a: Tensor, target_a: Tensor, predicted_b: Tensor, target_b: Tensor) -> Tensor:
    """Eq. 1: L1 reconstruction of the two faces of a pair.

    Args:
        predicted_a: [B, P, 2], decoded from e_f of A (and e_m of B, where they were swapped).
        target_a: [B, P, 2], A's landmarks (with B's mouth, where they were swapped).
        predicted_b, target_b: the same with the roles exchanged.

    Returns:
        The sum of both norms, each as a mean over coordinates, so that it does not depend on P.
    """
    return (predicted_a - target_a).abs().mean() + (predicted_b - target_b).abs().mean()


def cosine_scores(audio_embedding: Tensor, mouth_embedding: Tensor, temperature: float) -> Tensor:
    """d(x, y) of Eq. 2: cosine over ``temperature``, along the last axis; the others broadcast."""
    return torch.nn.functional.cosine_similarity(audio_embedding, mouth_embedding, dim=-1) / temperature


def contrastive_loss(positive: Tensor, negatives: Tensor, mouth_embedding: Tensor, temperature: float = 0.1) -> Tensor:
    """Eq. 2, InfoNCE: the mouth's own sound against other sounds.

    Args:
        positive: [B, 64], e_a of the mouth's own frame.
        negatives: [B, N, 64], e_a of other frames; the paper has one (N = 1).
        mouth_embedding: [B, 64], e_m.
        temperature: τ, applied inside d(·, ·).
    """
    keys = torch.cat([positive[:, None], negatives], 1)
    scores = cosine_scores(keys, mouth_embedding[:, None], temperature)
    return -scores.log_softmax(-1)[:, 0].mean()


def contrastive_batch_loss(audio: Tensor, mouth: Tensor, rivals: Tensor, temperature: float = 0.1) -> Tensor:
    """Eq. 2 with the other sounds of a batch as negatives: the same sum over more of them, at no more cost.

    Args:
        audio, mouth: [B, 64], e_a and e_m of the same frames.
        rivals: bool [B, B], true where sound j is a negative of mouth i; the diagonal is ignored.
    """
    # one product of unit vectors: the [B, B, 64] cosines one by one take ten times as long
    unit_audio, unit_mouth = (torch.nn.functional.normalize(each, dim=-1, eps=1e-8) for each in (audio, mouth))
    scores = unit_mouth @ unit_audio.T / temperature
    own = torch.eye(len(audio), dtype=torch.bool, device=audio.device)
    return -scores.masked_fill(~(rivals | own), -torch.inf).log_softmax(-1).diagonal().mean()


def emotion_loss(predicted_a: Tensor, target_a: Tensor, predicted_b: Tensor, target_b: Tensor) -> Tensor:
    """Eq. 4: L1 reconstruction of the aligned emotion features of a pair, [B, ω, D] each, as means."""
    return (predicted_a - target_a).abs().mean() + (predicted_b - target_b).abs().mean()


def photometric_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Eq. 6: squared error of ray colours [R, 3], as a mean over rays and channels."""
    return (predicted - target).square().mean()


def opacity_loss(opacity: Tensor, matte: Tensor) -> Tensor:
    """Squared difference of accumulated opacity [R] and matte [R], both in [0, 1]."""
    return (opacity - matte).square().mean()


def torso_loss(rgb: Tensor, opacity: Tensor, seen: Tensor, head: Tensor, torso: Tensor) -> Tensor:
    """Squared errors of the torso layer, where it is seen.

    Where the head covers a part h of a pixel, the torso shows as (1 - h) of its opacity. So a torso that fills the
    rest of an edge's pixel is opaque there; taking its share of the pixel for its opacity leaves a rim of
    background between chin and neck.

    Args:
        rgb: [R, 3], opacity: [R], the layer's.
        seen: [R, 3], the pixels' real colours.
        head, torso: [R], their shares of the pixels.
    """
    rest = 1 - head
    wanted = (torso / rest.clamp_min(1e-3)).clamp(0, 1)
    return (torso[:, None] * (rgb - seen).square()).mean() + (rest * (opacity - wanted).square()).mean()
