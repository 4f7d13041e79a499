"""Which kernels this machine can exercise; the suite says so once."""

from __future__ import annotations

import pytest

from jean.render import native

PATHS = native.targets() or ["portable"]  # without the library each test fails, none is skipped


@pytest.fixture(params=PATHS)
def path(request) -> str:
    """Every instruction set that the library and the processor have."""
    return request.param
