"""The training loop under the faults that training must survive; numbers as in the list of faults."""

import json
import os
import random
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch

from jean.checkpoint import has_checkpoint, load_checkpoint
from jean.errors import ArtefactError, DivergedError, Interrupted, SetupError, is_out_of_memory
from jean.files import folder_lock
from jean.train.engine import loop
from jean.train.engine.loop import run
from jean.train.engine.run_folder import differing_keys
from jean.train.engine.stage import Schedule
from tests.helpers.tiny_stage import STEPS, Heard, Processes, make_stage, outcome, train


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in ``Processes``: the last bit of a sum depends on how many threads share it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def processes():
    server = Processes()
    yield server
    server.close()


@pytest.fixture(scope="module")
def whole(processes, tmp_path_factory):
    """The outcome of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert processes.run(folder) == 0
    return outcome(folder)


def _lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


# The run itself


def test_a_run_leaves_everything_it_should(tmp_path):
    metrics = train(tmp_path)
    assert metrics["steps"] == STEPS and metrics["seconds"] > 0 and metrics["score"] > 0
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert stored.pop("checkpoint_sha256") == load_checkpoint(tmp_path).content_hash
    assert stored == metrics
    assert (tmp_path / "config.yaml").read_text() == "seed: 1\nrate:\n- 0.01\n- 0.02\n"
    assert json.loads((tmp_path / "environment.json").read_text())["packages"]["torch"]
    assert sorted(path.name for path in (tmp_path / "previews").iterdir()) == ["15.txt", "30.txt"]
    lines = _lines(tmp_path)
    assert [line["step"] for line in lines if line["kind"] == "train"] == list(range(1, STEPS + 1))
    assert [line["step"] for line in lines if line["kind"] == "evaluation"] == [10, 20, 30, 40]
    assert not any("rays_per_s" in line for line in lines)
    assert load_checkpoint(tmp_path, stage="tiny").payload["meta"] == {"width": 8}


def test_no_file_names_this_machine(tmp_path):
    train(tmp_path)
    for path in (*tmp_path.glob("*.*"), *(tmp_path / "checkpoints").glob("*.json")):
        content = path.read_text()
        assert str(tmp_path) not in content and os.uname().nodename not in content


def test_a_finished_run_is_kept(tmp_path):
    """Fault 11: no step is done again, no file is written again."""
    first = train(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"}
    heard = Heard()
    assert train(tmp_path, progress=heard, fault={"at": "step", "allocate": True}) == first
    assert "nothing to do" in heard.said[0]
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file() and p.name != ".lock"}


def test_further_files_are_begun_under_the_lock_and_never_for_another_run(tmp_path):
    begun = []

    def begin():
        with pytest.raises(SetupError, match="in use"), folder_lock(tmp_path):
            pytest.fail("was not locked")
        assert not (tmp_path / "log.jsonl").exists()
        begun.append(1)

    train(tmp_path, steps=4, begin=begin)
    assert begun == [1]
    train(tmp_path, steps=4, begin=begin)  # finished
    with pytest.raises(ArtefactError):
        train(tmp_path, steps=4, config={"other": 1}, begin=begin)
    assert begun == [1]


def test_evaluating_does_not_change_training(tmp_path):
    train(tmp_path / "seldom", every=(7, 0, 1, 0))
    train(tmp_path / "often", every=(7, 1, 1, 1))
    assert load_checkpoint(tmp_path / "seldom").content_hash == load_checkpoint(tmp_path / "often").content_hash


def test_seeds(tmp_path, whole):
    """Fault 27: the same seed gives the same bits, in another process too; another seed gives others."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tmp_path / name, seed=seed)
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b") == whole
    assert outcome(tmp_path / "c")["checkpoint"] != whole["checkpoint"]


def test_the_random_numbers_of_the_caller_are_given_back(tmp_path):
    def drawn():
        return random.random(), float(np.random.normal()), float(torch.rand(()))

    random.seed(3), np.random.seed(4), torch.manual_seed(5)
    expected = drawn()
    stage = make_stage()
    random.seed(3), np.random.seed(4), torch.manual_seed(5)
    run(stage, tmp_path, Schedule(5, 2, 2, 1, 0), Heard(), config={}, meta={})
    assert drawn() == expected


def test_progress_shows_each_step(tmp_path):
    notes, counts = [], []

    class Shown(Heard):
        def task(self, name, total):
            assert (name, total) == ("train tiny", 12)
            return nullcontext(lambda count, note="": (counts.append(count), notes.append(note)))

    train(tmp_path, steps=12, progress=Shown())
    assert sum(counts) == 12
    assert notes[-1].startswith("loss ") and "rays_per_s" in notes[-1]


