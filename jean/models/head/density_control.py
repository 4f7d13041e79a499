"""Adaptive density control of Gaussians (3DGS, section 5; AbsGS): clone, split, prune, reset of opacities.

The number of rows is constant, so checkpoints and optimiser states have constant shapes. Rows beyond ``count`` are not
in use. Control happens at fixed steps and draws from the training's generator, so that a resumed training repeats it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jean.models.head.base import Rearrangement
from jean.models.head.gaussians import Gaussians

EVERY = 100  # steps
FIRST, LAST = 0.04, 0.6  # fractions of the training between which the number of Gaussians changes
RESET_AT = 0.3  # fraction of the training after which opacities are reset once
RESET_STEPS = 20_000  # of trainings with a reset: shorter ones do not recover from it (1 dB after 400 steps)
RESET_OPACITY = 0.1  # logit is limited to that of this opacity
TRANSPARENT = 0.01  # opacity below which a Gaussian is removed
GROWTH = 0.1  # largest fraction of the capacity that one control adds
SPLIT_SCALE_CM = 0.12  # Gaussians whose largest standard deviation is above it are split, others cloned
SPLIT_FACTOR = 1.6  # of 3DGS: the scale of both halves is smaller by it
LARGEST_CM = 1.5  # standard deviation above which a Gaussian is removed


@dataclass(frozen=True)
class Due:
    """What density control does after a step."""

    densify: bool
    reset: bool


def due(step: int, steps: int) -> Due:
    """What is due after step ``step`` (from 0) of ``steps``.

    >>> due(99, 1000), due(299, 1000).reset, due(700, 1000).densify
    (Due(densify=True, reset=False), False, False)
    """
    done = step + 1
    regular = done % EVERY == 0 and FIRST * steps <= done <= LAST * steps
    reset_step = max(1, round(RESET_AT * steps / EVERY)) * EVERY
    return Due(regular, regular and steps >= RESET_STEPS and done == reset_step)


@torch.no_grad()
def densify(gaussians: Gaussians, gradient: Tensor, generator: torch.Generator) -> Rearrangement:
    """Removes Gaussians that show nothing, and adds Gaussians where the picture asks for detail.

    Args:
        gaussians: changed in place.
        gradient: mean absolute screen-space gradient per Gaussian [capacity], over the frames that showed it.
        generator: draws the positions of the halves of split Gaussians.
    """
    count, capacity = int(gaussians.count), len(gaussians.centre)
    opacity = torch.sigmoid(gaussians.opacity[:count])
    largest = torch.exp(gaussians.log_scale[:count]).amax(1)
    keep = ((opacity > TRANSPARENT) & (largest < LARGEST_CM)).nonzero()[:, 0]
    room = min(capacity - len(keep), round(GROWTH * capacity))
    wanted = gradient[keep]
    # the half with larger gradients: with a fixed budget a threshold on the gradient would only fill it sooner or later
    candidates = wanted.argsort(descending=True, stable=True)[: min(room, len(keep) // 2)]
    candidates = candidates[wanted[candidates] > 0]
    parents = keep[candidates]
    source = torch.cat([keep, parents])
    total = len(source)
    fresh = torch.zeros(capacity, dtype=torch.bool, device=source.device)
    fresh[len(keep) : total] = True
    unused = torch.arange(capacity, device=source.device)
    padded = torch.cat([source, unused[total:]])
    for parameter in gaussians.rows:
        parameter.copy_(parameter[padded])
    gaussians.interior.copy_(gaussians.interior[padded])
    gaussians.count.fill_(total)
    _separate(gaussians, candidates, torch.arange(len(keep), total, device=source.device), generator)
    return Rearrangement(gaussians.rows, padded, fresh)


def _separate(gaussians: Gaussians, first: Tensor, second: Tensor, generator: torch.Generator) -> None:
    """Separates pairs of equal Gaussians, rows ``first`` and ``second``: large ones become two halves."""
    scales = torch.exp(gaussians.log_scale[first])
    split = (scales.amax(1) > SPLIT_SCALE_CM)[:, None]
    shift = _rotated(
        gaussians.rotation[first],
        scales * torch.randn(scales.shape, generator=generator, device=generator.device).to(scales),
    )
    shift = torch.where(split, shift, 0.1 * shift)
    gaussians.centre[first] += shift
    gaussians.centre[second] -= shift
    smaller = gaussians.log_scale[first] - split * torch.tensor(SPLIT_FACTOR).log()
    gaussians.log_scale[first] = smaller
    gaussians.log_scale[second] = smaller
    # both together are as opaque as the one before: 1 - (1 - a)² = o
    opacity = torch.sigmoid(gaussians.opacity[first])
    half = (1 - (1 - opacity).clamp_min(1e-4).sqrt()).clamp(1e-4, 1 - 1e-4)
    gaussians.opacity[first] = torch.where(split[:, 0], gaussians.opacity[first], torch.logit(half))
    gaussians.opacity[second] = gaussians.opacity[first]


def _rotated(rotation: Tensor, vectors: Tensor) -> Tensor:
    """Vectors [N, 3] turned by quaternions [N, 4], w first."""
    unit = torch.nn.functional.normalize(rotation, dim=-1)
    w, axis = unit[:, :1], unit[:, 1:]
    cross = torch.linalg.cross(axis, vectors)
    return vectors + 2 * (w * cross + torch.linalg.cross(axis, cross))


@torch.no_grad()
def reset_opacities(gaussians: Gaussians) -> None:
    """Limits opacities, so that Gaussians which no frame needs become transparent and are removed."""
    gaussians.opacity.clamp_(max=float(torch.logit(torch.tensor(RESET_OPACITY))))
