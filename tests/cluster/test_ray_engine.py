"""The Ray engine on clusters of several nodes on this machine, which the tests start and stop themselves."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

import jean
from jean.cluster.ray_engine import RayEngine
from jean.errors import JeanError, SetupError
from jean.jobs.run import run_jobs
from jean.progress import Silent
from tests.cluster.tasks import CannotStart, Square
from tests.jobs.test_run import Upper, UpperConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def only_one(tmp_path_factory):
    """Keeps other processes of the same test run from starting a cluster: Ray finds every cluster of the machine."""
    with FileLock(tmp_path_factory.getbasetemp().parent / "ray.lock"):
        yield


@pytest.fixture(scope="module")
def cluster(only_one):
    """Two nodes: the head with one core, and one with two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT}")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray = pytest.importorskip("ray")
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        made.extra = made.add_node(num_cpus=2)
        made.wait_for_nodes()
        yield made
        ray.shutdown()
        made.shutdown()


def outcomes(engine, task, items):
    done = list(engine.run(task, items, "work", Silent()))
    assert len({each.index for each in done}) == len(done)
    return {each.index: each for each in done}


def test_items_run_on_all_nodes_with_failures_beside_results(cluster, tmp_path) -> None:
    engine = RayEngine(cluster.address)
    assert engine.count == 3
    found = outcomes(engine, Square(bad=(3,), defect=(5,), folder=tmp_path, pause_s=0.05), range(30))
    assert {n: found[n].output for n in range(30)} == {n: None if n in (3, 5) else n * n for n in range(30)}
    assert found[3].error.exit_code == 3 and "ZeroDivisionError" in str(found[5].error)
    assert len(list(tmp_path.glob("worker-*"))) == 3


def test_a_killed_worker_costs_a_try_of_its_item(cluster, tmp_path) -> None:
    found = outcomes(RayEngine(cluster.address), Square(deadly=(2,), folder=tmp_path), range(12))
    assert [found[n].output for n in range(12)] == [n * n for n in range(12)]
    (tmp_path / "again").mkdir()
    found = outcomes(RayEngine(cluster.address), Square(deadly=(2,), times=9, folder=tmp_path / "again"), range(4))
    assert [found[n].output for n in range(4)] == [0, 1, None, 9]
    assert "worker was lost" in str(found[2].error)


def test_a_task_that_cannot_start_ends_the_work(cluster) -> None:
    with pytest.raises(SetupError, match="weights are missing"):
        outcomes(RayEngine(cluster.address), CannotStart(), range(4))


def test_workers_that_end_before_they_start_end_the_work(cluster) -> None:
    """As on machines without jean."""
    with pytest.raises(SetupError, match=r"end before they have started: .*Install the same jean"):
        outcomes(RayEngine(cluster.address), CannotStart(ends=True), range(4))


def test_another_version_on_a_worker_is_refused(cluster, monkeypatch) -> None:
    monkeypatch.setattr(jean, "__version__", "99.0")
    with pytest.raises(SetupError, match=r"the driver has jean 99\.0, a worker on .* has "):
        outcomes(RayEngine(cluster.address), Square(), range(2))


def test_more_than_the_cluster_has_is_refused(cluster) -> None:
    with pytest.raises(SetupError, match="a worker needs 64 and 0"):
        RayEngine(cluster.address, cpus=64)


def test_jobs_of_a_table_run_on_the_cluster_once(cluster, tmp_path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text(f"text {number}")
    lines = [f"{number}.out,{number}.txt" for number in range(12)]
    (tmp_path / "jobs.csv").write_text("\n".join(["output,text", *lines, "absent.out,absent.txt"]))
    place = UpperConfig(jobs=tmp_path / "jobs.csv", cluster=cluster.address)
    for _ in range(2):
        with pytest.raises(JeanError, match=r"1 of 13 jobs failed, first .*absent\.out: .* does not exist") as error:
            run_jobs(Upper(UpperConfig(), tmp_path / "log"), place, tmp_path / "out", Silent())
        assert error.value.exit_code == 3 and error.value.facts["done"] == 12
    assert [(tmp_path / f"out/{n}.out").read_text() for n in range(12)] == [f"TEXT {n}" for n in range(12)]
    assert sorted((tmp_path / "log").read_text().split()) == sorted(f"{n}.out" for n in range(12))


def test_a_lost_node_and_a_killed_worker_lose_nothing(cluster, tmp_path) -> None:
    """While items run, kill -9 ends a worker, and a node disappears."""
    engine = RayEngine(cluster.address)
    assert engine.count == 3
    disturbed_at: list[float] = []

    def disturb() -> None:
        while len(pids := [int(path.name.split("-")[1]) for path in tmp_path.glob("worker-*")]) < 3:
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(pids[0], signal.SIGKILL)
        disturbed_at.append(time.monotonic())
        time.sleep(0.5)
        cluster.remove_node(cluster.extra)
        disturbed_at.append(time.monotonic())

    disturber = threading.Thread(target=disturb)
    disturber.start()
    found = outcomes(engine, Square(folder=tmp_path, pause_s=0.05), range(400))
    ended_at = time.monotonic()
    disturber.join()
    assert len(disturbed_at) == 2 and max(disturbed_at) < ended_at
    assert [found[n].output for n in range(400)] == [n * n for n in range(400)]
