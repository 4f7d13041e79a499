"""What training asks of a talking head's pixels, and the priors of the fast preset."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from jean.losses import opacity_loss, photometric_loss, torso_loss
from jean.models.head.base import FastHead
from jean.models.talking_head import Pixels, TalkingHead
from jean.train.nerf.batch import RayBatch
from jean.train.nerf.config import NerfConfig


def pixel_losses(pixels: Pixels, batch: RayBatch, config: NerfConfig, generator: torch.Generator) -> dict[str, Tensor]:
    """Losses of what a batch's rays show, by name; their sum is learned from.

    Args:
        generator: draws the colours behind the head.
    """
    rgb, matte, plate = batch.rgb, batch.matte, batch.plate
    foreground = matte.sum(-1, keepdim=True).clamp(0, 1)
    if config.background == "random":
        behind = torch.rand(plate.shape, generator=generator, device=plate.device)
        # move the pixel onto another background: its share of the old one is taken out
        target = torch.where(foreground > 0.02, rgb + (1 - foreground) * (behind - plate), behind).clamp(0, 1)
    else:
        behind, target = plate, rgb
    shown = pixels
    if not config.opacity_weight:
        # nothing else tells head and torso apart: the flat layer would learn the face, being quicker
        hidden = matte[:, 0] > 0.99
        shown = replace(pixels, torso_opacity=pixels.torso_opacity.masked_fill(hidden, 0.0))
    losses = {"photo": photometric_loss(shown.over(behind), target)}
    if len(pixels.head) > 1:
        losses["coarse"] = photometric_loss(shown.over(behind, 0), target)
    if config.opacity_weight:
        losses["opacity"] = config.opacity_weight * (
            opacity_loss(pixels.opacity(), foreground[:, 0]) + 0.3 * opacity_loss(pixels.head[-1].opacity, matte[:, 0])
        )
    torso = pixels.torso_rgb, pixels.torso_opacity
    losses["torso"] = config.torso_weight * torso_loss(*torso, rgb, matte[:, 0], matte[:, 1])
    return losses


def priors(model: TalkingHead, codes: nn.Embedding, config: NerfConfig) -> dict[str, Tensor]:
    """Smoothness, taken every fourth step and four times as strong."""
    losses = {"torso_roughness": 4e-2 * model.torso.roughness()}
    if isinstance(model.head, FastHead):
        field = model.head.field
        # a code says what must be said, not more
        losses["codes"] = 4e-4 * codes.weight.square().mean()
        losses["roughness"] = 4 * config.roughness_weight * field.roughness()
        losses["movement"] = 4 * config.movement_weight * field.movement()
    return losses
