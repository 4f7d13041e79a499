"""What rays see of the paper's field where a grid says that there is anything (``jean_mlp_picture``)."""

from __future__ import annotations

import torch
from torch import Tensor

from jean.kernels import library, structures
from jean.kernels.ops.mlp import MlpSpec, mlp_call, number_of
from jean.kernels.reference import SPREAD, Composite

# Of the light, below which a ray ends: what is left changes no value of a picture by more.
ENOUGH = 5e-3


@torch.no_grad()
def mlp_picture(
    spec: MlpSpec,
    grid: Tensor,
    low: Tensor,
    high: Tensor,
    origins: Tensor,
    directions: Tensor,
    samples: int,
    coarse: int,
    precision: str = "fp32",
    enough: float = ENOUGH,
    spread: float = SPREAD,
    thick: float = 0.0,
) -> Composite:
    """Colours, opacity and depth of rays of one frame; no weights and no gradients.

    Args:
        spec: the field of that frame.
        grid: [D, H, W] sampling densities over the box from ``low`` [3] to ``high`` [3].
        origins, directions: [R, 3], directions of length 1.
        samples: of a ray that meets anything; it ends earlier when ``enough`` of its light is left.
        coarse: lookups in the grid, 256 at most.
        precision: "fp32" or "bf16", see ``jean.kernels.ops.mlp.mlp_values``.
        spread, thick: see ``jean.kernels.occupancy.DensityGrid.intervals``.
    """
    if coarse > structures.MAX_COARSE:
        raise ValueError(f"at most {structures.MAX_COARSE} lookups a ray, not {coarse}")
    if spec.frames != 1:
        raise ValueError("a picture is of one frame")
    call, _held = mlp_call(spec, torch.float32)
    grid, origins, directions = (t.detach().float().contiguous() for t in (grid, origins, directions))
    march = structures.March(rays=len(origins), coarse=coarse, samples=samples, spread=spread, thick=thick)
    march.cells[:] = grid.shape[::-1]
    march.low[:], march.high[:] = low.tolist(), high.tolist()
    march.grid, march.origins, march.directions = grid.data_ptr(), origins.data_ptr(), directions.data_ptr()
    colour, opacity, depth = torch.empty(len(origins), 3), torch.empty(len(origins)), torch.empty(len(origins))
    out = structures.Picture(*(t.data_ptr() for t in (colour, opacity, depth)), enough=enough)
    number = number_of(torch.float32, precision)
    library.call("jean_mlp_picture", call, march, out, number, torch.get_num_threads())
    return Composite(colour, opacity, depth, colour.new_empty(len(origins), 0))
