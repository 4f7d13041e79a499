"""Gradients of matrices on a card: sums of products over samples (``csrc/cuda/products.cu``)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MAX_PRODUCTS = 40
SHARES = 16  # of the samples: sums are made for each and then added up, in this order on every card
SCRATCH_BYTES = 320 << 20  # for two rounds of all warps of an H200; samples beyond it go in a further round
_EDGE = 64  # products.cu: a warp makes so many rows and columns
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
    """A gradient as a product of rows of the scratch memory.

    Attributes:
        flow: first row of what flows back; rows: how many.
        values: first row of what the layer read, or None: columns are frames (biases).
        columns: inputs, or frames.
        out: [rows, step] from column ``offset`` on, or [columns, rows] where columns are frames.
        encoded: inputs are an encoding, whose places have another order.
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
    """How factors are held: ``half`` (bf16, fp16 before sm_80) or ``single``.

    Attributes:
        words: of four samples (formats.h).
        threads: of a block of the kernels of the paper's field (mlp_layers.h).
    """

    name: str
    words: int
    threads: int


FORMATS = {"half": Format("half", 2, 128), "single": Format("single", 4, 64)}


def tile_words(rows: int, kind: Format) -> int:
    """Words of 32 samples' scratch: so many rows, and the samples' frames."""
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
    """Makes all gradients, in rounds of as many samples as the scratch memory holds; the rounds' number depends on the
    number of samples alone.

    Args:
        rows: of a tile of the scratch.
        counters: [2] int32, how many samples there are and what scales them (products.h), or None: ``samples``.
        launch: see ``jean.kernels.cuda.launch.Launcher``.
        fill: (scratch, first tile, tiles) lays down tiles of a round.
    """
    tiles, words = -(-samples // 32), tile_words(rows, kind)
    room = min(tiles, max(1, SCRATCH_BYTES // (4 * words)))
    call = Products(len(products), min(SHARES, tiles), words)
    call.samples = samples
    warps = 0
    for index, product in enumerate(products):
        made = call.product[index]
        made.flow, made.rows, made.columns = product.flow, product.rows, product.columns
        made.values = -1 if product.values is None else product.values
        made.step, made.encoded, made.sum = product.out.shape[-1], int(product.encoded), call.sums
        made.out = product.out.data_ptr() + 4 * product.offset
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
