"""A folder of weights and a register of the test's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jean.weights import store as weights

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "my models"
    monkeypatch.setenv("JEAN_MODELS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    path = tmp_path / "weights.json"
    path.write_text("{}")
    monkeypatch.setattr(weights, "REGISTER", path)

    def _add(name: str, *urls: str, restricted: bool = False, **facts: object) -> str:
        known = json.loads(path.read_text())
        known[name] = {
            "command": "test",
            "used_by": "a test",
            "licence": "CC BY-NC 4.0" if restricted else "MIT",
            "restricted": restricted,
            "bytes": len(CONTENT),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "urls": urls,
            **facts,
        }
        path.write_text(json.dumps(known))
        return name

    return _add
