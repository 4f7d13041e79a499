"""Rasterisation of 3D Gaussians in readable torch: projection, depth order, front-to-back compositing.

Compiled kernels must agree with these functions in values and gradients. The equations stand in docs/kernels.md
("Gaussians"). A Gaussian reaches exactly the pixels where its alpha is at least ``MIN_ALPHA``, so the result does not
depend on tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

LOW_PASS = 0.3  # px², added to the variance of a projected Gaussian along both axes (EWA splatting)
MAX_SLOPE = (
    2.0  # |x / z| and |y / z| at which the projection is linearised; beyond, footprints would grow without bound
)
MAX_ALPHA = 0.99  # so that what lies behind keeps a gradient
MIN_ALPHA = 1.0 / 255.0  # smaller alphas change no 8-bit image and are left out
MIN_TRANSMITTANCE = 1e-4  # transmittance at which a pixel takes no further Gaussians
MIN_COMPENSATION = 0.005  # of opacities, where the low-pass filter covers almost the whole footprint
NEAR_CM = 1.0
TILE = 16  # side of a tile, px


class SeenGaussians(NamedTuple):
    """Gaussians and the camera that sees them.

    Attributes:
        centres: [N, 3], head space, cm.
        scales: [N, 3], standard deviations along the own axes, cm, positive.
        rotations: [N, 4], quaternions (w, x, y, z) of any length but 0.
        opacities: [N] in [0, 1].
        colours: [N, C].
        world_to_camera: [3, 4], OpenCV axes, cm.
        intrinsics: [3], focal length, then the principal point (x, y), px of the picture.
    """

    centres: Tensor
    scales: Tensor
    rotations: Tensor
    opacities: Tensor
    colours: Tensor
    world_to_camera: Tensor
    intrinsics: Tensor


@dataclass(frozen=True)
class Splat:
    """Rasterised Gaussians, without background.

    Attributes:
        colour: [H, W, C], premultiplied by opacity.
        opacity: [H, W] in [0, 1].
        depth: [H, W], Σ weight · z, cm, premultiplied by opacity.
        radii: [N], half the larger side of a Gaussian's bounding box, px; 0: not drawn, or off the window. Without
            gradient.
    """

    colour: Tensor
    opacity: Tensor
    depth: Tensor
    radii: Tensor


@dataclass(frozen=True)
class Footprints:
    """Projected Gaussians.

    Attributes:
        means: [N, 2] centres (x, y), px of the picture.
        conics: [N, 3], entries (0, 0), (0, 1) and (1, 1) of the inverse covariances, 1 / px².
        opacities: [N].
        depths: [N], z in camera space, cm.
        extents: [N, 2], half the sides of the box that holds all alphas of at least ``MIN_ALPHA``, px.
        visible: [N] bool.
    """

    means: Tensor
    conics: Tensor
    opacities: Tensor
    depths: Tensor
    extents: Tensor
    visible: Tensor


def splat(
    seen: SeenGaussians,
    window: tuple[int, int, int, int],
    *,
    screen: Tensor | None = None,
    near_cm: float = NEAR_CM,
    compensate: bool = False,
) -> Splat:
    """Rasterises Gaussians into a window of a picture.

    A Gaussian with a value that is not finite, or behind the near plane, is not drawn, and its gradients are zero.

    Args:
        seen: the Gaussians and the camera.
        window: (x0, y0, width, height), whole pixels; it may lie outside the picture.
        screen: [N, 2] or None. Its gradient receives Σ |∂L/∂mean| over pixels, per axis (AbsGS, section 3.2), for
            density control. Its values are not read.
        near_cm: smallest depth of a Gaussian's centre, positive.
        compensate: whether opacities fall by what the low-pass filter adds to the area (Mip-Splatting, Eq. 9).

    Raises:
        ValueError: shapes that do not fit, or a negative window.
    """
    check_shapes(seen, window, screen)
    colours = seen.colours
    footprints = project(*seen[:4], *seen[5:], near_cm=near_cm, compensate=compensate)
    finite = footprints.visible & colours.detach().isfinite().all(1)
    radii = torch.where(finite & _overlaps(footprints, window), footprints.extents.amax(1), 0.0).detach()
    chosen = radii.nonzero()[:, 0]
    order = chosen[footprints.depths.detach()[chosen].argsort(stable=True)]
    x0, y0, width, height = window
    planes = []
    for top in range(0, height, TILE):
        row = [
            _tile(footprints, colours, screen, order, (x0 + left, y0 + top, min(TILE, width - left), rows))
            for left in range(0, width, TILE)
            for rows in [min(TILE, height - top)]
        ]
        if row:
            planes.append(torch.cat(row, 1))
    channels = colours.shape[1]
    picture = torch.cat(planes) if planes else seen.centres.new_zeros(height, width, channels + 2)
    # without a visible Gaussian nothing above depends on the inputs: gradients are zero, not missing
    for tensor in seen:
        picture = picture + 0.0 * tensor[:0].sum()
    return Splat(picture[..., :channels], picture[..., channels], picture[..., channels + 1], radii)


def project(
    centres: Tensor,
    scales: Tensor,
    rotations: Tensor,
    opacities: Tensor,
    world_to_camera: Tensor,
    intrinsics: Tensor,
    *,
    near_cm: float = NEAR_CM,
    compensate: bool = False,
) -> Footprints:
    """Projects Gaussians by the affine approximation at their centres (EWA splatting, Zwicker et al. 2001).

    Arguments are those of ``splat``. Gaussians that are not visible get finite values and no gradients.
    """
    inputs = [centres, scales, rotations, opacities]
    with torch.no_grad():
        shape = _footprints(inputs, world_to_camera, intrinsics, compensate)
        values = torch.cat([*inputs[:3], shape.means, shape.conics, shape.extents], 1)
        visible = values.isfinite().all(1) & (shape.depths > near_cm) & (rotations.square().sum(1) > 0)
        visible = visible & (opacities >= MIN_ALPHA) & (shape.opacities >= MIN_ALPHA) & shape.opacities.isfinite()
        visible = visible & world_to_camera.isfinite().all() & intrinsics.isfinite().all()
        turn, shift = world_to_camera[:, :3], world_to_camera[:, 3]
        usual = (turn[2] * (near_cm + 1) - shift @ turn, 1.0, 1.0, 1.0)
    if not visible.all():  # a Gaussian that can be drawn takes the places of others, so that no NaN enters a gradient
        columns = [visible.view(-1, *[1] * (given.dim() - 1)) for given in inputs]
        inputs = [torch.where(*three) for three in zip(columns, inputs, usual, strict=True)]  # type: ignore[call-overload]
    return replace(_footprints(inputs, world_to_camera, intrinsics, compensate), visible=visible)


def _footprints(
    gaussians: Sequence[Tensor], world_to_camera: Tensor, intrinsics: Tensor, compensate: bool
) -> Footprints:
    """``project`` without a decision what is visible."""
    centres, scales, rotations, opacities = gaussians
    turn, shift = world_to_camera[:, :3], world_to_camera[:, 3]
    x, y, z = (centres @ turn.T + shift).unbind(1)
    focal, centre_x, centre_y = intrinsics
    means = torch.stack([focal * x / z + centre_x, focal * y / z + centre_y], 1)
    axes = turn @ rotation_matrices(rotations) * scales[:, None, :]
    slopes = [(value / z).clamp(-MAX_SLOPE, MAX_SLOPE) for value in (x, y)]
    rows = [(focal / z)[:, None] * (axes[:, i] - slope[:, None] * axes[:, 2]) for i, slope in enumerate(slopes)]
    raw = torch.linalg.cross(rows[0], rows[1]).square().sum(1)  # determinant of the covariance
    var_x, var_y, mixed = (rows[0] ** 2).sum(1), (rows[1] ** 2).sum(1), (rows[0] * rows[1]).sum(1)
    det = raw + LOW_PASS * (var_x + var_y) + LOW_PASS**2
    var_x, var_y = var_x + LOW_PASS, var_y + LOW_PASS
    conics = torch.stack([var_y / det, -mixed / det, var_x / det], 1)
    if compensate:
        opacities = opacities * (raw / det).clamp_min(MIN_COMPENSATION**2).sqrt()
    with torch.no_grad():
        reach = (2 * (opacities / MIN_ALPHA).log()).clamp_min(0)
        extents = (reach[:, None] * torch.stack([var_x, var_y], 1)).sqrt()
    return Footprints(means, conics, opacities, z, extents, torch.ones_like(z, dtype=torch.bool))


def rotation_matrices(quaternions: Tensor) -> Tensor:
    """Rotation matrices [N, 3, 3] of quaternions [N, 4] (w, x, y, z) of any length but 0."""
    w, x, y, z = (quaternions / quaternions.norm(dim=1, keepdim=True)).unbind(1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def check_shapes(seen: SeenGaussians, window: tuple[int, int, int, int], screen: Tensor | None) -> None:
    """Raises ValueError where the arguments of ``splat`` do not fit together."""
    count = len(seen.centres)
    wanted = ((count, 3), (count, 3), (count, 4), (count,), (count, seen.colours.shape[-1]), (3, 4), (3,), (count, 2))
    for name, tensor, shape in zip((*seen._fields, "screen"), (*seen, screen), wanted, strict=True):
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(f"{name} must be {list(shape)}, not {list(tensor.shape)}")
    if len(window) != 4 or window[2] < 0 or window[3] < 0:
        raise ValueError(f"a window is (x0, y0, width, height), not {tuple(window)}")


def _overlaps(footprints: Footprints, window: tuple[int, int, int, int]) -> Tensor:
    """[N] bool: whether the bounding box meets the rectangle between the window's outermost pixel centres."""
    first = footprints.means.new_tensor(window[:2]) + 0.5
    last = first + footprints.means.new_tensor(window[2:]) - 1
    means, extents = footprints.means, footprints.extents
    return ((means + extents >= first) & (means - extents <= last)).all(1) & (extents > 0).all(1)


