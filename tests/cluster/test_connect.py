"""Connecting to a Ray cluster that is not there or not the same, with a stand-in for Ray."""

from __future__ import annotations

import builtins
import sys
from types import SimpleNamespace

import pytest

from jean.cluster.ray_engine import RayEngine
from jean.errors import SetupError


def stand_in(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None, cpus: float = 4, gpus: float = 0) -> None:
    def init(**options: object) -> None:
        if error is not None:
            raise error

    resources = {"CPU": cpus, "GPU": gpus}
    ray = SimpleNamespace(is_initialized=lambda: False, init=init, cluster_resources=lambda: resources)
    monkeypatch.setitem(sys.modules, "ray", ray)


def test_both_versions_are_named(monkeypatch) -> None:
    text = (
        "Version mismatch: The cluster was started with:\n    Ray: 2.1.0\n    Python: 3.9.1\nThis process was started"
    )
    stand_in(monkeypatch, RuntimeError(f"{text} with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"))
    with pytest.raises(SetupError) as error:
        RayEngine("auto")
    assert error.value.exit_code == 5 and "\n" not in str(error.value)
    for word in ("2.1.0", "3.9.1", "2.60.0", "3.11.7", "jean[cluster]"):
        assert word in str(error.value)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_nobody_listens(monkeypatch, address) -> None:
    stand_in(monkeypatch)
    with pytest.raises(SetupError, match="no Ray cluster at"):
        RayEngine(address)


def test_no_cluster_on_this_machine(monkeypatch) -> None:
    stand_in(monkeypatch, ConnectionError("no address"))
    with pytest.raises(SetupError, match=r"no Ray cluster at auto\. Start one"):
        RayEngine("auto")


def test_ray_is_missing(monkeypatch) -> None:
    real = builtins.__import__
    monkeypatch.delitem(sys.modules, "ray", raising=False)

    def without(name, *rest, **options):
        if name == "ray":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SetupError, match=r"package ray is missing.*jean\[cluster\]"):
        RayEngine("auto")


def test_ray_does_not_print_on_standard_output(monkeypatch, capsys) -> None:
    """Ray tells there about lost workers, beside the document of ``--json``."""
    stand_in(monkeypatch)
    internals = SimpleNamespace(print_to_stdstream=lambda data, ignore_prefix: print(data))
    sys.modules["ray"]._private = SimpleNamespace(worker=internals)
    RayEngine("auto")
    internals.print_to_stdstream({"lines": ["a worker died"]}, ignore_prefix=False)
    assert capsys.readouterr().out == ""


def test_workers_are_as_many_as_the_cluster_has_room_for(monkeypatch) -> None:
    stand_in(monkeypatch, cpus=8, gpus=1)
    assert RayEngine("auto").count == 8 and RayEngine("auto", most=3).count == 3
    assert RayEngine("auto", gpus=0.25).count == 4 and RayEngine("auto", cpus=3).count == 2
    with pytest.raises(SetupError, match="8 CPUs and 1 GPUs, a worker needs 1 and 2"):
        RayEngine("auto", gpus=2)
