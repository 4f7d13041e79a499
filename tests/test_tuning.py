"""Process-wide tuning: frozen objects, memory kept between steps, the spin count of idle threads."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from jean import tuning


def test_existing_objects_are_frozen_inside_the_context_only():
    with tuning.settled_memory():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_objects_are_unfrozen_after_an_error():
    with pytest.raises(KeyError), tuning.settled_memory():
        raise KeyError
    assert gc.get_freeze_count() == 0


@pytest.mark.skipif(tuning._glibc() is None, reason="not glibc")
def test_freed_memory_stays_in_the_process():
    code = """
import resource, torch
from contextlib import nullcontext
from jean.tuning import settled_memory
def faults(context):
    with context:
        for step in range(30):
            if step == 10:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            one, two = torch.ones(2 << 20), torch.ones(3 << 20)
            del one, two
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
settled = faults(settled_memory())
print(settled, faults(nullcontext()))
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    settled, plain = map(int, process.stdout.split())
    assert settled < plain / 4


@pytest.mark.parametrize(
    ("user", "count"),
    [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, None)],
)
def test_the_spin_count_respects_the_users_settings(monkeypatch, user, count):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that the test also undoes what the function sets
        monkeypatch.delenv(name)
    for name, value in user.items():
        monkeypatch.setenv(name, value)
    tuning.limit_idle_spinning()
    assert os.environ.get("GOMP_SPINCOUNT") == count


def test_tuning_imports_neither_torch_nor_numpy():
    code = "import sys, jean.tuning; print({'torch', 'numpy'} & set(sys.modules))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "set()"
