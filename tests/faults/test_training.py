"""Kills, signals, full disks, damaged and foreign runs: every trainer, as a user starts it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from jean.checkpoint import has_checkpoint, load_checkpoint
from jean.errors import ArtefactError
from tests.faults.conftest import Trainer, require_one_line, require_same, spaced
from tests.faults.server import Commands
from tests.helpers.fault_report import Tally

pytestmark = pytest.mark.timeout(7200)
NAMES = ("landmarks", "audio", "expression", "lips", "motion", "fast", "paper", "gaussian")
# in the fast form one trainer stands for all, since they share the loop
EACH = pytest.mark.parametrize(
    "name", ["fast", *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES if n != "fast")]
)


def _signalled(commands: Commands, trainer: Trainer, folder: Path, signum: int, draw: random.Random):
    """Sends a signal to a training at a random moment after its first checkpoint; returns how it ended.

    The moment is a random length of the log and a random delay; a training that ends first is started again.
    """
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        pid, log = commands.start(*trainer.command(folder)), folder / "log.jsonl"
        share = draw.random() ** 2  # early moments are reached more surely
        while True:
            size = log.stat().st_size if log.exists() else 0
            if has_checkpoint(folder) and size >= share * _LOG_BYTES.get(trainer.arguments, 0):
                break
            if _is_over(pid):
                break
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.02))
        with suppress(ProcessLookupError):
            os.kill(pid, signum)
        ended = commands.wait(pid)
        if ended.code != 0:
            return ended
    pytest.fail("twenty trainings ended before the signal reached them")


_LOG_BYTES: dict[tuple, int] = {}  # length of the log of an undisturbed run, by the trainer's arguments


def _is_over(pid: int) -> bool:
    """Whether a process has ended, also if nobody has waited for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.fault(1)
@EACH
def test_a_killed_training_resumes_to_the_same_bits(name, trainers, commands, whole, tally: Tally, tmp_path):
    trainer, want = trainers[name], whole(name)
    _LOG_BYTES[trainer.arguments] = len(want["log"])
    draw = random.Random(name)
    for number in range(tally.count(20, 1)):
        with tally.case(f"{name}, kill {number}"):
            folder = tmp_path / str(number)
            assert _signalled(commands, trainer, folder, signal.SIGKILL, draw).code == -signal.SIGKILL
            load_checkpoint(folder, warn=pytest.fail)
            again = commands.run(*trainer.command(folder))
            assert again.code == 0, again.err
            require_same(folder, want)


@pytest.mark.fault(2)
@EACH
def test_a_training_killed_in_its_saves_resumes_to_the_same_bits(name, trainers, commands, whole, tally, tmp_path):
    """Kills at file operations under the checkpoints, and inside writes."""
    trainer, want = trainers[name], whole(name)
    size = max(path.stat().st_size for path in (want["folder"] / "checkpoints").iterdir())
    faults = [{"kill_event": event} for event in spaced(4, 60, tally.count(20, 1))]
    faults += [{"kill_byte": limit} for limit in spaced(64, size - 1, tally.count(10, 1))]
    for number, fault in enumerate(faults):
        with tally.case(f"{name}, {fault}"):
            folder = tmp_path / str(number)
            ended = commands.run(*trainer.command(folder), under=str(folder / "checkpoints"), **fault)
            assert ended.code in (-signal.SIGKILL, -signal.SIGXFSZ), ended.err
            if has_checkpoint(folder):
                load_checkpoint(folder, warn=pytest.fail)
            assert commands.run(*trainer.command(folder)).code == 0
            require_same(folder, want)


