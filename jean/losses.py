"""The losses of the paper, each by its equation, and the priors of the fast preset."""

from __future__ import annotations

import torch
from torch import Tensor


def landmark_loss(predicted_a: Tensor, target_a: Tensor, predicted_b: Tensor, target_b: Tensor) -> Tensor:
    """L1 reconstruction loss of the two faces of a pair (Eq. 1).

    Args:
        predicted_a: [B, P, 2], decoded from e_f of A and e_m of A (of B in swapped pairs).
        target_a: [B, P, 2], landmarks of A (with the mouth of B in swapped pairs).
        predicted_b, target_b: the same with the roles of A and B exchanged.

    Returns:
        The sum of both errors, each a mean over coordinates, so that it does not depend on P.
    """
    return (predicted_a - target_a).abs().mean() + (predicted_b - target_b).abs().mean()


def cosine_scores(audio_embedding: Tensor, mouth_embedding: Tensor, temperature: float) -> Tensor:
    """d(x, y) of Eq. 2: cosine similarity along the last axis, divided by ``temperature``. Other axes broadcast."""
    return torch.nn.functional.cosine_similarity(audio_embedding, mouth_embedding, dim=-1) / temperature


def contrastive_loss(positive: Tensor, negatives: Tensor, mouth_embedding: Tensor, temperature: float = 0.1) -> Tensor:
    """InfoNCE loss of a mouth, its own audio and negatives (Eq. 2).

    Args:
        positive: [B, 64], e_a of the mouth's own frame.
        negatives: [B, N, 64], e_a of other frames; one in the paper (N = 1).
        mouth_embedding: [B, 64], e_m.
        temperature: τ, applied inside d(·, ·).
    """
    keys = torch.cat([positive[:, None], negatives], 1)
    scores = cosine_scores(keys, mouth_embedding[:, None], temperature)
    return -scores.log_softmax(-1)[:, 0].mean()


def contrastive_batch_loss(audio: Tensor, mouth: Tensor, negatives: Tensor, temperature: float = 0.1) -> Tensor:
    """InfoNCE loss (Eq. 2) with the other audio of the batch as negatives, at no additional cost.

    Args:
        audio, mouth: [B, 64], e_a and e_m of the same frames.
        negatives: bool [B, B], true where audio j is a negative of mouth i; the diagonal is ignored.
        temperature: τ.
    """
    # One product of unit vectors: computing the cosines from [B, B, 64] tensors takes ten times as long.
    unit_audio, unit_mouth = (torch.nn.functional.normalize(each, dim=-1, eps=1e-8) for each in (audio, mouth))
    scores = unit_mouth @ unit_audio.T / temperature
    own = torch.eye(len(audio), dtype=torch.bool, device=audio.device)
    return -scores.masked_fill(~(negatives | own), -torch.inf).log_softmax(-1).diagonal().mean()


def emotion_loss(predicted_a: Tensor, target_a: Tensor, predicted_b: Tensor, target_b: Tensor) -> Tensor:
    """L1 reconstruction loss of the aligned emotion features of a pair, [B, ω, D] each (Eq. 4).

    Returns:
        The sum of both errors, each a mean over values.
    """
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
