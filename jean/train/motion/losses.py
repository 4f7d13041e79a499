"""Losses of the motion models on a batch of windows: what both kinds share, and one function per kind.

A batch holds the arrays of ``jean.train.motion.data.Batch`` as tensors. Every function returns weighted losses by name.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from jean.drivers.motion_sampling import PAST, WINDOW
from jean.drivers.motion_vector import CUES, WIDTH
from jean.models.motion_flow import MotionFlow
from jean.models.motion_network import MotionNetwork
from jean.models.motion_recurrent import MotionRecurrent, gaze_centres, gaze_class
from jean.train.motion.config import MotionConfig
from jean.train.motion.critics import Critics, spread_loss

LIPS_WEIGHT, VOICE_WEIGHT = 1.0, 0.05  # of the shared losses beside those of the motion
SURE_TIME = 0.3  # of the flow, from which the critics look at the predicted motion
SURE_STRENGTH = 0.69  # of an emotion that critics must recognise
_PAST_GIVEN = 0.85  # probability that a window's past is known
_CUES_GIVEN, _CUE_GIVEN = 0.5, 0.4  # probability that cues are given at all, and that each of them is
_PAST_NOISE = 0.05  # on the known past, as generated motion has errors, too
_BEFORE_NOISE = 0.3  # on the frame before, which an auto-regressive model would otherwise only copy
_GAZE = slice(CUES["eyes"].start, CUES["eyes"].start + 2)

Losses = dict[str, Tensor]


def motion_losses(
    model: MotionNetwork, batch: dict[str, Tensor], config: MotionConfig, critics: Critics | None
) -> Losses:
    """All losses of a model on a batch.

    Args:
        model: a network of either kind.
        batch: tensors by the names of ``Batch``.
        config: of the stage.
        critics: frozen; None without.
    """
    hidden = torch.rand(len(batch["vectors"]), 1, 1) < config.label_dropout
    unknown = torch.zeros_like(batch["emotion"])
    unknown[..., -1] = 1.0
    hidden = hidden.to(unknown.device)
    emotion = torch.where(hidden, unknown, batch["emotion"])
    features = model.sound_features(batch["sound"])
    named = ~hidden[:, 0, 0]
    if isinstance(model, MotionFlow):
        losses = _flow(model, batch, features, emotion, named, config, critics)
    else:
        assert isinstance(model, MotionRecurrent)
        losses = _recurrent(model, batch, features, emotion, named, config, critics)
    losses["lips"] = LIPS_WEIGHT * _lips(model, batch, features, emotion)
    known = batch["label"] >= 0
    if bool(known.any()):
        logits, strength = model.voice(features, batch["inside"])
        losses["voice"] = VOICE_WEIGHT * (
            functional.cross_entropy(logits[known], batch["label"][known])
            + (strength - batch["strength"])[known].square().mean()
        )
    return losses


def critic_losses(critics: Critics, batch: dict[str, Tensor], sound: Tensor) -> Tensor:
    """What the critics minimise on true motion.

    Args:
        critics: the critics.
        batch: tensors by the names of ``Batch``.
        sound: from ``heard``.
    """
    new = batch["vectors"][:, PAST:]
    cues, sounds = critics.agreement_losses(new, sound, batch["label"], _complete(batch))
    return critics.emotion_loss(new, batch["label"], _sure(batch)) + cues + sounds


def heard(model: MotionNetwork, batch: dict[str, Tensor]) -> Tensor:
    """Standardised sound of the new frames of each window, [B, NEW, F]."""
    context = (batch["sound"].shape[1] - WINDOW) // 2
    new = batch["sound"][:, context + PAST : context + WINDOW]
    return ((new - model.sound_mean) / model.sound_std).clamp(-4, 4)


def _flow(
    model: MotionFlow,
    batch: dict[str, Tensor],
    features: Tensor,
    emotion: Tensor,
    named: Tensor,
    config: MotionConfig,
    critics: Critics | None,
) -> Losses:
    """The velocity at a random time of the flow, and the motion that it leads to; ``named``: emotion is told, [B]."""
    vectors = batch["vectors"]
    size, device = len(vectors), vectors.device
    given, mask = _given(batch)
    time = torch.rand(size).to(device)
    noise = torch.randn(vectors.shape).to(device)
    t = time[:, None, None]
    mixed = (1 - t) * noise + t * vectors
    velocity = model.velocity(mixed, time, given, mask, features, emotion)
    weight = batch["inside"][..., None] * (1 - mask)
    total = weight.sum().clamp_min(1.0)
    losses = {"flow": (weight * (velocity - (vectors - noise)).square()).sum() / total}
    made = torch.where(mask > 0, vectors, mixed + (1 - t) * velocity)  # the motion that x_t leads to
    change = (made.diff(dim=1) - vectors.diff(dim=1)).square() * weight[:, 1:]
    losses["change"] = config.step_weight * (t.square() * change).sum() / total
    losses |= _critics(model, made[:, PAST:], (time > SURE_TIME) & named, batch, config, critics)
    if config.moment_weight:
        spread = weight * (time > 0.6)[:, None, None]
        losses["moments"] = config.moment_weight * spread_loss(made, vectors, spread.amax(2, keepdim=True))
    return losses


def _recurrent(
    model: MotionRecurrent,
    batch: dict[str, Tensor],
    features: Tensor,
    emotion: Tensor,
    named: Tensor,
    config: MotionConfig,
    critics: Critics | None,
) -> Losses:
    """Each frame after the true one before it: L1 of the values, cross-entropy of the gaze's class."""
    vectors, inside = batch["vectors"], batch["inside"]
    centres = gaze_centres().to(vectors)
    classes = gaze_class(vectors[..., _GAZE])
    before = vectors + _BEFORE_NOISE * torch.randn(vectors.shape).to(vectors.device)
    before[..., _GAZE] = centres[classes]
    before = functional.pad(before[:, :-1], (0, 0, 1, 0))
    values, logits, _ = model.step(before, features, emotion)
    made = values.clone()
    made[..., _GAZE] = torch.softmax(logits, -1) @ centres  # their mean, so that critics have gradients
    others = torch.ones(WIDTH, device=vectors.device)
    others[_GAZE] = 0.0
    weight, total = inside[..., None] * others, inside.sum().clamp_min(1.0)
    losses = {
        "values": (weight * (values - vectors).abs()).sum() / total,
        "gaze": (inside * functional.cross_entropy(logits.transpose(1, 2), classes, reduction="none")).sum() / total,
    }
    change = (values.diff(dim=1) - vectors.diff(dim=1)).square() * weight[:, 1:]
    losses["change"] = config.step_weight * change.sum() / total
    losses |= _critics(model, made[:, PAST:], named, batch, config, critics)
    if config.moment_weight:
        losses["moments"] = config.moment_weight * spread_loss(made, vectors, inside[..., None])
    return losses


