"""Feature planes with bilinear lookup: the trainable tables of the fast field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from jean.kernels.backend import Backend
from jean.kernels.dispatch import roughness

PLANE_RATE = 5e-2  # learning rate of the tables
# Adam's eps for the tables. Cells that few rays meet have gradients near zero. With a smaller eps Adam would scale
# them up to full steps, which shows as streaks along the planes' axes.
PLANE_EPS = 3e-8


class _Gather(torch.autograd.Function):
    """Weighted sum of table rows. Its backward pass is cheaper on a CPU than that of ``grid_sample``."""

    @staticmethod
    def forward(ctx, table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(table, rows, weights)
        return functional.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        table, rows, weights = ctx.saved_tensors
        (gradient,) = gradients
        table_gradient = torch.zeros_like(table)
        for corner in range(rows.shape[1]):  # one corner at a time: the products stay in the CPU's cache
            table_gradient.index_add_(0, rows[:, corner], weights[:, corner, None] * gradient)
        if not ctx.needs_input_grad[2]:
            return table_gradient, None, None
        weight_gradients = [(table[rows[:, corner]] * gradient).sum(-1) for corner in range(rows.shape[1])]
        return table_gradient, None, torch.stack(weight_gradients, -1)


class FeaturePlane(nn.Module):
    """A grid of features over [0, 1]² with bilinear lookup.

    Args:
        height: cells along the second coordinate.
        width: cells along the first coordinate.
        channels: features per cell.
        scale: standard deviation of the initial values; with large values, results differ by half a dB between seeds.
        fade: number of cells over which the features fall to zero at the border; outside they are zero. With 0, the
            edge values continue outside.
    """

    mask: Tensor

    def __init__(self, height: int, width: int, channels: int, scale: float = 0.02, fade: int = 0):
        super().__init__()
        self.height, self.width, self.fade = height, width, fade
        if fade:
            self.register_buffer("mask", border_mask(height, width, fade), persistent=False)
        self.table = nn.Parameter(torch.randn(height * width, channels) * scale)

    def forward(self, across: Tensor, down: Tensor) -> Tensor:
        """Features [N, C] at positions.

        Gradients reach the table, and the coordinates if those require gradients.

        Args:
            across: positions along the width, [N], in [0, 1].
            down: positions along the height, [N], in [0, 1].
        """
        rows, weights = bilinear_rows(across, down, self.height, self.width)
        return _Gather.apply(self.features(), rows, weights)

    def features(self) -> Tensor:
        """The table that the lookup reads, [height · width, C]: faded towards the border where ``fade`` is set."""
        return self.table * self.mask if self.fade else self.table

    def roughness(self, backend: Backend) -> Tensor:
        """Smoothness prior: the mean squared difference of neighbouring cells.

        Args:
            backend: whether compiled kernels or torch compute it.
        """
        if backend.uses_kernels("roughness", self.table):
            return roughness(self.table, self.height, self.width)
        grid = self.table.view(self.height, self.width, -1)
        return (grid[1:] - grid[:-1]).square().mean() + (grid[:, 1:] - grid[:, :-1]).square().mean()


def refine_plane(table: Tensor, height: int, width: int, times: int) -> Tensor:
    """Resamples a plane on a finer grid without changing its bilinear surface.

    Args:
        table: [height · width, C].
        height: cells along the second coordinate.
        width: cells along the first coordinate.
        times: how many fine cells divide the side of a cell.

    Returns:
        [h · w, C] with h = (height - 1) · times + 1 and w = (width - 1) · times + 1.
    """
    grid = table.view(1, height, width, -1).permute(0, 3, 1, 2)
    size = ((height - 1) * times + 1, (width - 1) * times + 1)
    fine = functional.interpolate(grid, size, mode="bilinear", align_corners=True)
    return fine[0].permute(1, 2, 0).reshape(-1, table.shape[1])


class VersionedCache:
    """Caches a value that is computed from tensors, until one of them changes."""

    def __init__(self) -> None:
        # Key and value are one attribute, because several threads read it: none may see a new key with an old value.
        self._entry: tuple[Any, Any] | None = None

    def get(self, tensors: Sequence[Tensor], make: Callable[[], Any]) -> Any:
        """Returns the value, computed again if a tensor has changed.

        On a GPU nothing is cached: the comparison would wait for the GPU, which takes longer than computing the value.

        Args:
            tensors: the tensors that the value depends on.
            make: computes the value.
        """
        if tensors[0].is_cuda:
            return make()
        # torch counts in-place changes, except those through ``.data``; the sums detect these
        versions = tuple((t.data_ptr(), t._version, t.sum().item()) for t in tensors)
        entry = self._entry
        if entry is None or entry[0] != versions:
            self._entry = entry = (versions, make())
        return entry[1]


def border_mask(height: int, width: int, fade: int) -> Tensor:
    """Weights [height · width, 1] of a plane's cells: 0 at the border, rising linearly to 1 over ``fade`` cells."""
    y, x = (torch.minimum(torch.arange(n), n - 1 - torch.arange(n)).clamp_max(fade) / fade for n in (height, width))
    return (y[:, None] * x).reshape(-1, 1)


def bilinear_rows(across: Tensor, down: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Table rows and weights of the four cells around each position.

    Args:
        across: positions along the width, [N], in [0, 1].
        down: positions along the height, [N], in [0, 1].
        height: cells along the second coordinate.
        width: cells along the first coordinate.

    Returns:
        Row indices [N, 4], and bilinear weights [N, 4] that sum to one.
    """
    # 1.001: a position on the far edge is moved a thousandth of a cell inward, so that the next cell still exists
    x = (across * (width - 1)).clamp(0.0, width - 1.001)
    y = (down * (height - 1)).clamp(0.0, height - 1.001)
    column, row = x.detach().long(), y.detach().long()
    right, below = x - column, y - row
    left, above = 1.0 - right, 1.0 - below
    corner = row * width + column
    rows = torch.stack([corner, corner + 1, corner + width, corner + width + 1], 1)
    return rows, torch.stack([left * above, right * above, left * below, right * below], 1)
