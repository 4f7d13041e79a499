"""Gradients of matrices on a GPU: sums of products over samples (``csrc/cuda/products.cu``)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MAX_PRODUCTS = 40
PARTIAL_SUMS = 16  # each over a part of the samples; added up in a fixed order, so that all GPUs give the same bits
SCRATCH_BYTES = 320 << 20  # two rounds of all warps of an H200; more samples need further rounds
_EDGE = 64  # rows and columns of the result per warp, products.cu
_INT, _LONG, _POINTER = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p


class _Product(ctypes.Structure):
    """``JeanProduct``."""

    _fields_ = [
        *[(name, _INT) for name in ("flow", "rows", "values", "columns", "step", "encoded")],
        ("sum", _LONG),
        ("out", _POINTER),
    ]


class Products(ctypes.Structure):
    """``JeanProducts``."""

    _fields_ = [
        *[(name, _INT) for name in ("count", "shares")],
        *[(name, _LONG) for name in ("tile_words", "sums", "samples")],
        *[(name, _POINTER) for name in ("scratch", "counters", "shared")],
        ("product", _Product * MAX_PRODUCTS),
    ]


@dataclass(frozen=True)
class Product:
    """The gradient of one matrix as a product of rows of the scratch memory, summed over samples.

    Attributes:
        flow: first row of the gradients of the layer's outputs.
        rows: number of outputs.
        values: first row of the layer's inputs; None for biases, whose columns are frames.
        columns: number of inputs, or of frames.
        out: gradient [rows, step], written from column ``offset`` on; for biases [columns, rows].
        offset: first column in ``out``.
        encoded: the inputs are an encoding, whose rows have another order.
    """

    flow: int
    rows: int
    values: int | None
    columns: int
    out: Tensor
    offset: int = 0
    encoded: bool = False


@dataclass(frozen=True)
class Format:
    """Format of the factors of matrix products.

    Attributes:
        name: "half" (bf16, or fp16 before sm_80) or "single".
        words: 32-bit words for four samples (formats.h).
        threads: per block in the kernels of the paper's field (mlp_layers.h).
    """

    name: str
    words: int
    threads: int


FORMATS = {"half": Format("half", 2, 128), "single": Format("single", 4, 64)}


def tile_words(rows: int, kind: Format) -> int:
    """32-bit words of a scratch tile of 32 samples: ``rows`` rows, and the samples' frames."""
    return rows * 8 * kind.words + 32


def multiply(
    products: Sequence[Product],
    rows: int,
    samples: int,
    counters: Tensor | None,
    kind: Format,
    device: torch.device,
    launch: Any,
    fill: Callable[[Tensor, int, int], None],
) -> None:
    """Computes all gradients, in rounds of as many samples as the scratch memory holds.

    The number of rounds depends on the number of samples alone.

    Args:
        products: the gradients.
        rows: of a scratch tile.
        samples: at most.
        counters: [2] int32, number of samples and their scale (products.h); None: ``samples``, not scaled.
        kind: format of the factors.
        device: the GPU.
        launch: see ``jean.kernels.cuda.launch.Launcher``.
        fill: writes the tiles of a round: (scratch, first tile, number of tiles).
    """
    tiles, words = -(-samples // 32), tile_words(rows, kind)
    room = min(tiles, max(1, SCRATCH_BYTES // (4 * words)))
    call = Products(len(products), min(PARTIAL_SUMS, tiles), words)
    call.samples = samples
    warps = 0
    for index, product in enumerate(products):
        entry = call.product[index]
        entry.flow, entry.rows, entry.columns = product.flow, product.rows, product.columns
        entry.values = -1 if product.values is None else product.values
        entry.step, entry.encoded, entry.sum = product.out.shape[-1], int(product.encoded), call.sums
        entry.out = product.out.data_ptr() + 4 * product.offset
        call.sums += product.rows * product.columns
        warps += -(-product.rows // _EDGE) * -(-product.columns // _EDGE)
    scratch = torch.empty(room, words, dtype=torch.int32, device=device)
    shared = torch.empty(call.shares, call.sums, device=device)
    call.scratch, call.shared = scratch.data_ptr(), shared.data_ptr()
    call.counters = None if counters is None else counters.data_ptr()
    for first in range(0, tiles, room):
        count = min(room, tiles - first)
        fill(scratch, first, count)
        launch("products", f"jean_products_{kind.name}", -(-warps * call.shares // 4), call, first, count)
    launch("products", "jean_products_gather", (16, len(products)), call)