@contextmanager
def small_disk(folder: Path, size_kib: int) -> Iterator[None]:
    """A file system of a given size; skips the test where none can be mounted."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.fault(3)
@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_keeps_the_last_checkpoint(name, trainers, commands, whole, tally: Tally, tmp_path):
    trainer, want = trainers[name], whole(name)
    total = sum(path.stat().st_size for path in want["folder"].rglob("*") if path.is_file()) // 1024
    for size in spaced(max(8, total // 20), total, tally.count(12, 1)):
        with tally.case(f"{name}, {size} KiB"), small_disk(tmp_path / str(size), size):
            folder = tmp_path / str(size) / "run"
            ended = commands.run(*trainer.command(folder))
            if ended.code != 0:
                require_one_line(ended, 5)
            if has_checkpoint(folder):
                load_checkpoint(folder, warn=pytest.fail)
            subprocess.run(["mount", "-o", "remount,size=1g", str(tmp_path / str(size))], check=True)
            assert commands.run(*trainer.command(folder)).code == 0
            require_same(folder, want)


@pytest.mark.fault(5)
@EACH
def test_a_stopped_training_saves_and_resumes_to_the_same_bits(name, trainers, commands, whole, tally: Tally, tmp_path):
    trainer, want = trainers[name], whole(name)
    _LOG_BYTES[trainer.arguments] = len(want["log"])
    draw = random.Random(name)
    for number in range(tally.count(20, 1)):
        signum = (signal.SIGTERM, signal.SIGINT)[number % 2]
        with tally.case(f"{name}, {signal.Signals(signum).name} {number}"):
            folder = tmp_path / str(number)
            ended = _signalled(commands, trainer, folder, signum, draw)
            require_one_line(ended, 128 + signum)
            load_checkpoint(folder, warn=pytest.fail)
            assert not list((folder / "checkpoints").glob(".*"))
            assert commands.run(*trainer.command(folder)).code == 0
            require_same(folder, want)


@pytest.mark.fault(6)
@pytest.mark.parametrize("name", ["landmarks", "fast"])
def test_every_damage_of_a_checkpoint_is_found(name, whole, tally: Tally, tmp_path):
    """A run with one checkpoint: a flipped bit or a truncation of either file must be refused."""
    source = whole(name)["folder"]
    newest = load_checkpoint(source)
    draw = random.Random(name)
    files = {path.name: path.read_bytes() for path in (newest.path, newest.tensors_path)}
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    flips, cuts = tally.count(500, 10), tally.count(50, 4)
    for number in range(flips + cuts):
        damaged = draw.choice(sorted(files))
        data = bytearray(files[damaged])
        place = draw.randrange(len(data))
        if number < flips:
            data[place] ^= 1 << draw.randrange(8)
        else:
            del data[place:]
        for file, content in files.items():
            (folder / file).write_bytes(data if file == damaged else content)
        with tally.case(f"{name}, {damaged}, byte {place}"):
            with pytest.raises(ArtefactError):
                load_checkpoint(tmp_path / "run", warn=lambda message: None)


@pytest.mark.slow
@pytest.mark.fault(7)
def test_a_run_of_another_kind_is_refused(trainers, commands, whole, tally: Tally, tmp_path):
    """Every trainer in the folder of every other one, with another seed, and runs as wrong inputs."""
    names = NAMES if tally.full else ("landmarks", "fast")
    for owner in names:
        for name in names:
            with tally.case(f"{name} in the folder of {owner}"):
                folder = tmp_path / f"{owner}_{name}"
                shutil.copytree(whole(owner)["folder"], folder)
                before = load_checkpoint(folder).content_hash
                more = ("--seed", 5) if owner == name else ()
                require_one_line(commands.run(*trainers[name].command(folder, *more)), 4)
                assert load_checkpoint(folder).content_hash == before
    corpus = trainers["landmarks"].arguments[0]
    wrong = whole("fast")["folder"]
    for arguments in (
        ("train-audio", corpus, "--landmarks", wrong),
        ("train-nerf", trainers["fast"].arguments[0], "--audio", wrong, "--steps", 2),
        ("train-nerf", trainers["fast"].arguments[0], "--expr", wrong, "--steps", 2),
        ("render", whole("landmarks")["folder"], "--audio", trainers["fast"].arguments[0] / "audio.wav"),
    ):
        with tally.case(" ".join(map(str, arguments[:1]))):
            output = tmp_path / ("out.mp4" if arguments[0] == "render" else "out")
            require_one_line(commands.run(*arguments, "-o", output), 4)


@pytest.mark.fault(26)
@pytest.mark.parametrize("processes", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_one_of_several_trainings_gets_the_folder(processes, trainers, commands, whole, tally: Tally, tmp_path):
    trainer, want = trainers["fast"], whole("fast")
    for number in range(tally.count(10, 1)):
        with tally.case(f"{processes} processes, {number}"):
            folder = tmp_path / str(number)
            pids = [commands.start(*trainer.command(folder)) for _ in range(processes)]
            ended = [commands.wait(pid) for pid in pids]
            codes = sorted(each.code for each in ended)
            # a process that starts after the end of the first finds a finished run
            assert codes[0] == 0 and set(codes) <= {0, 5}, codes
            assert processes == 2 or 5 in codes
            for each in ended:
                if each.code == 5:
                    require_one_line(each, 5)
            require_same(folder, want)


@pytest.mark.slow
@pytest.mark.fault(9)
@pytest.mark.parametrize("name", ["fast", "landmarks"])
def test_a_training_without_memory_ends_with_5_or_is_whole(name, trainers, commands, whole, tally: Tally, tmp_path):
    trainer, want = trainers[name], whole(name)
    here = int(Path(f"/proc/{commands.server.pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    for more in spaced(1 << 20, 600 << 20, tally.count(12, 2)):
        with tally.case(f"{name}, {more >> 20} MiB"):
            folder = tmp_path / str(more)
            ended = commands.run(*trainer.command(folder), address_space=here + more)
            if ended.code != 0:
                require_one_line(ended, 5)
                assert not (folder / "metrics.json").exists()
                assert commands.run(*trainer.command(folder)).code == 0
            require_same(folder, want)


@pytest.mark.fault(9)
def test_a_limit_on_the_memory_is_kept(trainers, commands, whole, tally: Tally, tmp_path):
    """``--memory``: too little ends with 5 and leaves nothing half-finished, enough changes nothing."""
    trainer, want = trainers["fast"], whole("fast")
    with tally.case("500 MB"):
        require_one_line(commands.run(*trainer.command(tmp_path / "run", "--memory", "500MB")), 5)
        assert not (tmp_path / "run" / "metrics.json").exists()
    with tally.case("20 GB"):
        ended = commands.run(*trainer.command(tmp_path / "run", "--memory", "20GB"))
        assert ended.code == 0, ended.err
        require_same(tmp_path / "run", want)
    with tally.case("no size"):
        require_one_line(commands.run(*trainer.command(tmp_path / "other", "--memory", "much")), 2)


@pytest.mark.slow
@pytest.mark.fault(27)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits(name, trainers, commands, whole, tally: Tally, tmp_path):
    with tally.case(name):
        assert commands.run(*trainers[name].command(tmp_path / "run")).code == 0
        require_same(tmp_path / "run", whole(name))
