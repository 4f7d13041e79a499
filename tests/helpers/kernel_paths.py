"""Which kernels this machine can exercise; the suite says so once."""

from __future__ import annotations

import pytest

from jean.kernels import library

PATHS = library.targets() or ["portable"]  # without the library each test fails, none is skipped
HALF_PATHS = [
    pytest.param(
        name, marks=[] if name in library.half_targets() else pytest.mark.skip(f"this processor has no {name}")
    )
    for name in library.HALF_TARGETS
]


@pytest.fixture(params=PATHS)
def path(request) -> str:
    """Every instruction set that the library and the processor have."""
    return request.param


@pytest.fixture(params=HALF_PATHS)
def half_path(request) -> str:
    """Every instruction set for bf16 that there are kernels for; skipped where the processor has it not."""
    return request.param
