"""Instruction sets of this machine, as parameters of tests."""

from __future__ import annotations

import pytest

from jean.kernels import library

PATHS = library.targets() or ["portable"]  # without the library each test fails, none is skipped
BF16_PATHS = [
    pytest.param(
        name, marks=[] if name in library.bf16_targets() else pytest.mark.skip(f"this processor has no {name}")
    )
    for name in library.BF16_TARGETS
]


@pytest.fixture(params=PATHS)
def path(request) -> str:
    """Each instruction set of both the library and the processor."""
    return request.param


@pytest.fixture(params=BF16_PATHS)
def bf16_path(request) -> str:
    """Each instruction set for bf16; skipped if the processor lacks it."""
    return request.param
