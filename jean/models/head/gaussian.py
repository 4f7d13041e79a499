"""The Gaussian head: 3D Gaussians that landmarks and the condition move, drawn as whole pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from jean.kernels.backend import Backend
from jean.kernels.dispatch import splat
from jean.kernels.reference import Composite
from jean.kernels.reference_splat import SeenGaussians
from jean.models.head.base import CameraPixels, HeadArguments, ParameterGroup, PosedGaussians, Rearrangement
from jean.models.head.deforming import EYES_AND_BROWS, EYES_MARGIN_CM, MOUTH, MOUTH_MARGIN_CM, DeformingHead
from jean.models.head.density_control import densify, due, reset_opacities
from jean.models.head.gaussian_start import HeadSurface, hull_surface, start
from jean.models.head.gaussians import Gaussians, Region
from jean.models.head.planes import VersionedCache
from jean.models.head.prior import HEAD_CENTRE

BUDGET = 20_000  # Gaussians at 256 px
BUDGET_GROWTH = math.log2(3)  # 60,000 at 512 px: detail grows more slowly than the number of pixels
DARKEST = 0.02  # colour to begin with, and 1 - the brightest: logits must not saturate
START_FRACTION = 0.6  # of the budget; density control places the rest
# learning rates at the first step; Adam's eps is small because gradients per Gaussian are
CENTRE_RATE, SCALE_RATE, ROTATION_RATE, OPACITY_RATE, COLOUR_RATE, FEATURE_RATE = 2e-3, 2e-2, 1e-2, 3e-2, 6e-2, 2e-2
LIGHT_RATE = 5e-3
EPS = 1e-15
LAYOUT_STEPS = 8  # after which the layout follows the moving centres
# prior losses, for every fourth step
DEPTH_WEIGHT = 4e-3  # of Gaussians on the face off its measured surface
DEPTH_SLACK_CM = 0.4  # which the surface's own error explains
EYE_DEPTH_WEIGHT = (
    0.1  # likewise in the eyes, whose wrong depth would pass for a gaze that follows the turns of the head
)
EYE_SLACK_CM = 0.1
DOME_SLACK_CM = 1.2  # likewise beside the face, where hair is no ellipse
CHANGE_WEIGHT = 4e-3  # of offsets by the condition
NEEDLE_WEIGHT = 4e-2  # of Gaussians that are long in depth: a frontal video does not show it, a turned head does
NEEDLE_CM = 0.35  # standard deviation in depth up to which nothing is penalised


@dataclass(frozen=True)
class PixelWindow:
    """The rectangle that holds some pixels of a frame.

    Attributes:
        left, top: of the rectangle, px.
        width, height: likewise.
        rows: int [R], the pixels' places in the rectangle, row by row; None for all of it in this order.
    """

    left: int
    top: int
    width: int
    height: int
    rows: Tensor | None

    @classmethod
    def of(cls, pixels: Tensor) -> PixelWindow:
        """The rectangle of pixel centres [R, 2]."""
        cells = pixels.floor().long()
        (left, top), (right, bottom) = cells.amin(0).tolist(), cells.amax(0).tolist()
        width, height = right - left + 1, bottom - top + 1
        rows = (cells[:, 1] - top) * width + cells[:, 0] - left
        whole = len(rows) == width * height and bool((rows == torch.arange(len(rows), device=rows.device)).all())
        return cls(left, top, width, height, None if whole else rows)

    def lengthening(self, pixels: Tensor, center_px: Tensor, focal_px: Tensor) -> Tensor:
        """Length [R] along the rays of pixel centres [R, 2] per unit of depth."""
        if self.rows is not None:
            slopes = (pixels - center_px) / focal_px
            return (1 + slopes.square().sum(-1)).sqrt()
        across = (torch.arange(self.width, device=pixels.device) + (self.left + 0.5) - center_px[0]) / focal_px
        down = (torch.arange(self.height, device=pixels.device) + (self.top + 0.5) - center_px[1]) / focal_px
        return (1 + across.square() + down.square()[:, None]).sqrt().view(-1)


class GaussianHead(DeformingHead):
    """3D Gaussians in canonical head space.

    Args:
        arguments: what every head is built from.
    """

    operations = ("splat",)
    trained_by = rendered_by = "splat"
    draws_pictures = True
    shape: Tensor
    gradient_sum: Tensor
    seen: Tensor

    def __init__(self, arguments: HeadArguments):
        super().__init__(arguments)
        widths, self.box = arguments.widths, arguments.box
        self.register_buffer("shape", torch.tensor(arguments.shape), persistent=False)
        self.surface: HeadSurface | None = None  # set by ``prepare_training``
        capacity = max(64, round(BUDGET * (arguments.size_px / 256) ** BUDGET_GROWTH))
        shape = torch.tensor(arguments.shape)
        eyes = _around(shape[list(EYES_AND_BROWS)], EYES_MARGIN_CM, skip=widths[0])
        mouth = _around(shape[list(MOUTH)], MOUTH_MARGIN_CM, hidden=arguments.eye_columns)
        self.gaussians = Gaussians(capacity, arguments.condition_width, 3, widths[2], self.box, [eyes, mouth])
        self.register_buffer("gradient_sum", torch.zeros(capacity))
        self.register_buffer("seen", torch.zeros(capacity))
        self._window = VersionedCache()
        self._screens: list[Tensor] = []  # of the step's pictures; their gradients are the screen-space gradients

    def use(self, backend: Backend) -> None:  # noqa: D102
        self.backend = backend

    def prepare_training(
        self,
        device: torch.device,
        visual_hull: Callable[[Tensor], Tensor],
        seen_colours: Callable[[Tensor], Tensor],
    ) -> None:
        """Begins on the person's face and on a rounded head inside the visual hull."""
        generator = torch.Generator().manual_seed(torch.initial_seed() % 2**63)
        gaussians, capacity = self.gaussians, len(self.gaussians.centre)
        surface, behind = hull_surface(self.shape.cpu(), self.box, visual_hull)
        began = start(round(START_FRACTION * capacity), self.shape.cpu(), surface, behind, generator)
        self.surface = surface.to(device)
        count = min(len(began.centres), capacity)
        with torch.no_grad():
            gaussians.centre[:count] = began.centres[:count].to(device)
            gaussians.log_scale[:count] = torch.log(0.6 * began.spacing[:count]).to(device)
            gaussians.opacity[:count] = torch.logit(torch.tensor(0.5))
            gaussians.interior[:count] = began.interior[:count].float().to(device)
            seen = torch.logit(seen_colours(began.centres[:count]), DARKEST)
            gaussians.colour[:count] = torch.where(began.interior[:count, None], -1.5, seen).to(device)
            gaussians.count.fill_(count)
        gaussians.hold_layout()

    def draw(self, camera: CameraPixels, condition, view, generator, deformation=None):  # noqa: D102
        learning = generator is not None and torch.is_grad_enabled()
        channels: list[Tensor] = []
        opacity: list[Tensor] = []
        depth: list[Tensor] = []
        order: list[Tensor] = []
        for index in range(len(condition)):
            own = (camera.frame == index).nonzero()[:, 0] if len(condition) > 1 else None
            pixels = camera.pixels if own is None else camera.pixels[own]
            if not len(pixels):
                continue
            picture = self._picture(camera, index, pixels, condition, view, deformation, learning)
            for values, part in zip((channels, opacity, depth), picture, strict=True):
                values.append(part)
            if own is not None:
                order.append(own)
        if not channels:
            empty = camera.pixels.new_zeros(0)
            return [Composite(camera.pixels.new_zeros(0, 3), empty, empty, empty[:, None])]
        parts = [torch.cat(values) for values in (channels, opacity, depth)]
        if order:
            back = torch.empty(len(camera.pixels), dtype=torch.long, device=camera.pixels.device)
            where = torch.cat(order)
            back[where] = torch.arange(len(where), device=where.device)
            parts = [values[back] for values in parts]
        return [Composite(parts[0], parts[1], parts[2], parts[1][:, None])]

    def _picture(self, camera, index, pixels, condition, view, deformation, learning):
        """Colours, opacity and depth of one frame's pixels."""
        window = self._window.get((pixels,), lambda: PixelWindow.of(pixels))
        posed = self.gaussians.pose(condition[index], view[index], None if deformation is None else deformation[index])
        screen = None
        if learning:
            screen = torch.zeros(len(posed.centres), 2, device=pixels.device, requires_grad=True)
            self._screens.append(screen)
        world_to_camera = _inverse(camera.camera_to_world[index])
        intrinsics = torch.cat([camera.focal_px[index : index + 1], camera.center_px[index]])
        gaussians = (posed.centres, posed.scales, posed.rotations, posed.opacities, posed.colours)
        place = (window.left, window.top, window.width, window.height)
        drawn = splat(SeenGaussians(*gaussians, world_to_camera, intrinsics), place, self.backend, screen=screen)
        flat = drawn.colour.reshape(-1, 3), drawn.opacity.reshape(-1), drawn.depth.reshape(-1)
        if window.rows is not None:
            flat = flat[0][window.rows], flat[1][window.rows], flat[2][window.rows]
        # depth along the ray, as heads of rays give it
        return flat[0], flat[1], flat[2] * window.lengthening(pixels, camera.center_px[index], camera.focal_px[index])

    def after_step(self, step: int, steps: int, generator: torch.Generator) -> Rearrangement | None:
        """Collects screen-space gradients, and applies density control where it is due."""
        with torch.no_grad():
            for screen in self._screens:
                if screen.grad is not None:
                    size = screen.grad.square().sum(1).sqrt()
                    self.gradient_sum[: len(size)] += size
                    self.seen[: len(size)] += (size > 0).float()
        self._screens.clear()
        todo = due(step, steps)
        rearrangement = None
        if todo.densify:
            gradient = self.gradient_sum / self.seen.clamp_min(1)
            rearrangement = densify(self.gaussians, gradient, generator)
            self.gradient_sum.zero_()
            self.seen.zero_()
        if todo.reset:
            reset_opacities(self.gaussians)
        if rearrangement is not None or (step + 1) % LAYOUT_STEPS == 0:
            self.gaussians.hold_layout()
        return rearrangement

    @torch.no_grad()
    def posed_gaussians(self, condition: Tensor, view: Tensor, deformation: Tensor | None) -> PosedGaussians:  # noqa: D102
        of_frame = None if deformation is None else deformation[0]
        return self.gaussians.pose(condition[0], view[0], of_frame)

    def primitives(self) -> tuple[Tensor, Tensor]:  # noqa: D102
        count = int(self.gaussians.count)
        return self.gaussians.centre[:count], torch.sigmoid(self.gaussians.opacity[:count])

    def regularisers(self) -> dict[str, Tensor]:
        """The surface of the face, small offsets by the condition, and no needles in depth."""
        count = int(self.gaussians.count)
        centres = self.gaussians.centre[:count]
        if self.surface is None:
            raise ValueError("the surface is known after prepare_training")
        depth, share = self.surface.depth(centres[:, :2].detach())
        # what lies behind the widest slice is the head's back
        front = (self.gaussians.interior[:count] == 0) & (
            centres[:, 2].detach() < (depth + 4).clamp_max(HEAD_CENTRE[2])
        )
        slack = DEPTH_SLACK_CM + (DOME_SLACK_CM - DEPTH_SLACK_CM) * share
        eyes = self.surface.in_eyes(centres[:, :2].detach())
        off = ((centres[:, 2] - depth).abs() - torch.where(eyes, EYE_SLACK_CM, slack)).clamp_min(0)
        needles = (self.gaussians.extent_in_depth() - NEEDLE_CM).clamp_min(0)
        return {
            "needles": NEEDLE_WEIGHT * needles.square().mean(),
            "depth": (torch.where(eyes, EYE_DEPTH_WEIGHT, DEPTH_WEIGHT) * off.square() * front).mean(),
            "change": CHANGE_WEIGHT * self.gaussians.features[:count].square().mean(),
        }

    def parameter_groups(self) -> list[ParameterGroup]:
        """Every kind of parameter of the Gaussians at its own rate."""
        g = self.gaussians
        rates = (
            (g.centre, CENTRE_RATE),
            (g.log_scale, SCALE_RATE),
            (g.rotation, ROTATION_RATE),
            (g.opacity, OPACITY_RATE),
            (g.colour, COLOUR_RATE),
            (g.features, FEATURE_RATE),
        )
        groups = [ParameterGroup([parameter], rate, EPS) for parameter, rate in rates]
        return [*groups, ParameterGroup([g.light, g.code], LIGHT_RATE, EPS)]


def _around(points: Tensor, margin: float, skip: int = 0, hidden: tuple[int, int] = (0, 0)) -> Region:
    """The rectangle around points [P, 3] with a margin, cm, on all sides."""
    (left, top), (right, bottom) = (points[:, :2].amin(0) - margin).tolist(), (points[:, :2].amax(0) + margin).tolist()
    return Region((left, top), (right, bottom), skip, hidden)


def _inverse(camera_to_world: Tensor) -> Tensor:
    """World to camera [3, 4] of a rigid camera to world [4, 4]."""
    rotation = camera_to_world[:3, :3].T
    return torch.cat([rotation, -rotation @ camera_to_world[:3, 3:]], 1)
