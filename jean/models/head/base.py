"""Two heads behind one interface: a field, where to sample it, and how a ray is composed from it.

``trace`` is all that the rest of the project calls. The last interval of the paper's rays carries
the background colour and is opaque (section 8.4.2); since it adds exactly the background times what
light is left, ``trace`` leaves it out and the caller lays the head over its background.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from jean.errors import UsageError
from jean.kernels.dispatch import composite, picture, require_half, trace, use_native, use_on_processor
from jean.kernels.occupancy import DensityGrid
from jean.kernels.reference import Composite, box_interval, scatter
from jean.models.head.paper import PaperHead
from jean.models.head.prior import head_prior, relief
from jean.models.head.triplane import Part, TriplaneField
from jean.models.head.warp import FaceWarp

Box = tuple[tuple[float, float, float], tuple[float, float, float]]


class Head(Protocol):
    """What a head offers to training and rendering."""

    def trace(
        self,
        origins: Tensor,
        directions: Tensor,
        condition: Tensor,
        view: Tensor,
        frame: Tensor,
        generator: torch.Generator | None,
        bend: Tensor | None = None,
    ) -> list[Composite]:
        """The rays' composites; the last is the result, earlier ones (coarse) are only trained.

        Args:
            origins: [R, 3], head space, cm.
            directions: [R, 3], unit.
            condition: [F, C], e_in of F frames.
            view: [F, 3], viewing direction of F frames (the head pose, section 8.4.2).
            frame: [R] int, each ray's frame.
            generator: jitter while training, else None.
            bend: [F, cells, 2], motion of the face, where the head has a ``warp``.
        """
        ...


class FastHead(nn.Module):
    """Tri-plane field, samples where the density grid says.

    Args:
        widths: of the parts of e_in: speech, expression, a frame's code.
        box: the volume, head space, cm.
        shape: [68][3], the person's rigid head, head space, cm.
        spoken: whether speech decides the lower face.
        samples: intervals a ray.
    """

    backend, precision = "auto", "fp32"
    thick = 0.5  # opacity told by the grid below which a picture's ray gets fewer samples, 58 dB from one with all
    every_ray = False  # train on rays that meet nothing too: shapes are then always the same
    drawn_by, trained_by = "picture", "triplane"  # the operations that decide the speed, see ``jean.kernels.dispatch``

    def __init__(
        self, widths: tuple[int, int, int], box: Box, shape: list[list[float]], spoken: bool = True, samples: int = 10
    ):
        super().__init__()
        self.samples = samples
        self.warp = FaceWarp(shape, box, widths[0], spoken)
        rest = torch.tensor(shape)
        parts = [_part_around(rest[list(EYES_AND_BROWS)], 1.3, widths[0]), _part_around(rest[list(MOUTH)], 2.0, 0)]
        self.field = TriplaneField(sum(widths), 3, box, parts, widths[2])
        self.field.relief.copy_(relief(rest, box))
        self.grid = DensityGrid(box)

    def use(self, backend: str, precision: str = "fp32") -> None:
        """Chooses compiled kernels or torch, see ``jean.kernels.dispatch.use_native``, and the precision of pictures.

        Args:
            backend: "auto", "native" or "reference".
            precision: "fp32", or "bf16" (a processor's kernels only, and only without gradients).

        Raises:
            UsageError: bf16 without kernels for it.
        """
        if precision == "bf16" and self.field.low.is_cuda:
            raise UsageError("on a card the fast head has one precision.", "Leave --precision away.")
        require_half(precision, backend, self.field.low, self.drawn_by)
        self.backend = self.field.backend = backend
        self.precision = precision

    def start(self, possible: Tensor) -> None:
        """Begins with a mean head inside the cells [D, H, W] that the mattes allow."""
        centres = self.grid.cell_centres()
        positions = centres.view(-1, 3)
        unit = ((positions - self.field.low) / self.field.size).unbind(-1)
        density = torch.exp(head_prior(positions, (unit[0], unit[1]), self.field.relief))
        self.grid.start(density.view(centres.shape[:-1]), possible)

    def trace(self, origins, directions, condition, view, frame, generator, bend=None) -> list[Composite]:  # noqa: D102
        plain = generator is None and len(condition) == 1 and not torch.is_grad_enabled()
        if plain and origins.dtype == torch.float32 and use_native(self.backend, origins, "picture"):
            grid, seen = self.grid, self.field.of_frame(condition, view, bend, self.precision)
            rays = (origins, directions, self.samples)
            return [picture(seen, grid.sampling, grid.low, grid.high, *rays, thick=self.thick)]
        near, far = box_interval(origins, directions, self.field.low, self.field.low + self.field.size)
        every = self.every_ray and generator is not None
        hit, edges = self.grid.intervals(
            origins,
            directions,
            near,
            far,
            self.samples,
            generator=generator,
            backend=self.backend,
            every=every,
            thick=self.thick if plain else 0.0,
        )
        if not every and use_on_processor(self.backend, origins, "triplane"):
            return [trace(origins, directions, hit, edges, frame, self.field.of_frames(condition, view, bend))]
        if not every:
            origins, directions, frame = origins[hit], directions[hit], frame[hit]
        depths, intervals = (edges[:, 1:] + edges[:, :-1]) / 2, edges[:, 1:] - edges[:, :-1]
        positions = (origins[:, None] + directions[:, None] * depths[..., None]).reshape(-1, 3)
        flat = frame[:, None].expand_as(depths).reshape(-1)
        density, rgb = self.field(positions, condition, view, flat, bend)
        rgb = rgb.view(*depths.shape, 3)
        traced = composite(density.view_as(depths), rgb, depths, intervals, self.backend)
        return [traced if every else scatter(traced, hit)]


EYES_AND_BROWS = (*range(17, 27), *range(36, 48))
MOUTH = tuple(range(48, 68))
PART_CELL_CM = 0.11  # 1.3 px where the face fills a picture of 256: lashes, lips' edges and teeth need it


def _part_around(points: Tensor, margin: float, skip: int) -> Part:
    """The rectangle around points [P, 3], ``margin`` cm wider on all sides."""
    low, high = points[:, :2].amin(0) - margin, points[:, :2].amax(0) + margin
    cells = ((high - low) / PART_CELL_CM).round().int().tolist()
    (x, y), (width, height) = low.tolist(), (high - low).tolist()
    return Part((x, y), (width, height), (cells[0], cells[1]), skip)


def make_head(preset: str, widths: tuple[int, int, int], box: Box, shape: list[list[float]], spoken: bool) -> Any:
    """The head of a preset; see ``FastHead`` for the arguments."""
    return FastHead(widths, box, shape, spoken) if preset == "fast" else PaperHead(widths, box)
