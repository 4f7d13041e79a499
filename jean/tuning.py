"""Process-wide settings that make training faster without changing its results.

They belong to the process, not to a model, so nothing here acts on import:

- ``limit_idle_spinning`` must be called before torch is imported. The command line calls it. A program that uses the
  library calls it at its start, or sets ``GOMP_SPINCOUNT`` itself.
- ``settled_memory`` is a context manager. Every training of the library runs inside it and undoes it at its end.
- ``return_freed_memory`` is called between two phases of a command, of which the first takes much memory.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Iterations of the waiting loop of an idle OpenMP thread before it sleeps: some microseconds. By default, libgomp waits
# a few milliseconds, as long as a kernel takes.
_SPIN_COUNT = "3000"

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt, malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20  # bytes; the largest value that glibc accepts on 64-bit systems
_DEFAULT_THRESHOLD = 128 << 10  # bytes; glibc's default of both thresholds
_NEVER_TRIM = 2**31 - 1  # bytes; the largest int


def limit_idle_spinning() -> None:
    """Makes torch's idle OpenMP threads sleep after microseconds instead of milliseconds.

    While they spin, they take CPU cores from the threads of the compiled kernels. libgomp, which comes with torch,
    reads the setting once, when torch is imported. Nothing changes if the user has set ``GOMP_SPINCOUNT`` or
    ``OMP_WAIT_POLICY``.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)


@contextmanager
def settled_memory() -> Iterator[None]:
    """Keeps freed memory in the process, and excludes existing objects from garbage collection.

    Each training step allocates and frees the same tens of megabytes. By default, glibc returns them to the system each
    time, and the system clears them again page by page: a tenth of a step. Python's collector would also visit the
    objects of all imported modules every few steps.

    On exit, glibc's thresholds have their default values and the collector sees all objects again. The peak memory is
    the same. Other C libraries are left as they are.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if libc is not None:
            libc.mallopt(_M_MMAP_THRESHOLD, _DEFAULT_THRESHOLD)
            libc.mallopt(_M_TRIM_THRESHOLD, _DEFAULT_THRESHOLD)
            libc.malloc_trim(0)


def return_freed_memory() -> None:
    """Returns freed memory to the system, which glibc otherwise keeps for later allocations."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library of the process if it is glibc, which has ``mallopt``; None otherwise."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
