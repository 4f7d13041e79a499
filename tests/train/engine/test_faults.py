"""Kills, full disks and signals: a disturbed run resumes to the same bits as an undisturbed one."""

import os
import random
import signal
import subprocess
import threading
import time
from contextlib import contextmanager

import pytest

from jean.checkpoint import has_checkpoint, load_checkpoint
from jean.errors import Interrupted, SetupError
from jean.train.engine import loop
from jean.train.engine.loop import run
from jean.train.engine.stage import Schedule
from tests.helpers.fault_report import Tally
from tests.helpers.tiny_stage import STEPS, Recorder, make_stage, outcome, train

# Kills


def _signalled(processes, folder, signum, lines, delay_s):
    """Sends ``signum`` to a run ``delay_s`` after it has logged ``lines`` lines.

    It counts lines because a time would always fall into the first steps on a busy machine.

    Returns:
        The run folder, the exit code and the number of logged lines.
    """
    for attempt in range(10):
        target = folder / str(attempt)
        pid, log = processes.start(target, fault={"pause_s": 0.004}), target / "log.jsonl"
        while not log.exists() or log.read_text().count('"train"') < lines:
            time.sleep(0.001)
        time.sleep(delay_s)
        logged = log.read_text().count('"train"')
        os.kill(pid, signum)
        if code := processes.wait(pid):
            return target, code, logged
    pytest.fail("ten runs ended before the signal reached them")


@pytest.mark.timeout(1800)
def test_killed_runs_resume_to_the_same_bits(processes, whole, tally: Tally, tmp_path):
    draw, saved = random.Random(5), set()
    for i in range(tally.count(20, 3)):
        with tally.case(f"kill {i}"):
            folder, code, _ = _signalled(
                processes, tmp_path / str(i), signal.SIGKILL, draw.randrange(36), draw.uniform(0.0, 0.01)
            )
            assert code == -signal.SIGKILL
            saved.add(load_checkpoint(folder).step if has_checkpoint(folder) else 0)
            assert processes.run(folder) == 0
            assert outcome(folder) == whole
    assert len(saved) > (2 if tally.full else 0)


def test_a_run_killed_repeatedly_resumes_to_the_same_bits(processes, whole, tmp_path):
    for step in (3, 11, 11, 24, 39):
        fault = {"at": "step", "step": step, "signal": signal.SIGKILL}
        assert processes.run(tmp_path / "run", fault=fault) == -signal.SIGKILL
    assert processes.run(tmp_path / "run") == 0
    assert outcome(tmp_path / "run") == whole


def _kill_in_saves(processes, whole, folder, jobs, tally):
    """Runs jobs that are killed during a save. The rest of the folder must load and resume to the same bits."""
    killed = 0
    for i, job in enumerate(jobs):
        with tally.case(str(job)):
            run = folder / str(i)
            code = processes.run(run, **job)
            if code == 0:
                continue  # a point after the last save
            assert code in (-signal.SIGKILL, -signal.SIGXFSZ)
            killed += 1
            recorder = Recorder()
            if has_checkpoint(run):
                load_checkpoint(run, warn=recorder.warn)
            assert recorder.warnings == [], "a killed save left a damaged checkpoint"
            assert processes.run(run) == 0
            assert outcome(run) == whole
    return killed


@pytest.mark.timeout(1800)
def test_a_killed_save_leaves_a_valid_run(processes, whole, tally: Tally, tmp_path):
    """Kills at file operations (each save opens, renames, removes), and within a write."""
    events = range(90) if tally.full else (25, 30)  # of the third save
    killed = _kill_in_saves(processes, whole, tmp_path / "events", [{"kill_event": n} for n in events], tally)
    assert killed >= (60 if tally.full else len(events))
    sizes = (*range(0, 3000, 250), *range(3000, 24_000, 3000)) if tally.full else (5000,)
    killed = _kill_in_saves(processes, whole, tmp_path / "bytes", [{"kill_byte": n} for n in sizes], tally)
    assert killed == len(sizes)


# The disk


@pytest.mark.parametrize("size", [40, 20_000])
def test_a_failed_write_keeps_the_last_checkpoint(processes, whole, tmp_path, size):
    """The kernel rejects every write past ``size`` bytes of a file, as a full disk would."""
    first = processes.run(tmp_path / "run", steps=STEPS, fault={"at": "step", "step": 12, "signal": signal.SIGKILL})
    assert first == -signal.SIGKILL
    before = load_checkpoint(tmp_path / "run").step
    assert processes.run(tmp_path / "run", full_byte=size) == 5
    assert load_checkpoint(tmp_path / "run", warn=pytest.fail).step >= before == 10
    assert processes.run(tmp_path / "run") == 0
    assert outcome(tmp_path / "run") == whole


