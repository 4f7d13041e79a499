"""The paper's head: coarse and fine F_Θ, its sampling, and a quicker way to pictures of a trained one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jean.kernels.dispatch import composite, mlp_picture, require_half, use_native
from jean.kernels.occupancy import DensityGrid, absorbed
from jean.kernels.reference import (
    Composite,
    box_interval,
    invert_cdf,
    quantile_grid,
    scatter,
    stratified_depths,
)
from jean.models.head.mlp import MlpField
from jean.models.head.warp import Corners

CELL_CM = 0.25  # of the grid that tells empty space
TURNS = 3  # a cell sees every third condition
LOOKUPS = 96  # in it, along a ray: one a cell


class PaperHead(nn.Module):
    """Coarse and fine MLPs; 64 stratified samples, 128 more where the coarse weights are (AD-NeRF).

    Args:
        widths: of the parts of e_in.
        box: the volume, head space, cm.
        coarse_samples: N_c.
        fine_samples: N_f; the fine field sees both sets.
    """

    low: Tensor
    high: Tensor
    backend, precision = "auto", "fp32"
    trained_by = "mlp"
    few_samples = 13
    # of few samples: weight of all that is not empty (the grid's mean over conditions misses what one frame shows), and
    # told opacity below which a ray gets fewer
    spread, thick = 0.3, 0.5

    def __init__(self, widths: tuple[int, int, int], box: Corners, coarse_samples: int = 64, fine_samples: int = 128):
        super().__init__()
        self.coarse_samples, self.fine_samples = coarse_samples, fine_samples
        self.register_buffer("low", torch.tensor(box[0]))
        self.register_buffer("high", torch.tensor(box[1]))
        self.coarse = MlpField(sum(widths), box)
        self.fine = MlpField(sum(widths), box)
        self.grid: DensityGrid | None = None

    @property
    def drawn_by(self) -> str:
        """The operation that decides how long a picture takes, see ``jean.kernels.dispatch``."""
        return "mlp_half" if self.precision == "bf16" else "mlp_values"

    def use(self, backend: str, precision: str = "fp32") -> None:
        """Chooses compiled kernels or torch, see ``jean.kernels.dispatch.use_native``, and the precision of pictures.

        Args:
            backend: "auto", "native" or "reference".
            precision: "fp32", or "bf16" (kernels only, and only without gradients).

        Raises:
            UsageError: bf16 without kernels for it.
        """
        require_half(precision, backend, self.low, "mlp_half")
        self.backend = self.coarse.backend = self.fine.backend = backend
        self.precision = precision

    @torch.no_grad()
    def skip_empty(self, conditions: Tensor) -> None:
        """From now on pictures are made of few samples, where the fine field has density under any condition.

        A condition is seen in every third cell, the next one in the cells beside them: cells are smaller than what
        moves, and one is empty only if its neighbours are. Each look is at another place of the cell.

        Args:
            conditions: [M, C], e_in of frames that stand for all that will be rendered.
        """
        device = self.low.device
        grid = DensityGrid((tuple(self.low.tolist()), tuple(self.high.tolist())), CELL_CM).to(device)
        centres = grid.cell_centres().view(-1, 3)
        generator, view = torch.Generator().manual_seed(0), self.low.new_zeros(1, 3)
        most, taken, looks = (torch.zeros(len(centres), device=device) for _ in range(3))
        for number, condition in enumerate(conditions):
            some = slice(number % TURNS, None, TURNS)
            shift = CELL_CM * (torch.rand(centres[some].shape, generator=generator).to(device) - 0.5)
            frame = torch.zeros(len(shift), dtype=torch.long, device=device)
            density, _ = self.fine.seen(centres[some] + shift, condition[None], view, frame, False, self.precision)
            most[some] = torch.maximum(most[some], density)
            taken[some] += absorbed(density, CELL_CM)
            looks[some] += 1
        shape = grid.density.shape
        grid.hold((taken / looks.clamp_min(1)).view(shape), (most > grid.empty_below).view(shape))
        self.grid = grid

    def trace(self, origins, directions, condition, view, frame, generator, bend=None) -> list[Composite]:  # noqa: D102
        plain = not torch.is_grad_enabled() and use_native(self.backend, origins, self.drawn_by)
        if plain and generator is None and self.grid is not None and len(condition) == 1:
            if origins.is_cuda:
                return [self.few(origins, directions, condition, view)]
            spec, grid = self.fine.folded(condition, view), self.grid
            rays = (origins, directions, self.few_samples, LOOKUPS, self.precision)
            return [mlp_picture(spec, grid.sampling, grid.low, grid.high, *rays, spread=self.spread, thick=self.thick)]
        near, far = box_interval(origins, directions, self.low, self.high)
        depths = stratified_depths(near, far, self.coarse_samples, generator)

        def march(field: MlpField, depths: Tensor, colour: bool = True) -> Composite:
            # the interval of a sample reaches to the next one; the last sample is the background's
            intervals = depths[:, 1:] - depths[:, :-1]
            depths = depths[:, :-1]
            positions = origins[:, None] + directions[:, None] * depths[..., None]
            flat = frame[:, None].expand_as(depths).reshape(-1)
            inputs = (positions.reshape(-1, 3), condition, view, flat)
            density, rgb = field.seen(*inputs, colour, self.precision) if plain else field(*inputs)
            rgb = rgb.view(*depths.shape, rgb.shape[1])
            return composite(density.view_as(depths), rgb, depths, intervals, self.backend)

        coarse = march(self.coarse, depths, colour=False)  # of which a picture needs the weights alone
        middles = (depths[:, 1:] + depths[:, :-1]) / 2
        quantiles = quantile_grid(len(depths), self.fine_samples, generator, depths.device)
        # the small constant keeps rays without any weight from dividing by zero (AD-NeRF's 1e-5)
        extra = invert_cdf(middles, coarse.weights[:, 1:].detach() + 1e-5, quantiles)
        fine = march(self.fine, torch.sort(torch.cat([depths, extra], -1), -1).values)
        return [fine] if plain else [coarse, fine]

    @torch.no_grad()
    def few(self, origins: Tensor, directions: Tensor, condition: Tensor, view: Tensor) -> Composite:
        """A picture where the grid of ``skip_empty`` has anything, operation by operation.

        Args:
            origins, directions: [R, 3]; condition: [1, C]; view: [1, 3].
        """
        assert self.grid is not None
        near, far = box_interval(origins, directions, self.low, self.high)
        rays = (origins, directions, near, far, self.few_samples, LOOKUPS)
        hit, edges = self.grid.intervals(*rays, spread=self.spread, thick=self.thick)
        depths, intervals = (edges[:, 1:] + edges[:, :-1]) / 2, edges[:, 1:] - edges[:, :-1]
        own = intervals != 0  # where a ray has fewer samples, its last edge is repeated
        positions = (origins[hit][:, None] + directions[hit][:, None] * depths[..., None])[own]
        frame = torch.zeros(len(positions), dtype=torch.long, device=positions.device)
        values = self.fine.seen(positions, condition, view, frame, True, self.precision)
        density, rgb = depths.new_zeros(depths.shape), depths.new_zeros(*depths.shape, 3)
        density[own], rgb[own] = values
        traced = composite(density, rgb, depths, intervals, self.backend)
        return scatter(traced, hit)
