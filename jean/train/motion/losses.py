"""Losses of the motion models on a batch of windows, by name and weighted.

A batch holds the arrays of ``jean.train.motion.data.Batch`` as tensors.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from jean.drivers.motion_sampling import PAST, WINDOW
from jean.models.motion_network import MotionNetwork
from jean.train.motion.config import MotionConfig
from jean.train.motion.critics import Critics, spread_loss
from jean.train.motion.prediction import Prediction, TensorBatch, Told, predict

LIPS_WEIGHT, VOICE_WEIGHT = 1.0, 0.05  # of the losses beside those of the motion
SURE_STRENGTH = 0.69  # of an emotion that critics must recognise


def motion_losses(
    model: MotionNetwork, batch: TensorBatch, config: MotionConfig, critics: Critics | None
) -> dict[str, Tensor]:
    """All losses of a model on a batch.

    Args:
        model: a network of either kind.
        batch: tensors by the names of ``Batch``.
        config: of the stage.
        critics: frozen; None without.
    """
    told = Told.of(model, batch, config.label_dropout)
    predicted = predict(model, batch, told)
    change = (predicted.made.diff(dim=1) - batch["vectors"].diff(dim=1)).square() * predicted.weight[:, 1:]
    losses = dict(predicted.errors) | {"change": config.step_weight * change.sum() / predicted.total}
    if critics is not None:
        losses |= _judged(critics, predicted, batch, heard(model, batch), config)
    if config.moment_weight:
        spread = spread_loss(predicted.made, batch["vectors"], predicted.spread)
        losses["moments"] = config.moment_weight * spread
    losses["lips"] = LIPS_WEIGHT * _lips(model.lips(told.features, told.emotion), batch)
    known = batch["label"] >= 0
    if bool(known.any()):
        logits, strength = model.voice(told.features, batch["inside"])
        losses["voice"] = VOICE_WEIGHT * (
            functional.cross_entropy(logits[known], batch["label"][known])
            + (strength - batch["strength"])[known].square().mean()
        )
    return losses


def critic_losses(critics: Critics, batch: TensorBatch, sound: Tensor) -> Tensor:
    """What the critics minimise on true motion.

    Args:
        critics: the critics.
        batch: tensors by the names of ``Batch``.
        sound: from ``heard``.
    """
    new = batch["vectors"][:, PAST:]
    cues, sounds = critics.agreement_losses(new, sound, batch["label"], _complete(batch))
    return critics.emotion_loss(new, batch["label"], _sure(batch)) + cues + sounds


def heard(model: MotionNetwork, batch: TensorBatch) -> Tensor:
    """Standardised sound of the new frames of each window, [B, NEW, F]."""
    context = (batch["sound"].shape[1] - WINDOW) // 2
    new = batch["sound"][:, context + PAST : context + WINDOW]
    return ((new - model.sound_mean) / model.sound_std).clamp(-4, 4)


def _judged(
    critics: Critics, predicted: Prediction, batch: TensorBatch, sound: Tensor, config: MotionConfig
) -> dict[str, Tensor]:
    """What frozen critics say about the predicted new frames and their ``sound``, from ``heard``."""
    new, label = predicted.made[:, PAST:], batch["label"]
    emotion = critics.emotion_loss(new, label, _sure(batch) & predicted.judged)
    cues, sounds = critics.agreement_losses(new, sound, label, _complete(batch) & predicted.judged)
    return {
        "emotion": config.emotion_weight * emotion,
        "cohesion": config.cohesion_weight * cues,
        "sound": config.sound_weight * sounds,
    }


def _sure(batch: TensorBatch) -> Tensor:
    """Windows whose emotion is clear, bool [B]."""
    clear = (batch["label"] == 0) | (batch["strength"] > SURE_STRENGTH)
    return clear & (batch["label"] >= 0) & _complete(batch)


def _complete(batch: TensorBatch) -> Tensor:
    """Windows whose new frames all lie in the clip and show the face, bool [B]."""
    return batch["inside"][:, PAST:].min(1).values > 0


def _lips(lips: Tensor, batch: TensorBatch) -> Tensor:
    """Squared error of lip components [B, L, 8], and of their change."""
    error, inside = lips - batch["lips"], batch["inside"][..., None]
    total = inside.sum().clamp_min(1.0) * error.shape[-1]
    change = error.diff(dim=1).square() * inside[:, 1:]
    return ((inside * error.square()).sum() + 2 * change.sum()) / total
