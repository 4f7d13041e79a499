"""Training by several ranks: the weights of one rank, who writes, resuming, ranks that end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from jean.checkpoint import load_checkpoint
from jean.environment import pick_device
from jean.errors import SetupError, UsageError
from jean.launch import rank_count, rank_index
from jean.train.engine import ranks
from jean.train.nerf.batch import RayBatch
from tests.helpers.rank_trainings import make_data, train

ROOT = Path(__file__).resolve().parents[3]
# no softmax depends on the bias of its keys: the gradient is rounding, which Adam enlarges
WITHOUT_GRADIENT = "in_proj_bias"


def start(command: list[str], count: int = 2) -> list[subprocess.Popen]:
    """Starts ranks as ``torchrun`` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = os.environ | {"PYTHONPATH": f"{ROOT}", "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    common |= {"MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [
        subprocess.Popen(
            [sys.executable, "-m", *command],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=ROOT,
            **pipes,
        )
        for rank in range(count)
    ]


def finish(processes: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each."""
    answers = [process.communicate(timeout=500) for process in processes]
    return [(process.returncode, *answer) for process, answer in zip(processes, answers, strict=True)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("ranks"))


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def as_rank(monkeypatch):
    """Sets the number of ranks and of this one, without connections."""

    def pretend(index: int, count: int) -> None:
        monkeypatch.setattr(ranks, "index", lambda: index)
        monkeypatch.setattr(ranks, "count", lambda: count)

    return pretend


def compare(data: Path, folder: Path, names: list[str], others: tuple[str, ...] = ()) -> None:
    """Trains by two ranks and by one, whose batch is therefore twice as large; the weights must agree to 1e-5.

    Root mean square per tensor: where the gradient of a single weight is near zero, Adam enlarges rounding.
    ``rank_trainings`` also compares the weights of the two ranks before every save.
    """
    module = ["tests.helpers.rank_trainings", str(data), str(folder / "two"), *names, *others]
    assert [(code, error) for code, _, error in finish(start(module)) if code] == []
    for name in names:
        train(name, data, folder / "one" / name)
        one, two = (load_checkpoint(folder / kind / name) for kind in ("one", "two"))
        assert (one.payload["ranks"], two.payload["ranks"]) == (1, 2) and one.step == two.step == 50
        a, b = load_file(one.tensors_path), load_file(two.tensors_path)
        weights = [
            key for key in a if key.split("/")[0] in ("model", "training") and not key.endswith(WITHOUT_GRADIENT)
        ]
        assert weights
        for key in weights:
            first, second = a[key].double(), b[key].double()
            assert (first - second).square().mean().sqrt() <= 1e-5, (name, key)


def test_two_ranks_train_the_weights_of_one_rank_with_twice_the_batch(data, tmp_path, one_thread):
    compare(data, tmp_path, ["landmarks"])


@pytest.mark.slow
def test_so_do_the_other_stages_without_own_random_numbers(data, tmp_path, one_thread):
    compare(data, tmp_path, ["fast", "audio", "expression"], ("motion:5", "lips:3"))


@pytest.mark.slow
def test_the_command_under_torchrun_prints_once_and_resumes_on_one_rank(data, tmp_path):
    def command(steps: int) -> list[str]:
        corpus, run = str(data / "corpus"), str(tmp_path / "run")
        return ["jean_cli", "train-landmarks", corpus, "-o", run, "--steps", str(steps), "--json", "--device", "cpu"]

    first, second = finish(start(command(6)))
    assert (first[0], second[0]) == (0, 0) and '"steps": 6' in first[1] and second[1] == "" and second[2] == ""
    alone = subprocess.run(
        [sys.executable, "-m", *command(8)], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert "resuming at step 6" in alone.stderr and "by 2 ranks until here and is now by 1" in alone.stderr
    assert "not be the same bit by bit" in alone.stderr and '"steps": 8' in alone.stdout


@pytest.mark.slow
def test_a_rank_that_ends_ends_the_others_with_a_clear_line(data, tmp_path):
    command = ["jean_cli", "train-landmarks", str(data / "corpus"), "-o", str(tmp_path / "run"), "--device", "cpu"]
    processes = start([*command, "--steps", "1000000"])
    while not (tmp_path / "run" / "log.jsonl").is_file():
        assert processes[0].poll() is None, processes[0].communicate()
    processes[1].kill()
    (code, _, error), (killed, *_) = finish(processes)
    assert (
        killed == -9 and code == 5 and "another rank of this training has ended" in error and "Traceback" not in error
    )


@pytest.mark.slow
def test_a_signal_to_one_rank_saves_and_ends_all(data, tmp_path):
    command = ["jean_cli", "train-landmarks", str(data / "corpus"), "-o", str(tmp_path / "run"), "--device", "cpu"]
    processes = start([*command, "--steps", "1000000"])
    while not (tmp_path / "run" / "log.jsonl").is_file():
        assert processes[0].poll() is None, processes[0].communicate()
    processes[1].terminate()
    assert [code for code, *_ in finish(processes)] == [143, 143]
    step = load_checkpoint(tmp_path / "run").step
    assert step > 0 and step % 8 == 0


def test_without_torchrun_there_is_one_rank(monkeypatch):
    for name in ("RANK", "MASTER_ADDR", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")  # some clusters set it for every program
    assert (rank_count(), rank_index(), ranks.count(), ranks.index()) == (1, 0, 1, 0)
    items = np.arange(5)
    assert ranks.share(items) is items and ranks.from_first("x") == "x" and ranks.largest(3) == 3


def test_a_process_takes_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto") == "cuda"
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "MASTER_ADDR": "a", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert (pick_device("cuda"), pick_device("auto"), pick_device("cpu")) == ("cuda:1", "cuda:1", "cpu")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(SetupError, match="2 GPUs for 3 or more processes"):
        pick_device("cuda")


def test_shares_are_equal_and_together_the_batch(as_rank):
    shares = []
    for index in range(3):
        as_rank(index, 3)
        shares.append(ranks.share(np.arange(10, 15)).tolist())
        assert ranks.share(np.arange(6).reshape(3, 2)).tolist() == [[2 * index, 2 * index + 1]]
    assert shares == [[10, 13], [11, 14], [12, 10]]  # the first item fills the last share
    assert ranks.share_size(5) == 2


def test_ranks_have_different_random_numbers(as_rank):
    seeds = set()
    for index in range(2):
        as_rank(index, 2)
        seeds |= {ranks.own_seed(1, step) for step in range(3)}
    assert len(seeds) == 6


def batch(crop_px=None):
    numbers = torch.arange(8.0)
    wide = numbers[:, None].repeat(1, 3)
    frame = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    return RayBatch(
        torch.tensor([5, 7]), frame, wide[:, :2], wide, wide[:, :2], wide, wide, weight=numbers, crop_px=crop_px
    )


def test_rays_are_shared_within_frames_and_crops_as_a_whole(as_rank):
    as_rank(1, 2)
    rays, crops = batch().share(), batch((2, 2)).share()
    assert rays.weight.tolist() == [1, 3, 5, 7] and rays.frame.tolist() == [0, 0, 1, 1]
    assert rays.frames.tolist() == [5, 7] and rays.pixels[:, 0].tolist() == [1, 3, 5, 7]
    assert crops.weight.tolist() == [4, 5, 6, 7] and crops.frame.tolist() == [1, 1, 1, 1]
    as_rank(0, 3)
    with pytest.raises(UsageError, match="8 rays cannot be shared equally by 3 ranks"):
        batch().share()
    with pytest.raises(UsageError, match=r"2 crops cannot .* frames_per_step"):
        batch((2, 2)).share()
