"""The fast head: a tri-plane field, sampled where an occupancy grid places the samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from jean.kernels.backend import Backend
from jean.kernels.dispatch import (
    FrameScene,
    FrameTorso,
    composite,
    render_rays_fused,
    trace,
)
from jean.kernels.occupancy import OccupancyGrid
from jean.kernels.reference import Composite, box_interval, scatter
from jean.models.head.base import HeadArguments, OccupancyUpdate, ParameterGroup
from jean.models.head.deforming import EYES_AND_BROWS, EYES_MARGIN_CM, MOUTH, MOUTH_MARGIN_CM, DeformingHead
from jean.models.head.prior import head_prior, relief
from jean.models.head.triplane import Part, TriplaneField

PART_CELL_CM = 0.11  # 1.3 px where the face fills a frame of 256: lashes, lips' edges and teeth need it
SAMPLES = 10  # intervals per ray
ROUGHNESS_WEIGHT = 4e-2  # of the smoothness prior, for every fourth step
MOVEMENT_WEIGHT = 4e-3  # of the prior on moving planes, likewise
OCCUPANCY_EVERY = 16  # optimisation steps


class FastHead(DeformingHead):
    """Tri-plane field with an occupancy grid and a face deformation.

    Args:
        arguments: what every head is built from.
        samples: intervals per ray.
    """

    full_samples_opacity = 0.5  # rays with less opacity in the grid get fewer samples in rendering: 58 dB against all
    every_ray = False  # whether training keeps rays that meet nothing, so that shapes never change (CUDA graphs)
    operations = ("triplane", "trace", "render_rays", "render_pixels", "march", "composite", "roughness")
    trained_by, rendered_by = "triplane", "render_rays"

    def __init__(self, arguments: HeadArguments, samples: int = SAMPLES):
        super().__init__(arguments)
        self.samples = samples
        widths, box = arguments.widths, arguments.box
        shape = torch.tensor(arguments.shape)
        eyes = _part_around(shape[list(EYES_AND_BROWS)], EYES_MARGIN_CM, skip=widths[0])
        mouth = _part_around(shape[list(MOUTH)], MOUTH_MARGIN_CM, hidden=arguments.eye_columns)
        self.field = TriplaneField(arguments.condition_width, 3, box, [eyes, mouth], widths[2])
        self.field.relief.copy_(relief(shape, box))
        self.occupancy = OccupancyGrid(box)

    def use(self, backend: Backend) -> None:  # noqa: D102
        self.backend = self.field.backend = backend

    def prepare_training(
        self,
        device: torch.device,
        visual_hull: Callable[[Tensor], Tensor],
        seen_colours: Callable[[Tensor], Tensor],
    ) -> None:
        """Begins with a mean head inside the visual hull."""
        self.every_ray = device.type == "cuda"
        self.initialise(visual_hull(self.occupancy.cell_centres()))

    def initialise(self, possible: Tensor) -> None:
        """Fills the occupancy grid with a mean head.

        Args:
            possible: bool [D, H, W], the cells that may ever hold density.
        """
        centres = self.occupancy.cell_centres()
        positions = centres.view(-1, 3)
        unit = ((positions - self.field.low) / self.field.size).unbind(-1)
        density = torch.exp(head_prior(positions, (unit[0], unit[1]), self.field.relief))
        self.occupancy.start(density.view(centres.shape[:-1]), possible)

    def frame_scene(  # noqa: D102
        self, condition: Tensor, view: Tensor, deformation: Tensor | None, torso: Callable[[], FrameTorso]
    ) -> FrameScene | None:
        if not self.backend.uses_kernels("render_pixels", condition):
            return None
        field = self.field.frame_field(condition, view, deformation, self.backend.precision)
        grid = self.occupancy
        return FrameScene(field, grid.sampling, grid.low, grid.high, torso(), self.samples, self.full_samples_opacity)

    def trace(self, origins, directions, condition, view, frame, generator, deformation=None):  # noqa: D102
        inference = generator is None and len(condition) == 1 and not torch.is_grad_enabled()
        if inference and self.backend.uses_kernels("render_rays", origins):
            grid, field = self.occupancy, self.field.frame_field(condition, view, deformation, self.backend.precision)
            rays = (origins, directions, self.samples)
            return [
                render_rays_fused(
                    field, grid.sampling, grid.low, grid.high, *rays, full_samples_opacity=self.full_samples_opacity
                )
            ]
        near, far = box_interval(origins, directions, self.field.low, self.field.low + self.field.size)
        every = self.every_ray and generator is not None
        hit, edges = self.occupancy.intervals(
            origins,
            directions,
            near,
            far,
            self.samples,
            generator=generator,
            backend=self.backend,
            every=every,
            full_samples_opacity=self.full_samples_opacity if inference else 0.0,
        )
        if not every and self.backend.uses_kernels("trace", origins):
            return [trace(origins, directions, hit, edges, frame, self.field.batch_field(condition, view, deformation))]
        if not every:
            origins, directions, frame = origins[hit], directions[hit], frame[hit]
        composites = self._composite(origins, directions, edges, condition, view, frame, deformation)
        return [composites if every else scatter(composites, hit)]

    def _composite(
        self,
        origins: Tensor,
        directions: Tensor,
        edges: Tensor,
        condition: Tensor,
        view: Tensor,
        frame: Tensor,
        deformation: Tensor | None,
    ) -> Composite:
        """Composites of rays with intervals ``edges`` [R, S + 1], cm, operation by operation."""
        depths, intervals = (edges[:, 1:] + edges[:, :-1]) / 2, edges[:, 1:] - edges[:, :-1]
        positions = (origins[:, None] + directions[:, None] * depths[..., None]).reshape(-1, 3)
        sample_frame = frame[:, None].expand_as(depths).reshape(-1)
        density, rgb = self.field(positions, condition, view, sample_frame, deformation)
        rgb = rgb.view(*depths.shape, 3)
        return composite(density.view_as(depths), rgb, depths, intervals, self.backend)

    def wants_occupancy(self, step: int) -> bool:  # noqa: D102
        return step % OCCUPANCY_EVERY == OCCUPANCY_EVERY - 1

    def density(self, positions: Tensor, condition: Tensor) -> Tensor:  # noqa: D102
        frame = torch.zeros(len(positions), dtype=torch.long, device=positions.device)
        return self.field(positions, condition, condition.new_zeros(1, 3), frame)[0]

    @torch.no_grad()
    def update_occupancy(self, update: OccupancyUpdate) -> None:
        """Visits all cells at first, later a twentieth of them, under random conditions of the step's frames."""
        condition, generator = update.condition, update.generator
        view = condition.new_zeros(len(condition), 3)  # density does not depend on it

        def density(positions: Tensor) -> Tensor:
            frame = torch.randint(len(condition), (len(positions),), generator=generator, device=positions.device)
            canonical = positions
            if update.deformation is not None:
                canonical = self.face_deformation.to_canonical(positions, update.deformation, frame)
            return self.field(canonical, condition, view, frame)[0]

        fraction, decay = 1.0 if update.step < 64 else 0.05, 0.5 if update.step < 256 else 0.9
        self.occupancy.update(density, fraction, decay=decay, generator=generator)

    def regularisers(self) -> dict[str, Tensor]:  # noqa: D102
        return {
            "roughness": ROUGHNESS_WEIGHT * self.field.roughness(),
            "movement": MOVEMENT_WEIGHT * self.field.movement(),
        }

    def parameter_groups(self) -> list[ParameterGroup]:  # noqa: D102
        return self.field.parameter_groups()


def _part_around(points: Tensor, margin: float, skip: int = 0, hidden: tuple[int, int] = (0, 0)) -> Part:
    """The rectangle around points [P, 3] with a margin, cm, on all sides."""
    low, high = points[:, :2].amin(0) - margin, points[:, :2].amax(0) + margin
    cells = ((high - low) / PART_CELL_CM).round().int().tolist()
    (x, y), (width, height) = low.tolist(), (high - low).tolist()
    return Part((x, y), (width, height), (cells[0], cells[1]), skip, hidden)
