"""Training losses: the paper's equations, and the additional terms of the fast preset."""

from __future__ import annotations

from typing import Any

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


def photometric_loss(predicted: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Eq. 6: squared error of ray colours [R, 3], as a mean over rays and channels.

    Args:
        predicted: [R, 3].
        target: [R, 3].
        weight: of each ray [R], or None.
    """
    squared = (predicted - target).square()
    return squared.mean() if weight is None else (weight[:, None] * squared).mean()


def structural_loss(predicted: Tensor, target: Tensor, weight: Tensor | None = None, window: int = 7) -> Tensor:
    """D-SSIM of luminance: (1 - SSIM) / 2, as a mean over pixels; SSIM with a uniform window, where it fits.

    Args:
        predicted: pictures [F, H, W, 3] in [0, 1].
        target: likewise.
        weight: of each pixel [F, H, W], or None.
        window: side of the window, odd, px.

    Example:
        >>> picture = torch.rand(1, 16, 16, 3, generator=torch.Generator().manual_seed(0))
        >>> structural_loss(picture, picture).item()
        0.0
    """
    luma = predicted.new_tensor([0.299, 0.587, 0.114])  # of Rec. 601
    x, y = predicted @ luma, target @ luma
    moments = torch.stack([x, y, x * x, y * y, x * y], 1)
    mean_x, mean_y, xx, yy, xy = _BoxMean.apply(moments, window).unbind(1)
    c1, c2 = 0.01**2, 0.03**2  # of Wang et al. 2004 for a range of 1
    product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    covariance, variances = xy - product, xx + yy - squares
    loss = (1 - (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))) / 2
    if weight is None:
        return loss.mean()
    edge = window // 2
    return (weight[:, edge : weight.shape[1] - edge, edge : weight.shape[2] - edge] * loss).mean()


class _BoxMean(torch.autograd.Function):
    """Means of squares of ``window`` by ``window`` pixels [..., H - window + 1, W - window + 1], for odd windows.

    torch's average pooling takes ten times as long on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, pictures: Tensor, window: int) -> Tensor:
        ctx.window = window
        return _box_sum(_box_sum(pictures, window, -2), window, -1) / window**2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        edge = ctx.window - 1
        padded = torch.nn.functional.pad(gradients[0], (edge, edge, edge, edge))
        return _BoxMean.forward(ctx, padded, ctx.window), None


def _box_sum(values: Tensor, window: int, axis: int) -> Tensor:
    """Sums of ``window`` neighbours along an axis."""
    length = values.shape[axis] - window + 1
    total = values.narrow(axis, 0, length).clone()
    for shift in range(1, window):
        total += values.narrow(axis, shift, length)
    return total


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
