"""Memory while training: kept from step to step, and not searched for garbage that cannot be there."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt's names for them, malloc.h
_LARGEST_THRESHOLD = 32 << 20  # the largest that glibc takes on 64-bit systems
_DEFAULT_THRESHOLD = 128 << 10


@contextmanager
def settled_memory() -> Iterator[None]:
    """Within, freed memory stays with the process, and what is there at the start is left out of collections.

    Each step takes and frees the same tens of megabytes. glibc would give them back to the system each time, and the
    system clear them page by page again: a tenth of a step. And Python's collector would go through the objects of
    all imported modules every few steps. Afterwards both are as they were by default. No effect on the memory's peak,
    and none at all on other C libraries.
    """
    keep = _mallopt()
    if keep is not None:
        keep.mallopt(_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
        keep.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if keep is not None:
            keep.mallopt(_MMAP_THRESHOLD, _DEFAULT_THRESHOLD)
            keep.mallopt(_TRIM_THRESHOLD, _DEFAULT_THRESHOLD)
            keep.malloc_trim(0)


def _mallopt() -> ctypes.CDLL | None:
    """The C library if it is one that has ``mallopt`` and heeds it."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
