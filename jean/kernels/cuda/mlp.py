"""The paper's field on a GPU: values and gradients by ``csrc/cuda/mlp.cu``, ``mlp_backward.cu``, ``products.cu``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jean.kernels import structures
from jean.kernels.cuda.launch import Launcher, parts
from jean.kernels.cuda.products import FORMATS, Format, Product, multiply, tile_words
from jean.kernels.structures import Mlp

WIDE, NARROW = 128, 64  # mlp_layers.h: widths of the layers of trunk and colour branch
ENCODED, ENCODED_INPUTS = 64, 63  # an encoding has 63 numbers and is padded to 64
SEGMENT = 1024  # samples per warp that lists samples, mlp_backward.cu


def launch_mlp(
    field: Mlp,
    samples: structures.Samples,
    device: torch.device,
    kind: str,
    skip_empty_tiles: bool = False,
    launcher: Any = None,
) -> None:
    """Computes densities, and colours if ``samples.rgb`` is not null.

    Args:
        field, samples: C structures with addresses on the GPU.
        device: the GPU.
        kind: "half" or "single", a name in ``jean.kernels.cuda.products.FORMATS``: format of the products' factors.
        skip_empty_tiles: leave colours zero where 32 neighbouring samples have no density, for rendering.
        launcher: see ``jean.kernels.cuda.launch.Launcher``; None: that of the device.

    Raises:
        ValueError: layers of other widths, or tensors that are not aligned.
    """
    _require(field)
    if samples.count:
        launch, form = launcher or Launcher(device), FORMATS[kind]
        packed = _packed(field, form, device, launch, False)
        blocks = parts(samples.count, form.threads)
        launch("mlp", f"jean_mlp_{kind}", blocks, field, samples, packed, int(skip_empty_tiles), threads=form.threads)


def launch_mlp_backward(
    field: Mlp,
    samples: structures.Samples,
    to_density: Tensor,
    to_rgb: Tensor,
    gradients: Sequence[Tensor],
    to_positions: Tensor | None,
    kind: str,
    launcher: Any = None,
) -> None:
    """Computes gradients; the same samples give the same bits.

    Args:
        field: C structure with addresses on the GPU.
        samples: with the densities and colours of ``launch_mlp``.
        to_density: [N], gradient of the loss with respect to densities.
        to_rgb: [N, 3], with respect to colours.
        gradients: outputs for weights, biases and ends, of their shapes.
        to_positions: output [N, 3], zeros before; None: not wanted.
        kind: as of ``launch_mlp``.
        launcher: as of ``launch_mlp``.
    """
    _require(field)
    if samples.count == 0:
        for tensor in gradients:
            tensor.zero_()
        return
    device, form, count = to_density.device, FORMATS[kind], samples.count
    launch = launcher or Launcher(device)
    packed, transposed = (_packed(field, form, device, launch, backward) for backward in (False, True))
    active, counters = _active_samples(samples, to_density, to_rgb, device, launch)
    rows, products = _products(field, gradients)
    words = tile_words(rows, form)

    def fill(scratch: Tensor, first: int, tiles: int) -> None:
        given = (field, samples, to_density, to_rgb, active, counters, packed, transposed, scratch, words, first, tiles)
        blocks = parts(32 * tiles, form.threads)
        launch("mlp_backward", f"jean_mlp_back_{kind}", blocks, *given, to_positions, threads=form.threads)

    multiply(products, rows, count, counters, form, device, launch, fill)


def _require(field: Mlp) -> None:
    layers = field.layer[: field.layers]
    widths = [layer.outputs for layer in layers]
    if widths != [WIDE] * field.trunk + [NARROW] * (field.layers - field.trunk) or field.layers <= field.trunk + 1:
        raise ValueError(f"the kernels take layers of {WIDE} and then at least two of {NARROW} outputs, not {widths}")
    pointers = [layer.bias for layer in layers] + [field.density, field.rgb]
    if any(pointer % 16 for pointer in pointers):
        raise ValueError("biases and heads have to be aligned to 16 bytes")  # the kernels read 16 bytes at once


def _packed(field: Mlp, form: Format, device: torch.device, launch: Any, transposed: bool) -> Tensor:
    """All weights in the kernels' layout; inputs that are encodings are padded from 63 to 64."""
    weights = sum((layer.inputs + layer.inputs % 2) * layer.outputs for layer in field.layer[: field.layers])
    packed = torch.empty(weights * form.words // 4, dtype=torch.int32, device=device)
    launch("mlp", f"jean_mlp_pack_{form.name}", (8, field.layers), field, int(transposed), packed)
    return packed


def _active_samples(
    samples: structures.Samples, to_density: Tensor, to_rgb: Tensor, device: torch.device, launch: Any
) -> tuple[Tensor, Tensor]:
    """Indices of the samples with nonzero gradients, in order, and counters [2] (products.h)."""

    def integers(count: int) -> Tensor:
        return torch.empty(count, dtype=torch.int32, device=device)

    segments = parts(samples.count, SEGMENT)
    bits, counts, active = integers(32 * segments), integers(segments), integers(samples.count)
    counters = torch.zeros(2, dtype=torch.int32, device=device)
    blocks = parts(segments, 4)
    launch("mlp_backward", "jean_mlp_choose", blocks, samples, to_density, to_rgb, bits, counts, counters)
    launch("mlp_backward", "jean_mlp_list", blocks, samples.count, bits, counts, active)
    return active, counters


def _products(field: Mlp, gradients: Sequence[Tensor]) -> tuple[int, list[Product]]:
    """Number of rows of a scratch tile, and the gradients as products of rows; mlp_backward.cu writes these rows."""
    layers = field.layers
    weights, biases, ends = gradients[:layers], gradients[layers : 2 * layers], gradients[2 * layers :]
    values, row = [], ENCODED
    for weight in weights:
        values.append(row)
        row += len(weight)
    end, products = row, []
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        flow, outputs = end + 4 + values[index] - ENCODED, len(weight)
        encoded = index in (0, field.join)
        if encoded:
            products.append(Product(flow, outputs, 0, ENCODED, weight, encoded=True))
        if index:
            before, offset = values[index - 1], ENCODED_INPUTS if encoded else 0
            products.append(Product(flow, outputs, before, len(weights[index - 1]), weight, offset))
        products.append(Product(flow, outputs, None, bias.numel() // outputs, bias))
    density, density_bias, rgb, rgb_bias = ends
    products.append(Product(end + 3, 1, values[field.trunk - 1], WIDE, density))
    products.append(Product(end + 3, 1, None, 1, density_bias))
    products.append(Product(end, 3, values[-1], NARROW, rgb))
    products.append(Product(end, 3, None, 1, rgb_bias))
    return 2 * end + 4 - ENCODED, products
