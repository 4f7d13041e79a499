"""``--memory``: sizes, the limit of a process, and the number and shares of several processes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from jean import memory
from jean.cluster.local import InProcess, Processes
from jean.cluster.select import engine_for
from jean.errors import SetupError, UsageError
from jean.memory import bytes_of, current_limit, limited_to, processes_within, share_of
from jean.progress import Silent
from tests.cluster.tasks import Limits

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux enforces the limit")
GB = 10**9


@pytest.mark.parametrize(
    ("text", "count"), [("4GB", 4 * GB), (" 800 mb ", 800 * 10**6), ("1.5GiB", 3 * 2**29), ("2g", 2 * GB)]
)
def test_sizes_are_read(text, count):
    assert bytes_of(text) == count


@pytest.mark.parametrize("text", ["", "4", "GB", "-4GB", "4TB", "nan GB", "1e9GB", "499MB", "0GB", "4GB 2GB"])
def test_other_texts_are_refused(text):
    with pytest.raises(UsageError, match="--memory"):
        bytes_of(text)


def reserved_bytes() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData"))
    return 1024 * int(line.split()[1])


@linux
def test_allocations_beyond_the_limit_fail_inside_the_context_only():
    before = current_limit()
    with limited_to(reserved_bytes() + 64 * 2**20):
        np.ones(2**20)
        with pytest.raises(MemoryError):
            np.ones(2**25)
    assert current_limit() == before and np.ones(2**25).all()
    with limited_to(None):
        assert current_limit() == before


@linux
def test_no_more_than_the_system_allows(monkeypatch):
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda which: (GB, GB))
    with pytest.raises(SetupError, match=r"allows 1,000,000,000 bytes"):
        with limited_to(2 * GB):
            pass
    assert current_limit() == GB


def test_another_system_is_named_as_the_cause(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert current_limit() is None
    with pytest.raises(SetupError, match="Leave --memory away"):
        with limited_to(GB):
            pass


def test_processes_and_their_shares_fit_into_the_limit():
    for limit in range(GB, 40 * GB, GB // 2):
        count = processes_within(16, limit)
        assert 1 <= count <= 16
        assert count == 1 or (share_of(limit, count) >= memory.WORKER_BYTES)
        assert memory.PARENT_BYTES + count * share_of(limit, count) <= limit
    assert processes_within(16, None) == 16 and share_of(None, 16) is None
    assert processes_within(16, 40 * GB) == 16


def test_the_limit_decides_the_number_of_workers_unless_it_is_given(monkeypatch):
    monkeypatch.setattr("jean.cluster.select.core_count", lambda: 8)
    monkeypatch.setattr("jean.cluster.select.current_limit", lambda: 5 * GB)
    assert engine_for(None, None, 100).count == 2
    assert engine_for(4, None, 100).count == 4
    assert isinstance(engine_for(None, None, 1), InProcess)
    with pytest.raises(UsageError, match="--memory"):
        engine_for(None, "auto", 100)


@linux
def test_every_worker_has_its_share(monkeypatch):
    monkeypatch.setattr("jean.cluster.local.current_limit", lambda: 5 * GB)
    done = list(Processes(2, limit_threads=False).run(Limits(), range(3), "limits", Silent(), 3))
    assert {each.output for each in done} == {(5 * GB - memory.PARENT_BYTES) // 2}
