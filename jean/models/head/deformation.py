"""Face deformation: landmarks move space, the field stays in canonical space.

Where the landmarks of a frame differ from those of the rigid head, the field is read at the position that the skin came
from. So few frames are enough for a face that moves in ways none of them shows. The displacement is constant along the
depth axis, and zero beside the face and on rigid parts such as glasses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jean.models.head.planes import bilinear_rows

Corners = tuple[tuple[float, float, float], tuple[float, float, float]]

CELLS = 64  # along each axis: 0.5 cm, finer than the reach of a landmark
REACH_CM = 0.8  # standard deviation of a landmark's influence, about the distance of neighbouring landmarks
RIDGE = 0.3  # of the interpolation through the landmarks: below it their noise shows as ripples
UPPER = tuple(range(17, 48))  # iBUG numbers of brows, nose and eyes: the expression source decides them
# Mouth and chin: speech decides them. The contour's ends lie on hair and ears, which stay in place.
LOWER = (*range(48, 68), *range(3, 14))


def influence(positions: Tensor, points: Tensor, reach: float, ridge: float) -> Tensor:
    """Weights [N, P] that interpolate values at ``points`` [P, 2] to ``positions`` [N, 2] with a Gaussian kernel.

    Args:
        positions: [N, 2]; points: [P, 2].
        reach: standard deviation of the kernel, in the positions' unit.
        ridge: added to the kernel matrix's diagonal.
    """

    def kernel(first: Tensor, second: Tensor) -> Tensor:
        return torch.exp(-(first[:, None] - second[None]).square().sum(-1) / (2 * reach**2))

    inner = kernel(points, points) + ridge * torch.eye(len(points), dtype=points.dtype)
    return torch.linalg.solve(inner, kernel(positions, points).T).T


def frontal_grid(box: Corners, cells: int = CELLS) -> Tensor:
    """Corners of a grid over the frontal plane of ``box``, row by row: float64 [cells², 2], cm."""
    x, y = (torch.linspace(box[0][axis], box[1][axis], cells, dtype=torch.float64) for axis in (0, 1))
    down, across = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([across, down], -1).reshape(-1, 2)


class FaceDeformation(nn.Module):
    """Displacements of the frontal plane, one grid per frame.

    Args:
        shape: the rigid head [68][3], head space, cm.
        box: the field's volume, cm.
        lip_width: number of lip coordinates.
        audio_drives_mouth: whether lip coordinates decide the lower face; otherwise the expression source does.
    """

    points: Tensor
    driven_influence: Tensor
    spoken_influence: Tensor
    lips_to_points: Tensor
    rigid: Tensor
    low: Tensor
    size: Tensor
    cells: Tensor

    def __init__(self, shape: Sequence[Sequence[float]], box: Corners, lip_width: int, audio_drives_mouth: bool):
        super().__init__()
        driven, spoken = (list(UPPER), list(LOWER)) if audio_drives_mouth else ([*UPPER, *LOWER], [])
        self.register_buffer("points", torch.tensor(driven), persistent=False)
        rigid = torch.tensor(shape, dtype=torch.float64)[[*driven, *spoken], :2]
        matrix = influence(frontal_grid(box), rigid, REACH_CM, RIDGE).float()
        self.register_buffer("driven_influence", matrix[:, : len(driven)].contiguous(), persistent=False)
        self.register_buffer("spoken_influence", matrix[:, len(driven) :].contiguous(), persistent=False)
        # set by ``fit``; the last row is the offset of the mean mouth from the rigid head's
        self.register_buffer("lips_to_points", torch.zeros(lip_width + 1, len(spoken) * 2))
        # how rigid the face is at each cell, set by ``hold``; runs of earlier versions have none
        self.register_buffer("rigid", torch.zeros(CELLS**2, 1))
        self.register_load_state_dict_pre_hook(_without_rigid_parts)
        self.register_buffer("cells", frontal_grid(box), persistent=False)
        self.register_buffer("low", torch.tensor(box[0])[:2], persistent=False)
        self.register_buffer("size", (torch.tensor(box[1]) - torch.tensor(box[0]))[:2], persistent=False)

    def fit(self, lips: Tensor, offsets: Tensor) -> None:
        """Fits the map from lip coordinates to mouth and chin by ridge regression.

        Args:
            lips: [T, lip_width], of the training frames.
            offsets: [T, 68, 2], cm, of the same frames.
        """
        if not len(self.spoken_influence.T):
            return
        inputs = torch.cat([lips, torch.ones(len(lips), 1)], 1).double()
        ridge = torch.diag(torch.tensor([1.0] * lips.shape[1] + [0.0]).double())
        targets = offsets[:, list(LOWER)].reshape(len(lips), -1).double()
        self.lips_to_points.copy_(torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ targets))

    def hold(self, rigid_fraction: Callable[[Tensor], Tensor]) -> None:
        """Keeps rigid parts in place.

        Args:
            rigid_fraction: how rigid the face is at positions [N, 2], cm, of the frontal plane: [N], 0 to 1.
        """
        self.rigid.copy_(rigid_fraction(self.cells.cpu())[:, None])

    def lip_coordinates(self, offsets: Tensor) -> Tensor:
        """Lip coordinates [T, lip_width] that come closest to offsets [T, 68, 2], cm; the inverse of ``fit``'s map."""
        slopes, intercept = self.lips_to_points[:-1].double(), self.lips_to_points[-1].double()
        targets = offsets[:, list(LOWER)].reshape(len(offsets), -1).double() - intercept
        ridge = 1e-6 * torch.eye(len(slopes), dtype=torch.float64, device=slopes.device)
        return torch.linalg.solve(slopes @ slopes.T + ridge, slopes @ targets.T).T

    def forward(self, offsets: Tensor, lips: Tensor) -> Tensor:
        """Displacements that map a position to canonical space, [F, CELLS², 2], cm.

        Args:
            offsets: [F, 2·P], cm, of the landmarks in ``points``.
            lips: [F, lip_width].
        """
        motion = torch.einsum("gp,fpc->fgc", self.driven_influence, offsets.view(len(offsets), -1, 2))
        if len(self.spoken_influence.T):
            mouth = torch.cat([lips, torch.ones_like(lips[:, :1])], 1) @ self.lips_to_points
            motion = motion + torch.einsum("gp,fpc->fgc", self.spoken_influence, mouth.view(len(lips), -1, 2))
        return -motion * (1 - self.rigid)

    def to_canonical(self, positions: Tensor, deformation: Tensor, frame: Tensor) -> Tensor:
        """``to_canonical`` in this deformation's box."""
        return to_canonical(positions, deformation, frame, self.low, self.size)


def _without_rigid_parts(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Adds the buffer that runs of earlier versions lack."""
    state.setdefault(f"{prefix}rigid", torch.zeros(CELLS**2, 1))


def to_canonical(positions: Tensor, deformation: Tensor, frame: Tensor, low: Tensor, size: Tensor) -> Tensor:
    """Positions [N, 3] of frames ``frame`` [N], moved to canonical space.

    No gradient reaches the deformation, whose landmarks are measured.

    Args:
        positions: [N, 3], head space, cm.
        deformation: [F, CELLS², 2], from ``FaceDeformation``.
        frame: int [N].
        low: corner of the box, cm; its first two values are used.
        size: extent of the box, cm; likewise.
    """
    unit = (positions.detach()[:, :2] - low[:2]) / size[:2]
    rows, weights = bilinear_rows(unit[:, 0], unit[:, 1], CELLS, CELLS)
    shift = torch.nn.functional.embedding_bag(
        rows + frame[:, None] * CELLS**2, deformation.detach().reshape(-1, 2), per_sample_weights=weights, mode="sum"
    )
    return positions + torch.nn.functional.pad(shift, (0, 1))
