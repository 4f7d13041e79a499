"""The paper's field on a card: values and gradients by ``csrc/cuda/mlp.cu``, ``mlp_backward.cu``, ``products.cu``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jean.kernels import structures
from jean.kernels.cuda.launch import Launcher, parts
from jean.kernels.cuda.products import FORMATS, Format, Product, multiply, tile_words
from jean.kernels.structures import Mlp

WIDE, NARROW = 128, 64  # mlp_layers.h: widths of the trunk's and of the branch's layers
ENCODED, ENCODED_INPUTS = 64, 63
SEGMENT = 1024  # mlp_backward.cu


def launch_mlp(
    field: Mlp,
    samples: structures.Samples,
    device: torch.device,
    kind: str,
    thrifty: bool = False,
    launcher: Any = None,
) -> None:
    """Fills densities, and colours where they are wanted.

    Args:
        field, samples: on the card.
        kind: "half" or "single", of ``jean.kernels.cuda.products.FORMATS``: how factors of products are held.
        thrifty: colours are zero where 32 neighbours have no density; pictures do not show them.
        launcher: see ``Launcher``.

    Raises:
        ValueError: what the kernels are not made for.
    """
    _require(field)
    if samples.count:
        launch, form = launcher or Launcher(device), FORMATS[kind]
        packed = _packed(field, form, device, launch, False)
        blocks = parts(samples.count, form.threads)
        launch("mlp", f"jean_mlp_{kind}", blocks, field, samples, packed, int(thrifty), threads=form.threads)


def launch_mlp_backward(
    field: Mlp,
    samples: structures.Samples,
    to_density: Tensor,
    to_rgb: Tensor,
    made: Sequence[Tensor],
    to_positions: Tensor | None,
    kind: str,
    launcher: Any = None,
) -> None:
    """Fills gradients; the same samples give the same bits.

    Args:
        samples: as ``launch_mlp`` has filled them.
        to_density, to_rgb: gradients, [N] and [N, 3].
        made: of weights, biases and ends, of their shapes, to be filled.
        to_positions: [N, 3] of zeros, or None where they are not wanted.
    """
    _require(field)
    if samples.count == 0:
        for tensor in made:
            tensor.zero_()
        return
    device, form, count = to_density.device, FORMATS[kind], samples.count
    launch = launcher or Launcher(device)
    packed, turned = (_packed(field, form, device, launch, way) for way in (False, True))
    chosen, counters = _choose(samples, to_density, to_rgb, device, launch)
    rows, products = _products(field, made)
    words = tile_words(rows, form)

    def fill(scratch: Tensor, first: int, tiles: int) -> None:
        given = (field, samples, to_density, to_rgb, chosen, counters, packed, turned, scratch, words, first, tiles)
        blocks = parts(32 * tiles, form.threads)
        launch("mlp_backward", f"jean_mlp_back_{kind}", blocks, *given, to_positions, threads=form.threads)

    multiply(products, rows, count, counters, form, device, launch, fill)


def _require(field: Mlp) -> None:
    layers = field.layer[: field.layers]
    widths = [layer.outputs for layer in layers]
    if widths != [WIDE] * field.trunk + [NARROW] * (field.layers - field.trunk) or field.layers <= field.trunk + 1:
        raise ValueError(f"kernels for layers of {WIDE} and then at least two of {NARROW} outputs only, not {widths}")
    pointers = [layer.bias for layer in layers] + [field.density, field.rgb]
    if any(pointer % 16 for pointer in pointers):
        raise ValueError("biases and heads have to lie at multiples of 16 bytes")  # the kernels read so many at once


def _packed(field: Mlp, form: Format, device: torch.device, launch: Any, turned: bool) -> Tensor:
    """All weights as the kernels read them; encodings are padded from 63 to 64."""
    weights = sum((layer.inputs + layer.inputs % 2) * layer.outputs for layer in field.layer[: field.layers])
    packed = torch.empty(weights * form.words // 4, dtype=torch.int32, device=device)
    launch("mlp", f"jean_mlp_pack_{form.name}", (8, field.layers), field, int(turned), packed)
    return packed


def _choose(
    samples: structures.Samples, to_density: Tensor, to_rgb: Tensor, device: torch.device, launch: Any
) -> tuple[Tensor, Tensor]:
    """Numbers of the samples through which anything flows, in order, and counters [2] (products.h)."""

    def integers(count: int) -> Tensor:
        return torch.empty(count, dtype=torch.int32, device=device)

    segments = parts(samples.count, SEGMENT)
    bits, counts, chosen = integers(32 * segments), integers(segments), integers(samples.count)
    counters = torch.zeros(2, dtype=torch.int32, device=device)
    blocks = parts(segments, 4)
    launch("mlp_backward", "jean_mlp_choose", blocks, samples, to_density, to_rgb, bits, counts, counters)
    launch("mlp_backward", "jean_mlp_list", blocks, samples.count, bits, counts, chosen)
    return chosen, counters


def _products(field: Mlp, made: Sequence[Tensor]) -> tuple[int, list[Product]]:
    """Rows of a tile of the scratch, and gradients as products of them; rows are those of mlp_backward.cu."""
    layers = field.layers
    weights, biases, ends = made[:layers], made[layers : 2 * layers], made[2 * layers :]
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
