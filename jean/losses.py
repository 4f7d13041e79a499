"""Training losses: the paper's equations, and the additional terms of the fast preset."""

from __future__ import annotations

import torch
from torch import Tensor


def landmark_loss(predicted_a: Tensor, target_a: Tensor, predicted_b: Tensor, target_b: Tensor) -> Tensor:
    """L1 reconstruction loss of the two faces of a pair (Eq. 1).

    Args:
        predicted_a: [B, P, 2], decoded from e_f of A and e_m of A (of B, if the mouths are swapped).
        target_a: [B, P, 2], landmarks of A (with the mouth of B, if the mouths are swapped).
        predicted_b: [B, P, 2], as ``predicted_a`` with the roles exchanged.
        target_b: [B, P, 2], as ``target_a`` with the roles exchanged.

    Returns:
        The sum of both errors, each a mean over coordinates, so that it does not depend on P.
    """
    return (predicted_a - target_a).abs().mean() + (predicted_b - target_b).abs().mean()


def cosine_scores(audio_embedding: Tensor, mouth_embedding: Tensor, temperature: float) -> Tensor:
    """d(x, y) of Eq. 2: cosine similarity along the last axis, divided by ``temperature``; other axes broadcast."""
    return torch.nn.functional.cosine_similarity(audio_embedding, mouth_embedding, dim=-1) / temperature


def contrastive_loss(positive: Tensor, negatives: Tensor, mouth_embedding: Tensor, temperature: float = 0.1) -> Tensor:
    """Eq. 2, InfoNCE: the audio of the mouth's own frame against the audio of other frames.

    Args:
        positive: [B, 64], e_a of the frame of the mouth.
        negatives: [B, N, 64], e_a of other frames; the paper uses one (N = 1).
        mouth_embedding: [B, 64], e_m.
        temperature: τ, applied inside d(·, ·).

    Returns:
        The mean over the batch, a scalar.

    Example:
        >>> mouth = torch.tensor([[1.0, 0.0]])
        >>> right, wrong = torch.tensor([[1.0, 0.0]]), torch.tensor([[[0.0, 1.0]]])
        >>> round(contrastive_loss(right, wrong, mouth, temperature=1.0).item(), 4)  # log(1 + 1/e)
        0.3133
    """
    keys = torch.cat([positive[:, None], negatives], 1)
    scores = cosine_scores(keys, mouth_embedding[:, None], temperature)
    return -scores.log_softmax(-1)[:, 0].mean()


def contrastive_batch_loss(audio: Tensor, mouth: Tensor, negatives: Tensor, temperature: float = 0.1) -> Tensor:
    """Eq. 2 with the other frames of the batch as negatives: more negatives at no additional cost.

    Args:
        audio: [B, 64], e_a of the frames.
        mouth: [B, 64], e_m of the same frames.
        negatives: bool [B, B], true where audio j is a negative of mouth i; the diagonal is ignored.
        temperature: τ, applied inside d(·, ·).

    Returns:
        The mean over the batch, a scalar.
    """
    # one product of unit vectors: computing the cosines over [B, B, 64] takes ten times as long
    unit_audio, unit_mouth = (torch.nn.functional.normalize(each, dim=-1, eps=1e-8) for each in (audio, mouth))
    scores = unit_mouth @ unit_audio.T / temperature
    own = torch.eye(len(audio), dtype=torch.bool, device=audio.device)
    return -scores.masked_fill(~(negatives | own), -torch.inf).log_softmax(-1).diagonal().mean()


def emotion_loss(predicted_a: Tensor, target_a: Tensor, predicted_b: Tensor, target_b: Tensor) -> Tensor:
    """Eq. 4: L1 reconstruction of the aligned emotion features of a pair.

    Args:
        predicted_a: [B, ω, D], decoded emotion features of A.
        target_a: [B, ω, D], emotion features of A.
        predicted_b: [B, ω, D], decoded emotion features of B.
        target_b: [B, ω, D], emotion features of B.

    Returns:
        The sum of both norms, each as a mean over values.
    """
    return (predicted_a - target_a).abs().mean() + (predicted_b - target_b).abs().mean()


def photometric_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Eq. 6: squared error of ray colours [R, 3], as a mean over rays and channels."""
    return (predicted - target).square().mean()


def opacity_loss(opacity: Tensor, matte: Tensor) -> Tensor:
    """Mean squared difference of accumulated opacity [R] and matte [R], both in [0, 1]."""
    return (opacity - matte).square().mean()


def torso_loss(rgb: Tensor, opacity: Tensor, target: Tensor, head: Tensor, torso: Tensor) -> Tensor:
    """Squared errors of colour and opacity of the torso layer, weighted by its visibility.

    Where the head covers a fraction h of a pixel, the torso contributes (1 - h) times its opacity. So a torso that
    fills the remaining part of the pixel is opaque. If its fraction of the pixel were used as its opacity, a rim of
    background would show between chin and neck.

    Args:
        rgb: [R, 3], colour of the layer.
        opacity: [R], opacity of the layer.
        target: [R, 3], ground-truth colours of the pixels.
        head: [R], fraction of each pixel that the head covers.
        torso: [R], fraction of each pixel that the torso covers.
    """
    uncovered = 1 - head
    target_opacity = (torso / uncovered.clamp_min(1e-3)).clamp(0, 1)
    colour_error = (torso[:, None] * (rgb - target).square()).mean()
    return colour_error + (uncovered * (opacity - target_opacity).square()).mean()


def hidden_torso_loss(rgb: Tensor, opacity: Tensor, target: Tensor, head: Tensor) -> Tensor:
    """Squared errors of colour and opacity of the torso layer against a target, weighted by how much the head hides.

    Args:
        rgb: [R, 3], colour of the layer.
        opacity: [R], opacity of the layer.
        target: [R, 5], colour and opacity of the torso without the head, and the target's weight.
        head: [R], fraction of each pixel that the head covers.
    """
    colour, wanted, weight = target.split([3, 1, 1], 1)
    colour_error = (wanted * (rgb - colour).square()).mean(1)
    return (weight[:, 0] * head * (colour_error + (opacity - wanted[:, 0]).square())).mean()
