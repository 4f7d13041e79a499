"""Interrupts a training at a chosen step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from jean.errors import Interrupted


@contextmanager
def interrupted_at(stage: type, step: int) -> Iterator[None]:
    """Raises ``KeyboardInterrupt`` before optimisation step ``step`` of ``stage``, and expects the training to stop."""
    original: Callable[..., Any] = stage.step  # type: ignore[attr-defined]

    def stopping_step(self: Any, number: int) -> Any:
        if number == step:
            raise KeyboardInterrupt
        return original(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "step", stopping_step)
        with pytest.raises((Interrupted, KeyboardInterrupt)):
            yield
