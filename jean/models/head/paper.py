"""The paper's head: coarse and fine F_Θ with hierarchical sampling, and few-sample rendering of a trained head."""

from __future__ import annotations

import torch
from torch import Tensor

from jean.errors import UsageError
from jean.kernels.backend import Backend
from jean.kernels.dispatch import composite, render_mlp_rays_fused
from jean.kernels.occupancy import OccupancyGrid, alpha_of
from jean.kernels.reference import (
    Composite,
    box_interval,
    invert_cdf,
    quantile_grid,
    scatter,
    stratified_depths,
)
from jean.models.head.base import Head, HeadArguments
from jean.models.head.mlp import MlpField

# Few-sample rendering:
CELL_CM = 0.25  # side of a cell of the occupancy grid
TURNS = 3  # each condition is evaluated in every third cell; neighbouring cells cover the other two thirds
LOOKUPS = 96  # in the grid along a ray, about one per cell


class PaperHead(Head):
    """Coarse and fine MLPs: 64 stratified samples, and 128 more drawn from the coarse weights (AD-NeRF).

    Args:
        arguments: arguments of every head.
        coarse_samples: N_c, stratified samples per ray.
        fine_samples: N_f, samples per ray drawn from the coarse weights; the fine field is evaluated at both sets.
    """

    low: Tensor
    high: Tensor
    operations = ("mlp", "mlp_values", "render_mlp_rays", "march", "composite")
    trained_by, rendered_by = "mlp", "mlp_values"
    limits_drivers = False
    few_samples = 13
    # Few-sample rendering. The grid averages over conditions and can miss density of single frames, so a fraction of
    # the samples is distributed uniformly over occupied space. Rays with a smaller opacity get fewer samples.
    uniform_weight, full_samples_opacity = 0.3, 0.5

    def __init__(self, arguments: HeadArguments, coarse_samples: int = 64, fine_samples: int = 128):
        super().__init__(arguments)
        widths, box = arguments.widths, arguments.box
        self.coarse_samples, self.fine_samples = coarse_samples, fine_samples
        self.register_buffer("low", torch.tensor(box[0]))
        self.register_buffer("high", torch.tensor(box[1]))
        self.coarse = MlpField(sum(widths))
        self.fine = MlpField(sum(widths))
        self.occupancy: OccupancyGrid | None = None

    def use(self, backend: Backend) -> None:  # noqa: D102
        self.backend = self.coarse.backend = self.fine.backend = backend

    @torch.no_grad()
    def skip_empty(self, conditions: Tensor) -> str:
        """Switches to few-sample rendering, which skips space that is empty under all given conditions.

        Each condition is evaluated in every third cell, and the next condition in the adjacent cells. This is enough,
        because cells are smaller than the moving parts of a face, and a cell counts as empty only if its neighbours are
        empty too. Positions within a cell are random.

        Args:
            conditions: e_in of frames that represent the whole result, [M, C].

        Returns:
            One line that describes the sampling.

        Raises:
            UsageError: the compiled kernels are not in use.
        """
        if not self.backend.uses_kernels("mlp_values", self.low):
            raise UsageError("skipping empty space needs the compiled kernels.", "Leave --sampling or --backend away.")
        device = self.low.device
        grid = OccupancyGrid((tuple(self.low.tolist()), tuple(self.high.tolist())), CELL_CM).to(device)
        centres = grid.cell_centres().view(-1, 3)
        generator, view = torch.Generator().manual_seed(0), self.low.new_zeros(1, 3)
        largest, alpha, visits = (torch.zeros(len(centres), device=device) for _ in range(3))
        for index, condition in enumerate(conditions):
            cells = slice(index % TURNS, None, TURNS)
            shift = CELL_CM * (torch.rand(centres[cells].shape, generator=generator).to(device) - 0.5)
            frame = torch.zeros(len(shift), dtype=torch.long, device=device)
            density, _ = self.fine.infer(
                centres[cells] + shift, condition[None], view, frame, False, self.backend.precision
            )
            largest[cells] = torch.maximum(largest[cells], density)
            alpha[cells] += alpha_of(density, CELL_CM)
            visits[cells] += 1
        shape = grid.density.shape
        grid.set_static((alpha / visits.clamp_min(1)).view(shape), (largest > grid.empty_below).view(shape))
        self.occupancy = grid
        return f"sampling: skip, up to {self.few_samples} samples per ray."

    def trace(self, origins, directions, condition, view, frame, generator, deformation=None):  # noqa: D102
        inference = not torch.is_grad_enabled() and self.backend.uses_kernels("mlp_values", origins)
        if inference and generator is None and self.occupancy is not None and len(condition) == 1:
            if origins.is_cuda:
                return [self.trace_few(origins, directions, condition, view)]
            spec, grid = self.fine.kernel_spec(condition, view), self.occupancy
            rays = (origins, directions, self.few_samples, LOOKUPS, self.backend.precision)
            return [
                render_mlp_rays_fused(
                    spec,
                    grid.sampling,
                    grid.low,
                    grid.high,
                    *rays,
                    uniform_weight=self.uniform_weight,
                    full_samples_opacity=self.full_samples_opacity,
                )
            ]
        near, far = box_interval(origins, directions, self.low, self.high)
        depths = stratified_depths(near, far, self.coarse_samples, generator)

        def march(field: MlpField, depths: Tensor, colour: bool = True) -> Composite:
            # the interval of a sample ends at the next sample; the last sample only closes the interval before it
            intervals = depths[:, 1:] - depths[:, :-1]
            depths = depths[:, :-1]
            positions = origins[:, None] + directions[:, None] * depths[..., None]
            flat = frame[:, None].expand_as(depths).reshape(-1)
            inputs = (positions.reshape(-1, 3), condition, view, flat)
            density, rgb = field.infer(*inputs, colour, self.backend.precision) if inference else field(*inputs)
            rgb = rgb.view(*depths.shape, rgb.shape[1])
            return composite(density.view_as(depths), rgb, depths, intervals, self.backend)

        coarse = march(self.coarse, depths, colour=False)  # only its weights are needed
        middles = (depths[:, 1:] + depths[:, :-1]) / 2
        quantiles = quantile_grid(len(depths), self.fine_samples, generator, depths.device)
        # AD-NeRF's 1e-5 avoids a division by zero on rays without any weight
        extra = invert_cdf(middles, coarse.weights[:, 1:].detach() + 1e-5, quantiles)
        fine = march(self.fine, torch.sort(torch.cat([depths, extra], -1), -1).values)
        return [fine] if inference else [coarse, fine]

    @torch.no_grad()
    def trace_few(self, origins: Tensor, directions: Tensor, condition: Tensor, view: Tensor) -> Composite:
        """Traces rays with few samples in the occupied cells of ``skip_empty``, without the fused kernel.

        Args:
            origins: start of each ray, [R, 3], head space, cm.
            directions: unit vectors, [R, 3].
            condition: e_in of the frame, [1, C].
            view: viewing direction of the frame, [1, 3].
        """
        assert self.occupancy is not None
        near, far = box_interval(origins, directions, self.low, self.high)
        rays = (origins, directions, near, far, self.few_samples, LOOKUPS)
        hit, edges = self.occupancy.intervals(
            *rays, uniform_weight=self.uniform_weight, full_samples_opacity=self.full_samples_opacity
        )
        depths, intervals = (edges[:, 1:] + edges[:, :-1]) / 2, edges[:, 1:] - edges[:, :-1]
        sampled = intervals != 0  # a ray with fewer samples repeats its last edge
        positions = (origins[hit][:, None] + directions[hit][:, None] * depths[..., None])[sampled]
        frame = torch.zeros(len(positions), dtype=torch.long, device=positions.device)
        values = self.fine.infer(positions, condition, view, frame, True, self.backend.precision)
        density, rgb = depths.new_zeros(depths.shape), depths.new_zeros(*depths.shape, 3)
        density[sampled], rgb[sampled] = values
        traced = composite(density, rgb, depths, intervals, self.backend)
        return scatter(traced, hit)