def test_a_cards_scalars_are_read_where_they_are_logged_or_saved(tmp_path):
    stage, read = make_stage(), []

    class OnCard(torch.Tensor):
        """A number that says that it lies on a card, and remembers that it was waited for."""

        is_cuda = True

        def __float__(self):
            read.append(self.step)
            return super().__float__()

    def step(number):
        loss = torch.tensor(0.5 if number < 14 else torch.nan).as_subclass(OnCard)
        loss.step = number + 1
        return {"loss": loss}

    stage.step = step
    with pytest.raises(DivergedError, match="nan at step 15"):
        run(stage, tmp_path, Schedule(20, 4, 0, 5, 0), Heard(), config={}, meta={})
    assert read == [4, 5, 8, 10, 12, 15]  # every 5 steps and where a checkpoint is due
    assert load_checkpoint(tmp_path).step == 12


# Kills (1, 2)


def _signalled(processes, folder, signum, lines, delay_s):
    """Sends ``signum`` to a run ``delay_s`` after it logged ``lines``; returns its folder, exit code, lines logged.

    Counted in lines, as a time would always fall into the first steps of a busy machine.
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
    pytest.fail("ten runs ended before they could be stopped")


def _kill_at_random_points(processes, whole, tmp_path, count):
    """Kills and resumes ``count`` runs; returns the steps that they had saved."""
    draw, saved = random.Random(5), set()
    for i in range(count):
        folder, code, _ = _signalled(
            processes, tmp_path / str(i), signal.SIGKILL, draw.randrange(36), draw.uniform(0.0, 0.01)
        )
        assert code == -signal.SIGKILL
        saved.add(load_checkpoint(folder).step if has_checkpoint(folder) else 0)
        assert processes.run(folder) == 0
        assert outcome(folder) == whole
    return saved


def test_kill_and_resume(processes, whole, tmp_path):
    _kill_at_random_points(processes, whole, tmp_path, 3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kill_and_resume_twenty_times(processes, whole, tmp_path):
    assert len(_kill_at_random_points(processes, whole, tmp_path, 20)) > 2


def test_killed_again_and_again(processes, whole, tmp_path):
    """A run that never gets far in one go still ends in the same bits."""
    for step in (3, 11, 11, 24, 39):
        fault = {"at": "step", "step": step, "signal": signal.SIGKILL}
        assert processes.run(tmp_path / "run", fault=fault) == -signal.SIGKILL
    assert processes.run(tmp_path / "run") == 0
    assert outcome(tmp_path / "run") == whole


def _kill_in_saves(processes, whole, tmp_path, jobs):
    """Runs each job, which kills a save; what is left must load and go on to the same bits."""
    killed = 0
    for i, job in enumerate(jobs):
        folder = tmp_path / str(i)
        code = processes.run(folder, **job)
        if code == 0:
            continue  # a point behind the last save
        assert code in (-signal.SIGKILL, -signal.SIGXFSZ)
        killed += 1
        heard = Heard()
        if has_checkpoint(folder):
            load_checkpoint(folder, warn=heard.warn)
        assert heard.warned == [], "a killed save left a damaged checkpoint"
        assert processes.run(folder) == 0
        assert outcome(folder) == whole
    return killed


def test_kill_in_save(processes, whole, tmp_path):
    """Fault 2: at file operations of the third save (each save opens, renames, removes) and amid a write."""
    jobs = [{"kill_event": event} for event in (25, 30)] + [{"kill_byte": 5000}]
    assert _kill_in_saves(processes, whole, tmp_path, jobs) == len(jobs)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kill_in_save_at_every_operation(processes, whole, tmp_path):
    jobs = [{"kill_event": event} for event in range(90)]
    assert _kill_in_saves(processes, whole, tmp_path, jobs) >= 60


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kill_in_save_at_many_bytes(processes, whole, tmp_path):
    jobs = [{"kill_byte": size} for size in (*range(0, 3000, 250), *range(3000, 24_000, 3000))]
    assert _kill_in_saves(processes, whole, tmp_path, jobs) == len(jobs)


# The disk (3, 4)


@pytest.mark.parametrize("size", [40, 20_000])
def test_write_fails_at_a_byte(processes, whole, tmp_path, size):
    """Fault 3 without a file system of its own: the kernel refuses each write past ``size`` bytes of a file."""
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
def test_disk_full(processes, whole, tmp_path):
    """Fault 3 on a real small file system, full at each page in turn."""
    codes = []
    for size_kib in range(8, 140, 4):
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
    assert codes.count(5) > 10 and codes[-1] == 0


def test_not_writable(tmp_path):
    """Fault 4: told before any computing."""
    (tmp_path / "file").write_text("")
    begun = time.monotonic()
    with pytest.raises(SetupError, match="cannot write"):
        train(tmp_path / "file" / "run", fault={"at": "step", "allocate": True})
    assert time.monotonic() - begun < 5


def test_read_only(processes, tmp_path):
    """Fault 4 where the permissions count (they do not for root, so root mounts one)."""
    if os.geteuid():
        tmp_path.chmod(0o500)
        assert processes.run(tmp_path / "run") == 5
        tmp_path.chmod(0o700)
        return
    with _small_disk(tmp_path / "disk", 64):
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "disk")], check=True)
        assert processes.run(tmp_path / "disk" / "run", error_file=str(tmp_path / "error")) == 5
        assert "Read-only" in (tmp_path / "error").read_text()


# Signals (5)


@pytest.mark.parametrize(
    ("phase", "signum"),
    [(phase, signal.SIGTERM) for phase in ("step", "evaluate", "preview", "save", "load")] + [("step", signal.SIGINT)],
)
def test_stopped_by_a_signal(processes, whole, tmp_path, phase, signum):
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


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_stopped_at_twenty_random_points(processes, whole, tmp_path):
    draw = random.Random(6)
    for i in range(20):
        signum = (signal.SIGTERM, signal.SIGINT)[i % 2]
        folder, code, lines = _signalled(
            processes, tmp_path / str(i), signum, draw.randrange(36), draw.uniform(0.0, 0.01)
        )
        assert code == 128 + signum
        if lines:
            assert load_checkpoint(folder, warn=pytest.fail).step >= lines
        assert processes.run(folder) == 0
        assert outcome(folder) == whole


def test_a_signal_between_the_decision_to_save_and_the_next_step(tmp_path, monkeypatch):
    due, sent = loop._due, []

    def due_and_signal(step, every):
        if step == 3 and every == 7 and not sent:  # asked when everything else about the step is decided
            sent.append(step)
            os.kill(os.getpid(), signal.SIGTERM)
        return due(step, every)

    monkeypatch.setattr(loop, "_due", due_and_signal)
    with pytest.raises(Interrupted):
        train(tmp_path, every=(7, 10, 0, 15))
    assert load_checkpoint(tmp_path).step in (3, 4)


def test_the_old_handlers_come_back(tmp_path):
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    with pytest.raises(Interrupted) as raised:
        train(tmp_path, fault={"at": "step", "step": 3, "signal": signal.SIGTERM})
    assert raised.value.exit_code == 143
    assert {signum: signal.getsignal(signum) for signum in handlers} == handlers
    train(tmp_path)
    assert {signum: signal.getsignal(signum) for signum in handlers} == handlers


def test_a_second_interrupt_does_not_wait_for_the_step(tmp_path):
    stage = make_stage()

    def endless(step):
        if step < 8:
            return {"loss": 1.0}
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the step went on")

    stage.step = endless
    with pytest.raises(Interrupted) as raised:
        run(stage, tmp_path, Schedule(20, 5, 0, 1, 0), Heard(), config={}, meta={})
    assert raised.value.exit_code == 130
    assert load_checkpoint(tmp_path).step == 5  # step 9 was cut short, so it must not be saved


def test_another_thread_can_train(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(train(tmp_path)))
    thread.start()
    thread.join()
    assert results[0]["steps"] == STEPS


# Damage and mismatch (6, 7)


def test_resume_after_damage(processes, whole, tmp_path):
    """Fault 6: the newest checkpoint is damaged, so the one before it goes on to the same bits."""
    folder = tmp_path / "run"
    assert processes.run(folder) == 0
    tensors = folder / "checkpoints" / "last-00000040.safetensors"
    content = bytearray(tensors.read_bytes())
    content[len(content) // 2] ^= 4
    tensors.write_bytes(content)
    heard = Heard()
    train(folder, progress=heard)
    assert len(heard.warned) == 1 and "damaged" in heard.warned[0]
    assert outcome(folder) == whole


def test_other_settings_are_named(tmp_path):
    """Fault 7."""
    train(tmp_path, steps=5, config={"rate": 1, "field": {"planes": [1, 2], "width": 8}})
    for config, named in (
        ({"rate": 2, "field": {"planes": [1, 2], "width": 8}}, "rate"),
        ({"rate": 1, "field": {"planes": [1, 3], "width": 9}}, "field.planes, field.width"),
        ({"rate": 1, "field": {"planes": [1, 2]}}, "field.width"),
        ({"rate": 1, "field": {"planes": [1, 2], "width": 8}, "new": None}, "new"),
    ):
        with pytest.raises(ArtefactError, match=rf"other settings: {named}\."):
            train(tmp_path, steps=5, config=config)
    with pytest.raises(ArtefactError, match="started with 5 steps, not 6"):
        train(tmp_path, steps=6, config={"rate": 1, "field": {"planes": (1, 2), "width": 8}})
    with pytest.raises(ArtefactError, match="stage 'tiny', 'audio' is needed"):
        train(tmp_path, steps=5, name="audio")


def test_differing_keys_by_hand():
    assert differing_keys({"a": 1, "b": {"c": 2, "d": {}}}, {"a": 1, "b": {"c": 2, "d": {}}}) == []
    assert differing_keys({"a": 1, "b": {"c": 2}}, {"a": 1.5, "b": 3}) == ["a", "b", "b.c"]
    assert differing_keys({}, {}) == []
    assert differing_keys({"a": None}, {}) == ["a"]


# Numbers and memory (8, 9)


@pytest.mark.parametrize("nan", ["loss", "gradient", "data", "parameter"])
@pytest.mark.parametrize("step", [0, 13])
def test_not_finite(tmp_path, nan, step):
    """Fault 8: stops within one step, and no checkpoint has it, though one was due right then."""
    with pytest.raises(DivergedError) as raised:
        train(tmp_path, fault={"nan": nan, "step": step})
    assert raised.value.exit_code == 6
    if step:
        for path in (tmp_path / "checkpoints").glob("*.safetensors"):
            assert int(path.stem.split("-")[1]) <= step
        tensors = load_checkpoint(tmp_path, warn=pytest.fail).tensors.values()
        assert all(bool(torch.isfinite(t).all()) for t in tensors if t.is_floating_point())
    else:
        assert not has_checkpoint(tmp_path)
    assert max((line["step"] for line in _lines(tmp_path)), default=0) <= step + 1
    assert not (tmp_path / "metrics.json").exists()


def test_an_evaluation_that_is_not_finite(tmp_path):
    stage = make_stage()
    stage.evaluate = lambda step: {"psnr_db": float("inf")}
    with pytest.raises(DivergedError, match="psnr_db = inf"):
        run(stage, tmp_path, Schedule(4, 2, 0, 1, 0), Heard(), config={}, meta={})
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize("phase", ["step", "evaluate", "preview", "save"])
def test_no_memory(processes, tmp_path, phase):
    """Fault 9: exit 5 with what to reduce, never finished, and the run can go on."""
    fault = {"at": phase, "allocate": True} | ({} if phase == "save" else {"step": 30})
    assert processes.run(tmp_path / "run", fault=fault, error_file=str(tmp_path / "error")) == 5
    assert "fewer rays" in (tmp_path / "error").read_text()
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert processes.run(tmp_path / "run") == 0


def test_what_counts_as_no_memory():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 46)
    assert is_out_of_memory(raised.value)
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("shape mismatch")) and not is_out_of_memory(OSError("out of memory"))


# Two runs (26)


@pytest.mark.parametrize("count", [8])
def test_several_runs_on_one_folder(processes, whole, tmp_path, count):
    folder = tmp_path / "run"
    hold = tmp_path / "go on"
    for _ in range(count):
        processes.start(folder, fault={"at": "step", "step": 0, "hold": str(hold)})
    assert [processes.wait() for _ in range(count - 1)] == [5] * (count - 1)
    hold.touch()
    assert processes.wait() == 0
    assert outcome(folder) == whole


def test_a_lock_dies_with_its_process(processes, whole, tmp_path):
    folder = tmp_path / "run"
    pid = processes.start(folder, fault={"pause_s": 10.0})
    while not (folder / "log.jsonl").exists():
        time.sleep(0.005)
    assert processes.run(folder, error_file=str(tmp_path / "error")) == 5
    assert "in use" in (tmp_path / "error").read_text()
    os.kill(pid, signal.SIGKILL)
    processes.wait(pid)
    assert processes.run(folder) == 0
    assert outcome(folder) == whole


# The log


def test_a_shortened_log_is_told(tmp_path):
    with pytest.raises(Interrupted):
        train(tmp_path, fault={"at": "step", "step": 20, "signal": signal.SIGTERM})
    (tmp_path / "log.jsonl").write_text("")
    heard = Heard()
    train(tmp_path, progress=heard)
    assert "lost lines" in heard.warned[0]
    assert _lines(tmp_path)[0]["step"] == 22
