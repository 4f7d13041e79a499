"""Losses of a talking head's pixels, and priors."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from jean.losses import hidden_torso_loss, opacity_loss, photometric_loss, structural_loss, torso_loss
from jean.models.talking_head import Pixels, TalkingHead
from jean.train.nerf.batch import RayBatch
from jean.train.nerf.latents import FrameLatents
from jean.train.nerf.presets import ResolvedNerfConfig

TORSO_WEIGHT = 0.5
# Pictures are compared by L1 and D-SSIM too, as in 3DGS: squared errors alone leave hair and teeth soft.
ABSOLUTE_WEIGHT, STRUCTURE_WEIGHT = 0.05, 0.02
# Priors are added in every fourth step, so their weights are four times as large.
TORSO_ROUGHNESS_WEIGHT = 4e-2
LATENT_WEIGHT = 4e-4
CERTAIN = 0.02  # opacity up to which a pixel counts as background, and up to which it may miss to the person


def pixel_losses(
    pixels: Pixels, batch: RayBatch, config: ResolvedNerfConfig, generator: torch.Generator
) -> dict[str, Tensor]:
    """Losses of a batch's rays by name; training minimises their sum.

    Args:
        pixels: the rendered rays.
        batch: their targets.
        config: weights and background.
        generator: draws the colours behind the head.
    """
    rgb, matte, plate = batch.rgb, batch.matte, batch.plate
    if not config.torso:
        rgb = without_torso(rgb, matte, plate)
        matte = torch.stack([matte[:, 0], torch.zeros_like(matte[:, 1])], -1)
    foreground = matte.sum(-1, keepdim=True).clamp(0, 1)
    if config.background == "random":
        # where the matte is uncertain, nobody knows how much of the plate the pixel holds: it stays over the plate
        uncertain = (foreground > CERTAIN) & (foreground < 1 - CERTAIN)
        behind = torch.where(uncertain, plate, _random_colours(batch, generator))
        # other pixels of the person move onto another background
        target = torch.where(foreground > CERTAIN, rgb + (1 - foreground) * (behind - plate), behind).clamp(0, 1)
    else:
        behind, target = plate, rgb
    visible = pixels
    if config.torso and not config.opacity_weight:
        # nothing else separates head and torso: the flat layer learns faster and would learn the face
        hidden = matte[:, 0] > 0.99
        visible = replace(pixels, torso_opacity=pixels.torso_opacity.masked_fill(hidden, 0.0))
    shown = visible.over(behind)
    losses = {"photo": photometric_loss(shown, target, batch.weight)}
    if batch.crop_px is not None:
        losses |= _picture_losses(shown, target, batch)
    if len(pixels.head) > 1:
        losses["coarse"] = photometric_loss(visible.over(behind, 0), target)
    if config.opacity_weight:
        losses["opacity"] = config.opacity_weight * (
            opacity_loss(pixels.opacity(), foreground[:, 0]) + 0.3 * opacity_loss(pixels.head[-1].opacity, matte[:, 0])
        )
    if not config.torso:
        return losses
    torso = pixels.torso_rgb, pixels.torso_opacity
    losses["torso"] = TORSO_WEIGHT * (
        torso_loss(*torso, rgb, matte[:, 0], matte[:, 1]) + hidden_torso_loss(*torso, batch.torso, matte[:, 0])
    )
    return losses


def without_torso(rgb: Tensor, matte: Tensor, plate: Tensor) -> Tensor:
    """Pixels with the torso replaced by the background, as the images that AD-NeRF trains a head on.

    Args:
        rgb: [R, 3]; matte: opacity of head and torso [R, 2]; plate: the clean background [R, 3].

    Returns:
        [R, 3]. Where no torso shows, the pixel is unchanged; elsewhere the head's share of it lies over the background.
    """
    head, torso = matte.split(1, -1)
    return torch.where(torso > 0.02, head * rgb + (1 - head) * plate, rgb)


def _random_colours(batch: RayBatch, generator: torch.Generator) -> Tensor:
    """Random background colours [R, 3]: one per scattered pixel, one per crop."""
    plate = batch.plate
    if batch.crop_px is None:
        return torch.rand(plate.shape, generator=generator, device=plate.device)
    colours = torch.rand((len(batch.frames), 3), generator=generator, device=plate.device)
    return colours[batch.frame]


def _picture_losses(shown: Tensor, target: Tensor, batch: RayBatch) -> dict[str, Tensor]:
    """L1 and D-SSIM of the crops."""
    assert batch.crop_px is not None and batch.weight is not None
    width, height = batch.crop_px
    pictures = [values.view(-1, height, width, 3) for values in (shown, target)]
    weight = batch.weight.view(-1, height, width)
    window = min(7, (min(width, height) - 1) // 2 * 2 + 1)  # of SSIM, odd
    return {
        "absolute": ABSOLUTE_WEIGHT * (batch.weight[:, None] * (shown - target).abs()).mean(),
        "structure": STRUCTURE_WEIGHT * structural_loss(pictures[0], pictures[1], weight, window),
    }


def priors(model: TalkingHead, latents: FrameLatents, config: ResolvedNerfConfig) -> dict[str, Tensor]:
    """Prior losses by name, for every fourth step."""
    losses = {} if model.torso is None else {"torso_roughness": TORSO_ROUGHNESS_WEIGHT * model.torso.roughness()}
    if config.latent_width:
        losses["latents"] = LATENT_WEIGHT * latents.weight.square().mean()
    return losses | model.head.regularisers()
