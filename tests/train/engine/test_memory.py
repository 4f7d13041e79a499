"""Memory that stays with the process while training."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from jean.train.engine import memory


def test_objects_are_left_out_of_collections_only_within():
    with memory.settled_memory():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_they_are_let_in_again_after_an_error():
    with pytest.raises(KeyError), memory.settled_memory():
        raise KeyError
    assert gc.get_freeze_count() == 0


@pytest.mark.skipif(memory._mallopt() is None, reason="not glibc")
def test_freed_memory_is_not_asked_for_again():
    code = """
import resource, torch
from contextlib import nullcontext
from jean.train.engine.memory import settled_memory
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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    settled, plain = map(int, done.stdout.split())
    assert settled < plain / 4
