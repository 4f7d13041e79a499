"""The fast field on a card: values and gradients by ``csrc/cuda/triplane.cu`` and ``products.cu``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from jean.kernels import structures
from jean.kernels.cuda.launch import HALF, HIDDEN, THREADS, Launcher, parts
from jean.kernels.cuda.products import FORMATS, Product, multiply, tile_words

CHANNELS = structures.CHANNELS
_KIND = FORMATS["single"]
_BY_FOURS = ("gates", "bias", "second_bias", "density", "colour_bias", "rgb")  # the kernels read so many at once


def launch_triplane(
    field: structures.Field, samples: structures.Samples, device: torch.device, launcher: Any = None
) -> None:
    """Fills densities and colours; all in single precision.

    Args:
        field, samples: on the card; ``saved`` is not used.
        launcher: see ``jean.kernels.cuda.launch.Launcher``.

    Raises:
        ValueError: what the kernels are not made for.
    """
    _require(field)
    if samples.count:
        launch = launcher or Launcher(device)
        packed = _packed(field, device, launch)
        launch("triplane", "jean_triplane", parts(samples.count, THREADS), field, samples, packed)


def launch_triplane_backward(
    field: structures.Field,
    samples: structures.Samples,
    to_density: Tensor,
    to_rgb: Tensor,
    made: Mapping[str, Tensor],
    to_positions: Tensor | None,
    launcher: Any = None,
) -> None:
    """Fills gradients. Those of tables and light are added up in any order, so that their last digits are not the same
    in every run; all others are.

    Args:
        field: its planes' gradients are zeros.
        samples: as ``launch_triplane`` has filled them.
        to_density, to_rgb: gradients, [N] and [N, 3].
        made: outputs by the names of ``structures.FieldGradients``, each of the shape of its tensor.
        to_positions: [N, 3], or None where they are not wanted.
    """
    _require(field)
    made["light"].zero_()
    if samples.count == 0:
        for tensor in made.values():
            tensor.zero_()
        return
    device, planes, gated = to_density.device, field.planes, field.gated
    launch = launcher or Launcher(device)
    packed = _packed(field, device, launch)
    rows, products = _products(planes, gated, made)
    words = tile_words(rows, _KIND)

    def fill(scratch: Tensor, first: int, tiles: int) -> None:
        given = (field, samples, to_density, to_rgb, packed, scratch, words, first, tiles, made["light"], to_positions)
        launch("triplane", "jean_triplane_back", parts(32 * tiles, THREADS), *given)

    multiply(products, rows, samples.count, None, _KIND, device, launch, fill)


def _require(field: structures.Field) -> None:
    if (field.hidden, field.half) != (HIDDEN, HALF) or field.planes > structures.MAX_PLANES:
        raise ValueError(f"kernels for {HIDDEN} and {HALF} hidden values and {structures.MAX_PLANES} planes only")
    pointers = [getattr(field, name) or 0 for name in _BY_FOURS]
    pointers += [pointer or 0 for plane in field.plane[: field.planes] for pointer in (plane.table, plane.gradient)]
    if any(pointer % 16 for pointer in pointers):
        raise ValueError("tables, gates, biases and heads have to lie at multiples of 16 bytes")


def _packed(field: structures.Field, device: torch.device, launch: Any) -> Tensor:
    """The three layers' weights as the kernels read them, forward and back."""
    weights = HIDDEN * CHANNELS * field.planes + HIDDEN * HIDDEN + HALF * HIDDEN
    packed = torch.empty(2 * weights, dtype=torch.int32, device=device)
    launch("triplane", "jean_triplane_pack", (8, 6), field, packed)
    return packed


def _products(planes: int, gated: int, made: Mapping[str, Tensor]) -> tuple[int, list[Product]]:
    """Rows of a tile of the scratch, and gradients as products of them; rows are those of triplane.cu."""
    one = CHANNELS * planes
    two, shade, ends = one + HIDDEN, one + 2 * HIDDEN, one + 2 * HIDDEN + HALF
    to_one = ends + 4
    to_two, to_shade, to_gates = to_one + HIDDEN, to_one + 2 * HIDDEN, to_one + 2 * HIDDEN + HALF
    frames = len(made["bias"])
    products = [
        Product(to_one, HIDDEN, 0, one, made["first"]),
        Product(to_one, HIDDEN, None, frames, made["bias"]),
        Product(to_two, HIDDEN, one, HIDDEN, made["second"]),
        Product(to_two, HIDDEN, None, 1, made["second_bias"]),
        Product(to_shade, HALF, two, HIDDEN, made["colour"]),
        Product(to_shade, HALF, None, 1, made["colour_bias"]),
        Product(ends + 3, 1, two, HIDDEN, made["density"]),
        Product(ends + 3, 1, None, 1, made["density_bias"]),
        Product(ends, 3, shade, HALF, made["rgb"]),
        Product(ends, 3, None, 1, made["rgb_bias"]),
    ]
    if gated:
        products.append(Product(to_gates, CHANNELS * gated, None, frames, made["gates"]))
    return to_gates + CHANNELS * gated, products
