"""Fixtures that every test file may use."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from jean import tuning

pytest_plugins = ["tests.helpers.fault_report"]
ROOT = Path(__file__).resolve().parents[1]

if "PYTEST_XDIST_WORKER" in os.environ:  # the processes of ``make test`` share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # as in processes of pytest-xdist and in the background; the commands that tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps weights and caches of the developer's account out of the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("JEAN_MODELS", raising=False)


@pytest.fixture(scope="session", autouse=True)
def collect_young_objects_only() -> Iterator[None]:
    """Every training collects garbage before its first step. In tests it skips the many objects of imported modules."""
    with pytest.MonkeyPatch.context() as patch:
        young = SimpleNamespace(collect=partial(gc.collect, 1), freeze=gc.freeze, unfreeze=gc.unfreeze)
        patch.setattr(tuning, "gc", young)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real clips (``data/``) and weights (``models/``); skips where there is none.

    It is ``$JEAN_TEST_DATA``, or ``shared`` beside the checkout. Read-only: copy what you change.
    """
    folder = Path(os.environ.get("JEAN_TEST_DATA") or ROOT.parent / "shared")
    if not (folder / "data").is_dir():
        pytest.skip("real clips are not beside the project: set JEAN_TEST_DATA to a folder with data/ and models/")
    return folder


@pytest.fixture
def shared_models(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of real weights, set as ``$JEAN_MODELS``; skips where there is none."""
    monkeypatch.setenv("JEAN_MODELS", str(shared_data / "models"))
    return shared_data / "models"
