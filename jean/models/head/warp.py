"""Motion of the face as motion: landmarks bend space, the field stays at rest.

A raised brow is not another brow. Where the landmarks of a frame lie beside those of the rigid head, the
field is read at the place that the skin came from, so that few frames are enough to know a face that
moves as none of them did. The bend is the same along the depth axis, and dies out beside the face.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jean.models.head.planes import bilinear_rows

Corners = tuple[tuple[float, float, float], tuple[float, float, float]]

CELLS = 64  # along each axis: 0.5 cm, finer than the reach of a landmark
REACH_CM = 0.8  # spread of a landmark's influence, about the distance between neighbours
RIDGE = 0.3  # of the fit through the landmarks: below it their noise shows as ripples
UPPER = tuple(range(17, 48))  # brows, nose, eyes: iBUG numbers of what the expression source decides
# mouth and chin: what speech decides. The contour's ends lie on hair and ears, which stay where they are.
LOWER = (*range(48, 68), *range(3, 14))


def influence(at: Tensor, points: Tensor, reach: float, ridge: float) -> Tensor:
    """[N, P]: what values at ``points`` [P, 2] say of places ``at`` [N, 2]: a Gaussian interpolant."""

    def kernel(first: Tensor, second: Tensor) -> Tensor:
        return torch.exp(-(first[:, None] - second[None]).square().sum(-1) / (2 * reach**2))

    inner = kernel(points, points) + ridge * torch.eye(len(points), dtype=points.dtype)
    return torch.linalg.solve(inner, kernel(at, points).T).T


def frontal_grid(box: Corners, cells: int = CELLS) -> Tensor:
    """float64 [cells², 2]: corners of a grid over the frontal plane of ``box``, row by row, cm."""
    x, y = (torch.linspace(box[0][axis], box[1][axis], cells, dtype=torch.float64) for axis in (0, 1))
    down, across = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([across, down], -1).reshape(-1, 2)


class FaceWarp(nn.Module):
    """Displacements of the frontal plane, one grid a frame.

    Args:
        shape: [68][3], the rigid head, head space, cm.
        box: the field's volume, cm.
        lip_width: lip coordinates that speech gives.
        spoken: whether speech decides the lower face; otherwise the expression source decides it all.
    """

    points: Tensor
    driven_influence: Tensor
    spoken_influence: Tensor
    lips_to_points: Tensor
    low: Tensor
    size: Tensor

    def __init__(self, shape: list[list[float]], box: Corners, lip_width: int, spoken: bool):
        super().__init__()
        driven, spoken_points = (list(UPPER), list(LOWER)) if spoken else ([*UPPER, *LOWER], [])
        self.register_buffer("points", torch.tensor(driven), persistent=False)
        rest = torch.tensor(shape, dtype=torch.float64)[[*driven, *spoken_points], :2]
        matrix = influence(frontal_grid(box), rest, REACH_CM, RIDGE).float()
        self.register_buffer("driven_influence", matrix[:, : len(driven)].contiguous(), persistent=False)
        self.register_buffer("spoken_influence", matrix[:, len(driven) :].contiguous(), persistent=False)
        # found by ``fit``: the last row is what the mean mouth has beside the rigid head's
        self.register_buffer("lips_to_points", torch.zeros(lip_width + 1, len(spoken_points) * 2))
        self.register_buffer("low", torch.tensor(box[0])[:2], persistent=False)
        self.register_buffer("size", (torch.tensor(box[1]) - torch.tensor(box[0]))[:2], persistent=False)

    def fit(self, lips: Tensor, offsets: Tensor) -> None:
        """Learns by ridge regression how mouth and chin lie for lip coordinates.

        Args:
            lips: [T, lip_width], of the training frames.
            offsets: [T, 68, 2], cm, of the same frames.
        """
        if not len(self.spoken_influence.T):
            return
        known = torch.cat([lips, torch.ones(len(lips), 1)], 1).double()
        ridge = torch.diag(torch.tensor([1.0] * lips.shape[1] + [0.0]).double())
        wanted = offsets[:, list(LOWER)].reshape(len(lips), -1).double()
        self.lips_to_points.copy_(torch.linalg.solve(known.T @ known + ridge, known.T @ wanted))

    def forward(self, offsets: Tensor, lips: Tensor) -> Tensor:
        """Displacements [F, CELLS², 2], cm, to add to a position to find where its matter rests.

        Args:
            offsets: [F, 2·P], cm, of the landmarks in ``points``; lips: [F, lip_width].
        """
        bend = torch.einsum("gp,fpc->fgc", self.driven_influence, offsets.view(len(offsets), -1, 2))
        if len(self.spoken_influence.T):
            moved = torch.cat([lips, torch.ones_like(lips[:, :1])], 1) @ self.lips_to_points
            bend = bend + torch.einsum("gp,fpc->fgc", self.spoken_influence, moved.view(len(lips), -1, 2))
        return -bend

    def rest(self, positions: Tensor, bend: Tensor, frame: Tensor) -> Tensor:
        """``at_rest`` in this warp's box."""
        return at_rest(positions, bend, frame, self.low, self.size)


def at_rest(positions: Tensor, bend: Tensor, frame: Tensor, low: Tensor, size: Tensor) -> Tensor:
    """Positions [N, 3] of frames ``frame`` [N] where their matter rests.

    No gradient reaches the bend: its landmarks were measured.

    Args:
        positions: [N, 3], head space, cm.
        bend: [F, CELLS², 2], from ``FaceWarp``.
        frame: [N] int.
        low, size: corner and extent of the box, cm; the first two values are used.
    """
    unit = (positions.detach()[:, :2] - low[:2]) / size[:2]
    rows, weights = bilinear_rows(unit[:, 0], unit[:, 1], CELLS, CELLS)
    shift = torch.nn.functional.embedding_bag(
        rows + frame[:, None] * CELLS**2, bend.detach().reshape(-1, 2), per_sample_weights=weights, mode="sum"
    )
    return positions + torch.nn.functional.pad(shift, (0, 1))
