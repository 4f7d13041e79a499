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
    scores = cosine_scores(audio[None], mouth[:, None], temperature)
    own = torch.eye(len(audio), dtype=torch.bool, device=audio.device)
    return -scores.masked_fill(~(rivals | own), -torch.inf).log_softmax(-1).diagonal().mean()


def emotion_loss(predicted_a: Tensor, target_a: Tensor, predicted_b: Tensor, target_b: Tensor) -> Tensor:
    """Eq. 4: L1 reconstruction of the aligned emotion features of a pair, [B, ω, D] each, as means."""
    return (predicted_a - target_a).abs().mean() + (predicted_b - target_b).abs().mean()


def lip_agreement_loss(lip_a: Tensor, lip_b: Tensor, temperature: float = 0.1) -> Tensor:
    """InfoNCE of e_l over moments: A's is nearest to B's of the same moment. Not in the paper.

    What two emotions share at one moment and not at others is what is said, so e_l is left with that.

    Args:
        lip_a, lip_b: [B, ω, 64], aligned windows; the middle frame of each counts.
    """
    middle = lip_a.shape[1] // 2
    a, b = (torch.nn.functional.normalize(each[:, middle], dim=-1) for each in (lip_a, lip_b))
    scores = a @ b.T / temperature
    return -(scores.log_softmax(0).diagonal().mean() + scores.log_softmax(1).diagonal().mean()) / 2


def shared_variance(first: Tensor, second: Tensor, ridge: float = 1e-2) -> Tensor:
    """Mean squared canonical correlation of two embeddings [N, D]: 0 where neither tells the other linearly.

    Not in the paper. ``first`` is held fixed: the second gives way, the first keeps what it has.
    """
    x, y = first.detach() - first.detach().mean(0), second - second.mean(0)
    x, y = x / x.square().mean().sqrt().clamp_min(1e-6), y / y.square().mean().sqrt().clamp_min(1e-6)
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    xx, yy, xy = x.T @ x / len(x) + ridge * eye, y.T @ y / len(y) + ridge * eye, x.T @ y / len(x)
    return torch.trace(torch.linalg.solve(xx, xy) @ torch.linalg.solve(yy, xy.T)) / x.shape[1]


def photometric_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Eq. 6: squared error of ray colours [R, 3], as a mean over rays and channels."""
    return (predicted - target).square().mean()


def opacity_loss(opacity: Tensor, matte: Tensor) -> Tensor:
    """Squared difference of accumulated opacity [R] and matte [R], both in [0, 1]."""
    return (opacity - matte).square().mean()
