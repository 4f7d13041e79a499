"""Feature planes with bilinear lookup, the memory of the fast field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from jean.kernels.backend import Backend
from jean.kernels.dispatch import roughness

PLANE_RATE = 5e-2  # learning rate of the tables
# A cell that few rays meet has gradients near zero, and Adam would turn them into whole steps: streaks along the
# planes' axes. With this eps only cells with real gradients move.
PLANE_EPS = 3e-8


class _Gather(torch.autograd.Function):
    """Weighted sum of table rows. One scatter in the backward pass, cheaper on CPU than grid_sample's."""

    @staticmethod
    def forward(ctx, table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(table, rows, weights)
        return functional.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        table, rows, weights = ctx.saved_tensors
        (gradient,) = gradients
        to_table = torch.zeros_like(table)
        for corner in range(rows.shape[1]):  # one at a time: the products stay in the processor's cache
            to_table.index_add_(0, rows[:, corner], weights[:, corner, None] * gradient)
        if not ctx.needs_input_grad[2]:
            return to_table, None, None
        to_weights = [(table[rows[:, corner]] * gradient).sum(-1) for corner in range(rows.shape[1])]
        return to_table, None, torch.stack(to_weights, -1)


class FeaturePlane(nn.Module):
    """A grid of features over [0, 1]², read bilinearly.

    Args:
        height: cells along the second coordinate.
        width: cells along the first coordinate.
        channels: features in a cell.
        scale: spread of the initial values; large ones make one seed half a dB better than another.
        fade: over so many cells the features fall to zero at the border, and outside they are zero; with 0
            the edge values continue.
    """

    mask: Tensor

    def __init__(self, height: int, width: int, channels: int, scale: float = 0.02, fade: int = 0):
        super().__init__()
        self.height, self.width, self.fade = height, width, fade
        if fade:
            self.register_buffer("mask", border_mask(height, width, fade), persistent=False)
        self.table = nn.Parameter(torch.randn(height * width, channels) * scale)

    def forward(self, across: Tensor, down: Tensor) -> Tensor:
        """[N, C] features at ``across`` [N] (along the width) and ``down`` [N], both in [0, 1].

        Gradients reach the table; they reach the coordinates only if those require them.
        """
        rows, weights = bilinear_rows(across, down, self.height, self.width)
        return _Gather.apply(self.features(), rows, weights)

    def features(self) -> Tensor:
        """[height · width, C]: what the lookup reads."""
        return self.table * self.mask if self.fade else self.table

    def roughness(self, backend: Backend) -> Tensor:
        """Mean squared difference of neighbouring cells, the smoothness prior; computed as ``backend`` says."""
        if backend.uses_kernels("roughness", self.table):
            return roughness(self.table, self.height, self.width)
        grid = self.table.view(self.height, self.width, -1)
        return (grid[1:] - grid[:-1]).square().mean() + (grid[:, 1:] - grid[:, :-1]).square().mean()


def refined(table: Tensor, height: int, width: int, times: int) -> Tensor:
    """The same bilinear surface on cells ``times`` smaller: [h · w, C] with h = (height - 1) · times + 1, w likewise.

    Args:
        table: [height · width, C].
    """
    grid = table.view(1, height, width, -1).permute(0, 3, 1, 2)
    size = ((height - 1) * times + 1, (width - 1) * times + 1)
    fine = functional.interpolate(grid, size, mode="bilinear", align_corners=True)
    return fine[0].permute(1, 2, 0).reshape(-1, table.shape[1])


class Kept:
    """A value that is made of tensors once, and again after they have changed."""

    def __init__(self) -> None:
        # in one piece: several painters ask at once, and must not see a new key beside an old value
        self._kept: tuple[Any, Any] | None = None

    def get(self, tensors: Sequence[Tensor], make: Callable[[], Any]) -> Any:
        """The value; ``make`` is called if ``tensors`` are not what they were, and always on a card."""
        if tensors[0].is_cuda:  # the sums would have to be waited for, which takes longer than what is made
            return make()
        # torch counts changes, but not those made through .data: the sums tell of them
        versions = tuple((t.data_ptr(), t._version, t.sum().item()) for t in tensors)
        kept = self._kept
        if kept is None or kept[0] != versions:
            self._kept = kept = (versions, make())
        return kept[1]


def border_mask(height: int, width: int, fade: int) -> Tensor:
    """[height · width, 1]: 0 at the border, rising to 1 within ``fade`` cells."""
    y, x = (torch.minimum(torch.arange(n), n - 1 - torch.arange(n)).clamp_max(fade) / fade for n in (height, width))
    return (y[:, None] * x).reshape(-1, 1)


def bilinear_rows(across: Tensor, down: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Row numbers [N, 4] and weights [N, 4] of the four cells around positions in [0, 1]² ([N] each)."""
    # the last cell's far edge belongs to it: a hair less than the last index keeps its corner inside
    x = (across * (width - 1)).clamp(0.0, width - 1.001)
    y = (down * (height - 1)).clamp(0.0, height - 1.001)
    column, row = x.detach().long(), y.detach().long()
    right, below = x - column, y - row
    left, above = 1.0 - right, 1.0 - below
    corner = row * width + column
    rows = torch.stack([corner, corner + 1, corner + width, corner + width + 1], 1)
    return rows, torch.stack([left * above, right * above, left * below, right * below], 1)
