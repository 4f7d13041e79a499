"""Fixtures of the metrics' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import made_weights


@pytest.fixture(scope="session")
def made_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made models")


@pytest.fixture
def models(made_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Installs small random weights for all metrics."""
    return made_weights.install(made_models, monkeypatch)
