"""What a motion model predicts for a batch of windows while it learns: one function per kind of network.

A batch holds the arrays of ``jean.train.motion.data.Batch`` as tensors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from jean.drivers.motion_sampling import PAST
from jean.drivers.motion_vector import CUES, WIDTH
from jean.models.motion_flow import MotionFlow
from jean.models.motion_network import MotionNetwork
from jean.models.motion_recurrent import MotionRecurrent, gaze_centres, gaze_class

SURE_TIME = 0.3  # of the flow, from which the critics look at the predicted motion
SPREAD_TIME = 0.6  # of the flow, from which its spread is compared
_PAST_GIVEN = 0.85  # probability that a window's past is known
_CUES_GIVEN, _CUE_GIVEN = 0.5, 0.4  # probability that cues are given at all, and that each of them is
_PAST_NOISE = 0.05  # on the known past, as generated motion has errors, too
_BEFORE_NOISE = 0.3  # on the frame before, which an auto-regressive model would otherwise only copy
_GAZE = slice(CUES["eyes"].start, CUES["eyes"].start + 2)

TensorBatch = dict[str, Tensor]


@dataclass(frozen=True)
class Told:
    """What the network knows about the B windows of a batch.

    Attributes:
        features: of the sound [B, L, H].
        emotion: [B, L, E + 1], see ``MotionNetwork``.
        named: whether the emotion is told, bool [B].
    """

    features: Tensor
    emotion: Tensor
    named: Tensor

    @classmethod
    def of(cls, model: MotionNetwork, batch: TensorBatch, dropout: float) -> Told:
        """Features and emotion, which a fraction ``dropout`` of the windows hides."""
        hidden = torch.rand(len(batch["vectors"]), 1, 1) < dropout
        unknown = torch.zeros_like(batch["emotion"])
        unknown[..., -1] = 1.0
        hidden = hidden.to(unknown.device)
        emotion = torch.where(hidden, unknown, batch["emotion"])
        return cls(model.sound_features(batch["sound"]), emotion, ~hidden[:, 0, 0])


@dataclass(frozen=True)
class Prediction:
    """Predicted motion of B windows of L frames.

    Attributes:
        errors: the network's own errors by name.
        made: the motion [B, L, D].
        weight: of each value in the error of its change, [B, L, D]; total: what this error is divided by.
        judged: windows that critics look at, bool [B].
        spread: frames whose spread is compared, [B, L, 1].
    """

    errors: dict[str, Tensor]
    made: Tensor
    weight: Tensor
    total: Tensor
    judged: Tensor
    spread: Tensor


def predict(model: MotionNetwork, batch: TensorBatch, told: Told) -> Prediction:
    """The prediction of a network of either kind."""
    if isinstance(model, MotionFlow):
        return _flow(model, batch, told)
    assert isinstance(model, MotionRecurrent)
    return _recurrent(model, batch, told)


def _flow(model: MotionFlow, batch: TensorBatch, told: Told) -> Prediction:
    """The velocity at a random time of the flow, and the motion that it leads to."""
    vectors = batch["vectors"]
    size, device = len(vectors), vectors.device
    given, mask = _given(batch)
    time = torch.rand(size).to(device)
    noise = torch.randn(vectors.shape).to(device)
    t = time[:, None, None]
    mixed = (1 - t) * noise + t * vectors
    velocity = model.velocity(mixed, time, given, mask, model.condition(told.features, told.emotion))
    weight = batch["inside"][..., None] * (1 - mask)
    total = weight.sum().clamp_min(1.0)
    error = (weight * (velocity - (vectors - noise)).square()).sum() / total
    made = torch.where(mask > 0, vectors, mixed + (1 - t) * velocity)  # the motion that x_t leads to
    spread = (weight * (time > SPREAD_TIME)[:, None, None]).amax(2, keepdim=True)
    return Prediction({"flow": error}, made, t.square() * weight, total, (time > SURE_TIME) & told.named, spread)


def _recurrent(model: MotionRecurrent, batch: TensorBatch, told: Told) -> Prediction:
    """Each frame after the true one before it: L1 of the values, cross-entropy of the gaze's class."""
    vectors, inside = batch["vectors"], batch["inside"]
    centres = gaze_centres().to(vectors)
    classes = gaze_class(vectors[..., _GAZE])
    before = vectors + _BEFORE_NOISE * torch.randn(vectors.shape).to(vectors.device)
    before[..., _GAZE] = centres[classes]
    before = functional.pad(before[:, :-1], (0, 0, 1, 0))
    values, logits, _ = model.step(before, told.features, told.emotion)
    made = values.clone()
    made[..., _GAZE] = torch.softmax(logits, -1) @ centres  # their mean, so that critics have gradients
    others = torch.ones(WIDTH, device=vectors.device)
    others[_GAZE] = 0.0
    weight, total = inside[..., None] * others, inside.sum().clamp_min(1.0)
    gaze = functional.cross_entropy(logits.transpose(1, 2), classes, reduction="none")
    errors = {"values": (weight * (values - vectors).abs()).sum() / total, "gaze": (inside * gaze).sum() / total}
    return Prediction(errors, made, weight, total, told.named, inside[..., None])


def _given(batch: TensorBatch) -> tuple[Tensor, Tensor]:
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