@contextmanager
def _small_disk(folder, size_kib):
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_full_disk_keeps_the_last_checkpoint(processes, whole, tally: Tally, tmp_path):
    """A real small file system, full at each page in turn, or at every fifth."""
    codes = []
    for size_kib in range(8, 140, tally.count(4, 20)):
        tally.tried += 1
        disk = tmp_path / str(size_kib)
        with _small_disk(disk, size_kib):
            filler = disk / "filler"
            code = processes.run(disk / "run", error_file=str(tmp_path / "error"))
            codes.append(code)
            if code == 0:
                assert outcome(disk / "run") == whole
                continue
            assert code == 5
            assert "No space left" in (tmp_path / "error").read_text()
            assert not filler.exists()
            step = load_checkpoint(disk / "run", warn=pytest.fail).step if has_checkpoint(disk / "run") else 0
            subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
            assert processes.run(disk / "run") == 0
            assert outcome(disk / "run") == whole
            assert step < STEPS or size_kib > 60
    assert codes.count(5) > (10 if tally.full else 1) and codes[-1] == 0


def test_an_unwritable_folder_is_reported_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    start = time.process_time()  # other programs may keep the machine busy
    with pytest.raises(SetupError, match="cannot write"):
        train(tmp_path / "file" / "run", fault={"at": "step", "allocate": True})
    assert time.process_time() - start < 5


def test_a_read_only_folder_is_an_environment_error(processes, tmp_path):
    """Permissions do not bind root, so root mounts a read-only file system."""
    if os.geteuid():
        tmp_path.chmod(0o500)
        assert processes.run(tmp_path / "run") == 5
        tmp_path.chmod(0o700)
        return
    with _small_disk(tmp_path / "disk", 64):
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "disk")], check=True)
        assert processes.run(tmp_path / "disk" / "run", error_file=str(tmp_path / "error")) == 5
        assert "Read-only" in (tmp_path / "error").read_text()


# Signals


@pytest.mark.parametrize(
    ("phase", "signum"),
    [(phase, signal.SIGTERM) for phase in ("step", "evaluate", "preview", "save", "load")] + [("step", signal.SIGINT)],
)
def test_a_signal_saves_the_state_and_ends_the_run(processes, whole, tmp_path, phase, signum):
    folder = tmp_path / "run"
    expected = 20
    if phase == "load":
        assert processes.run(folder, fault={"at": "step", "step": 12, "signal": signal.SIGKILL}) == -signal.SIGKILL
        fault, expected = {"at": "load", "signal": signum}, 10
    elif phase == "save":
        fault, expected = {"at": "save", "signal": signum}, 7
    elif phase == "step":
        fault = {"at": "step", "step": 19, "signal": signum}
    else:
        expected = {"evaluate": 20, "preview": 15}[phase]
        fault = {"at": phase, "step": expected, "signal": signum}
    assert processes.run(folder, fault=fault) == 128 + signum
    assert load_checkpoint(folder, warn=pytest.fail).step == expected
    assert not list((folder / "checkpoints").glob(".*"))
    assert processes.run(folder) == 0
    assert outcome(folder) == whole


@pytest.mark.timeout(1800)
def test_runs_stopped_at_random_points_resume_to_the_same_bits(processes, whole, tally: Tally, tmp_path):
    draw = random.Random(6)
    for i in range(tally.count(20, 2)):
        signum = (signal.SIGTERM, signal.SIGINT)[i % 2]
        with tally.case(f"{signal.Signals(signum).name} {i}"):
            folder, code, lines = _signalled(
                processes, tmp_path / str(i), signum, draw.randrange(36), draw.uniform(0.0, 0.01)
            )
            assert code == 128 + signum
            if lines:
                assert load_checkpoint(folder, warn=pytest.fail).step >= lines
            assert processes.run(folder) == 0
            assert outcome(folder) == whole


def test_a_signal_after_the_decision_to_save_is_not_lost(tmp_path, monkeypatch):
    due, sent = loop._due, []

    def due_and_signal(step, every):
        if step == 3 and every == 7 and not sent:  # called when everything else about the step is decided
            sent.append(step)
            os.kill(os.getpid(), signal.SIGTERM)
        return due(step, every)

    monkeypatch.setattr(loop, "_due", due_and_signal)
    with pytest.raises(Interrupted):
        train(tmp_path, every=(7, 10, 0, 15))
    assert load_checkpoint(tmp_path).step in (3, 4)


def test_the_previous_signal_handlers_are_restored(tmp_path):
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    with pytest.raises(Interrupted) as raised:
        train(tmp_path, fault={"at": "step", "step": 3, "signal": signal.SIGTERM})
    assert raised.value.exit_code == 143
    assert {signum: signal.getsignal(signum) for signum in handlers} == handlers
    train(tmp_path)
    assert {signum: signal.getsignal(signum) for signum in handlers} == handlers


def test_a_second_interrupt_ends_the_step_at_once(tmp_path):
    stage = make_stage()

    def endless(step):
        if step < 8:
            return {"loss": 1.0}
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the step continued")

    stage.step = endless
    with pytest.raises(Interrupted) as raised:
        run(stage, tmp_path, Schedule(20, 5, 0, 1, 0), Recorder(), config={}, meta={})
    assert raised.value.exit_code == 130
    assert load_checkpoint(tmp_path).step == 5  # step 9 was interrupted, so it must not be saved


def test_a_run_can_train_in_another_thread(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(train(tmp_path)))
    thread.start()
    thread.join()
    assert results[0]["steps"] == STEPS
