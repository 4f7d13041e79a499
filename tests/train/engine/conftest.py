"""Processes that train the tiny stage, and the outcome of an undisturbed run."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.tiny_stage import Processes, outcome


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """One thread, as in ``Processes``: the last bit of a sum depends on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="package")
def processes():
    server = Processes()
    yield server
    server.close()


@pytest.fixture(scope="package")
def whole(processes, tmp_path_factory):
    """The outcome of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert processes.run(folder) == 0
    return outcome(folder)