def _tile(
    footprints: Footprints, colours: Tensor, screen: Tensor | None, order: Tensor, window: tuple[int, int, int, int]
) -> Tensor:
    """Colour, opacity and depth [h, w, C + 2] of a small window from the Gaussians ``order``, the nearest first."""
    x0, y0, width, height = window
    chosen = order[_overlaps(footprints, window)[order]]
    means, conics = footprints.means[chosen], footprints.conics[chosen]
    x = torch.arange(width, device=means.device) + (x0 + 0.5)
    y = torch.arange(height, device=means.device) + (y0 + 0.5)
    pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).view(-1, 2).to(means.dtype)
    offsets = pixels - _PerPixel.apply(means, None if screen is None else screen[chosen], len(pixels))
    dx, dy = offsets.unbind(2)
    a, b, c = (conic[:, None] for conic in conics.unbind(1))
    power = -0.5 * (a * dx * dx + 2 * b * dx * dy + c * dy * dy)
    alpha = (footprints.opacities[chosen][:, None] * power.exp()).clamp_max(MAX_ALPHA)
    alpha = torch.where(alpha >= MIN_ALPHA, alpha, 0.0)
    clear = torch.cumprod(1 - alpha, 0)
    before = torch.cat([torch.ones_like(clear[:1]), clear[:-1]]) if len(clear) else clear
    weights = torch.where(before >= MIN_TRANSMITTANCE, alpha * before, 0.0)
    shown = torch.cat([colours[chosen], torch.ones_like(means[:, :1]), footprints.depths[chosen][:, None]], 1)
    return (weights.T @ shown).view(height, width, -1)


class _PerPixel(torch.autograd.Function):
    """Copies means [N, 2] for P pixels, [N, P, 2]; the gradient of ``screen`` is the sum of absolute values."""

    @staticmethod
    def forward(ctx, means: Tensor, screen: Tensor | None, pixels: int) -> Tensor:
        ctx.has_screen = screen is not None
        return means[:, None].expand(-1, pixels, -1).clone()

    @staticmethod
    def backward(ctx, slopes: Tensor):
        return slopes.sum(1), slopes.abs().sum(1) if ctx.has_screen else None, None
