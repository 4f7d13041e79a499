"""The fast field on a GPU: values and gradients by ``csrc/cuda/triplane.cu`` and ``products.cu``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from jean.kernels import structures
from jean.kernels.cuda.launch import COLOUR_WIDTH, HIDDEN, THREADS, Launcher, parts
from jean.kernels.cuda.products import FORMATS, Product, multiply, tile_words

CHANNELS = structures.CHANNELS
_KIND = FORMATS["single"]
_ALIGNED = ("gates", "bias", "second_bias", "density", "colour_bias", "rgb")  # read 16 bytes at once


def launch_triplane(
    field: structures.Field, samples: structures.Samples, device: torch.device, launcher: Any = None
) -> None:
    """Computes densities and colours in single precision.

    Args:
        field, samples: C structures with addresses on the GPU; ``samples.saved`` is not used.
        device: the GPU.
        launcher: see ``jean.kernels.cuda.launch.Launcher``; None: that of the device.

    Raises:
        ValueError: layers of other widths, more than 16 planes, or tensors that are not aligned.
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
    gradients: Mapping[str, Tensor],
    to_positions: Tensor | None,
    launcher: Any = None,
) -> None:
    """Computes gradients.

    Those of tables and light are added up in any order, so their last digits differ between runs. All others are the
    same in every run.

    Args:
        field: C structure with addresses on the GPU; the gradients of its planes are zeros before.
        samples: with the densities and colours of ``launch_triplane``.
        to_density: [N], gradient of the loss with respect to densities.
        to_rgb: [N, 3], with respect to colours.
        gradients: outputs by the names of ``structures.FieldGradients``, each of the shape of its tensor.
        to_positions: output [N, 3]; None: not wanted.
        launcher: as of ``launch_triplane``.
    """
    _require(field)
    gradients["light"].zero_()
    if samples.count == 0:
        for tensor in gradients.values():
            tensor.zero_()
        return
    device, planes, gated = to_density.device, field.planes, field.gated
    launch = launcher or Launcher(device)
    packed = _packed(field, device, launch)
    rows, products = _products(planes, gated, gradients)
    words = tile_words(rows, _KIND)

    def fill(scratch: Tensor, first: int, tiles: int) -> None:
        given = (
            field,
            samples,
            to_density,
            to_rgb,
            packed,
            scratch,
            words,
            first,
            tiles,
            gradients["light"],
            to_positions,
        )
        launch("triplane", "jean_triplane_back", parts(32 * tiles, THREADS), *given)

    multiply(products, rows, samples.count, None, _KIND, device, launch, fill)


def _require(field: structures.Field) -> None:
    if (field.hidden, field.colour_width) != (HIDDEN, COLOUR_WIDTH) or field.planes > structures.MAX_PLANES:
        raise ValueError(
            f"the kernels take {HIDDEN} and {COLOUR_WIDTH} hidden values and {structures.MAX_PLANES} planes"
        )
    pointers = [getattr(field, name) or 0 for name in _ALIGNED]
    pointers += [pointer or 0 for plane in field.plane[: field.planes] for pointer in (plane.table, plane.gradient)]
    if any(pointer % 16 for pointer in pointers):
        raise ValueError("tables, gates, biases and heads have to be aligned to 16 bytes")


def _packed(field: structures.Field, device: torch.device, launch: Any) -> Tensor:
    """Weights of the three layers in the kernels' layout, for the forward and the backward pass."""
    weights = HIDDEN * CHANNELS * field.planes + HIDDEN * HIDDEN + COLOUR_WIDTH * HIDDEN
    packed = torch.empty(2 * weights, dtype=torch.int32, device=device)
    launch("triplane", "jean_triplane_pack", (8, 6), field, packed)
    return packed


def _products(planes: int, gated: int, gradients: Mapping[str, Tensor]) -> tuple[int, list[Product]]:
    """Number of rows of a scratch tile, and the gradients as products of rows; triplane.cu writes these rows."""
    one = CHANNELS * planes
    two, shade, ends = one + HIDDEN, one + 2 * HIDDEN, one + 2 * HIDDEN + COLOUR_WIDTH
    to_one = ends + 4
    to_two, to_shade, to_gates = to_one + HIDDEN, to_one + 2 * HIDDEN, to_one + 2 * HIDDEN + COLOUR_WIDTH
    frames = len(gradients["bias"])
    products = [
        Product(to_one, HIDDEN, 0, one, gradients["first"]),
        Product(to_one, HIDDEN, None, frames, gradients["bias"]),
        Product(to_two, HIDDEN, one, HIDDEN, gradients["second"]),
        Product(to_two, HIDDEN, None, 1, gradients["second_bias"]),
        Product(to_shade, COLOUR_WIDTH, two, HIDDEN, gradients["colour"]),
        Product(to_shade, COLOUR_WIDTH, None, 1, gradients["colour_bias"]),
        Product(ends + 3, 1, two, HIDDEN, gradients["density"]),
        Product(ends + 3, 1, None, 1, gradients["density_bias"]),
        Product(ends, 3, shade, COLOUR_WIDTH, gradients["rgb"]),
        Product(ends, 3, None, 1, gradients["rgb_bias"]),
    ]
    if gated:
        products.append(Product(to_gates, CHANNELS * gated, None, frames, gradients["gates"]))
    return to_gates + CHANNELS * gated, products
