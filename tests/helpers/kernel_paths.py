"""Fixtures that run a test once per instruction set of this CPU."""

from __future__ import annotations

import pytest

from jean.kernels import library

PATHS = library.targets() or ["portable"]  # without the library the tests fail instead of being skipped
BF16_PATHS = [
    pytest.param(name, marks=[] if name in library.bf16_targets() else pytest.mark.skip(f"this CPU has no {name}"))
    for name in library.BF16_TARGETS
]


@pytest.fixture(params=PATHS)
def path(request) -> str:
    """Each instruction set that the library was built for and the CPU has."""
    return request.param


@pytest.fixture(params=BF16_PATHS)
def bf16_path(request) -> str:
    """Each instruction set with bf16; skipped if the CPU lacks it."""
    return request.param