def _critics(
    model: MotionNetwork,
    new: Tensor,
    counts: Tensor,
    batch: dict[str, Tensor],
    config: MotionConfig,
    critics: Critics | None,
) -> Losses:
    """What frozen critics say about generated new frames [B, NEW, D] of the windows that count, [B]."""
    if critics is None:
        return {}
    emotion = critics.emotion_loss(new, batch["label"], _sure(batch) & counts)
    cues, sounds = critics.agreement_losses(new, heard(model, batch), batch["label"], _complete(batch) & counts)
    return {
        "emotion": config.emotion_weight * emotion,
        "cohesion": config.cohesion_weight * cues,
        "sound": config.sound_weight * sounds,
    }


def _sure(batch: dict[str, Tensor]) -> Tensor:
    """Windows whose emotion is clear, bool [B]."""
    clear = (batch["label"] == 0) | (batch["strength"] > SURE_STRENGTH)
    return clear & (batch["label"] >= 0) & _complete(batch)


def _complete(batch: dict[str, Tensor]) -> Tensor:
    """Windows whose new frames all lie in the clip and show the face, bool [B]."""
    return batch["inside"][:, PAST:].min(1).values > 0


def _given(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Known values and their mask [B, L, D]: often the past, sometimes whole cues."""
    vectors = batch["vectors"]
    size, device = len(vectors), vectors.device
    mask = torch.zeros_like(vectors)
    past = (torch.rand(size) < _PAST_GIVEN).to(device) & batch["begins"].bool()
    mask[:, :PAST] = past[:, None, None].float() * batch["inside"][:, :PAST, None]
    some = torch.rand(size) < _CUES_GIVEN
    for cue in CUES.values():
        chosen = (some & (torch.rand(size) < _CUE_GIVEN)).to(device)
        mask[..., cue] = torch.where(chosen[:, None, None], batch["inside"][..., None], mask[..., cue])
    given = vectors.clone()
    given[:, :PAST] += _PAST_NOISE * torch.randn(given[:, :PAST].shape).to(device)
    return given * mask, mask


def _lips(model: MotionNetwork, batch: dict[str, Tensor], features: Tensor, emotion: Tensor) -> Tensor:
    error = model.lips(features, emotion) - batch["lips"]
    inside = batch["inside"][..., None]
    total = inside.sum().clamp_min(1.0) * error.shape[-1]
    change = error.diff(dim=1).square() * inside[:, 1:]
    return ((inside * error.square()).sum() + 2 * change.sum()) / total
