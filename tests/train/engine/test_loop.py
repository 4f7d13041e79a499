"""The training loop: files of a run, evaluation, resuming, settings, values that are not finite, locks."""

import json
import os
import random
import re
import signal
import time
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from jean.checkpoint import has_checkpoint, load_checkpoint
from jean.errors import ArtefactError, DivergedError, Interrupted, SetupError, is_out_of_memory
from jean.files import folder_lock
from jean.train.engine.loop import run
from jean.train.engine.run_folder import differing_keys
from jean.train.engine.stage import Schedule
from tests.helpers.tiny_stage import STEPS, Recorder, make_stage, outcome, train


def _lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


# The run itself


def test_a_run_writes_metrics_config_environment_log_and_previews(tmp_path):
    metrics = train(tmp_path)
    assert metrics["steps"] == STEPS and metrics["seconds"] > 0 and metrics["score"] > 0
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert stored.pop("checkpoint_sha256") == load_checkpoint(tmp_path).content_hash
    assert stored.pop("sha256") and stored == metrics
    assert (tmp_path / "config.yaml").read_text() == "seed: 1\nrate:\n- 0.01\n- 0.02\n"
    assert json.loads((tmp_path / "environment.json").read_text())["packages"]["torch"]
    assert sorted(path.name for path in (tmp_path / "previews").iterdir()) == ["15.txt", "30.txt"]
    lines = _lines(tmp_path)
    assert [line["step"] for line in lines if line["kind"] == "train"] == list(range(1, STEPS + 1))
    assert [line["step"] for line in lines if line["kind"] == "evaluation"] == [10, 20, 30, 40]
    assert not any("rays_per_s" in line for line in lines)
    assert load_checkpoint(tmp_path, stage="tiny").payload["meta"] == {"width": 8}


def test_no_file_contains_a_path_or_the_host_name(tmp_path):
    train(tmp_path)
    for path in (*tmp_path.glob("*.*"), *(tmp_path / "checkpoints").glob("*.json")):
        content = path.read_text()
        assert str(tmp_path) not in content and os.uname().nodename not in content


def test_a_finished_run_is_neither_trained_nor_written_again(tmp_path):
    first = train(tmp_path)

    def modification_times():
        files = (path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock")
        return {path: path.stat().st_mtime_ns for path in files}

    times = modification_times()
    recorder = Recorder()
    assert train(tmp_path, progress=recorder, fault={"at": "step", "allocate": True}) == first
    assert "nothing to do" in recorder.messages[0]
    assert modification_times() == times


def test_begin_runs_in_the_locked_folder_and_never_for_another_run(tmp_path):
    calls = []

    def begin():
        with pytest.raises(SetupError, match="in use"), folder_lock(tmp_path):
            pytest.fail("the folder is not locked")
        assert not (tmp_path / "log.jsonl").exists()
        calls.append(1)

    train(tmp_path, steps=4, begin=begin)
    assert calls == [1]
    train(tmp_path, steps=4, begin=begin)  # finished
    with pytest.raises(ArtefactError):
        train(tmp_path, steps=4, config={"other": 1}, begin=begin)
    assert calls == [1]


def test_evaluations_and_previews_do_not_change_the_training(tmp_path):
    train(tmp_path / "seldom", every=(7, 0, 1, 0))
    train(tmp_path / "often", every=(7, 1, 1, 1))
    assert load_checkpoint(tmp_path / "seldom").content_hash == load_checkpoint(tmp_path / "often").content_hash


def test_equal_seeds_give_equal_bits_also_in_another_process(tmp_path, whole):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tmp_path / name, seed=seed)
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b") == whole
    assert outcome(tmp_path / "c")["checkpoint"] != whole["checkpoint"]


def test_the_callers_random_generators_are_restored(tmp_path):
    def draw():
        return random.random(), float(np.random.normal()), float(torch.rand(()))

    random.seed(3), np.random.seed(4), torch.manual_seed(5)
    expected = draw()
    stage = make_stage()
    random.seed(3), np.random.seed(4), torch.manual_seed(5)
    run(stage, tmp_path, Schedule(5, 2, 2, 1, 0), Recorder(), config={}, meta={})
    assert draw() == expected


def test_progress_advances_with_every_step(tmp_path):
    notes, counts = [], []

    class TaskRecorder(Recorder):
        def task(self, name, total):
            assert (name, total) == ("train tiny", 12)
            return nullcontext(lambda count, note="": (counts.append(count), notes.append(note)))

    train(tmp_path, steps=12, progress=TaskRecorder())
    assert sum(counts) == 12
    assert notes[-1].startswith("loss ") and "rays_per_s" in notes[-1]


def test_gpu_scalars_are_read_on_steps_that_log_or_save_only(tmp_path):
    stage, steps_read = make_stage(), []

    class GpuScalar(torch.Tensor):
        """A scalar that claims to be on a GPU and records when it is read."""

        is_cuda = True

        def __float__(self):
            steps_read.append(self.step)
            return super().__float__()

    def step(number):
        loss = torch.tensor(0.5 if number < 14 else torch.nan).as_subclass(GpuScalar)
        loss.step = number + 1
        return {"loss": loss}

    stage.step = step
    with pytest.raises(DivergedError, match="nan at step 15"):
        run(stage, tmp_path, Schedule(20, 4, 0, 5, 0), Recorder(), config={}, meta={})
    assert steps_read == [4, 5, 8, 10, 12, 15]  # every 5 steps and where a checkpoint is due
    assert load_checkpoint(tmp_path).step == 12


# Damage and mismatch


def test_a_run_with_a_damaged_checkpoint_resumes_from_the_one_before(processes, whole, tmp_path):
    folder = tmp_path / "run"
    assert processes.run(folder) == 0
    tensors = folder / "checkpoints" / "last-00000040.safetensors"
    content = bytearray(tensors.read_bytes())
    content[len(content) // 2] ^= 4
    tensors.write_bytes(content)
    recorder = Recorder()
    train(folder, progress=recorder)
    assert len(recorder.warnings) == 1 and "damaged" in recorder.warnings[0]
    assert outcome(folder) == whole


def test_a_run_is_not_resumed_under_other_settings(tmp_path):
    train(tmp_path, steps=5, config={"rate": 1, "field": {"planes": [1, 2], "width": 8}})
    for config, names in (
        ({"rate": 2, "field": {"planes": [1, 2], "width": 8}}, "rate"),
        ({"rate": 1, "field": {"planes": [1, 3], "width": 9}}, "field.planes, field.width"),
        ({"rate": 1, "field": {"planes": [1, 2]}}, "field.width"),
        ({"rate": 1, "field": {"planes": [1, 2], "width": 8}, "new": None}, "new"),
    ):
        with pytest.raises(ArtefactError, match=rf"other settings: {names}\."):
            train(tmp_path, steps=5, config=config)
    with pytest.raises(ArtefactError, match=r"Give the same ones \(preset=fast, rate=1\), or choose"):
        train(tmp_path / "other", steps=5, config={"rate": 1, "preset": "fast", "field": {"width": 8}})
        train(tmp_path / "other", steps=5, config={"rate": 2, "preset": "gaussian", "field": {"width": 9}})
    with pytest.raises(ArtefactError, match="started with 5 steps, more than 4"):
        train(tmp_path, steps=4, config={"rate": 1, "field": {"planes": (1, 2), "width": 8}})
    with pytest.raises(ArtefactError, match="stage 'tiny', not 'audio'"):
        train(tmp_path, steps=5, name="audio")


def test_a_finished_run_goes_on_to_more_steps(tmp_path, whole):
    folder = tmp_path / "run"
    first = train(folder, steps=25, config={"rate": 1, "steps": 25, "epochs": None})
    assert "extended_from" not in first
    recorder = Recorder()
    metrics = train(folder, steps=STEPS, config={"rate": 1, "steps": STEPS, "epochs": None}, progress=recorder)
    assert metrics["steps"] == STEPS and metrics["extended_from"] == [25] and metrics["seconds"] > first["seconds"]
    assert "extending the run from 25 to 40 steps." in recorder.messages
    lines = _lines(folder)
    assert [line["step"] for line in lines if line["kind"] == "train"] == list(range(1, STEPS + 1))
    # the tiny stage has no schedule of rates, so the extended run is the whole run, bit by bit
    assert outcome(folder)["checkpoint"] == whole["checkpoint"]
    again = train(folder, steps=STEPS, config={"rate": 1, "steps": STEPS, "epochs": None})
    assert again == metrics, "nothing to do"
    longer = train(folder, steps=45, config={"rate": 1, "steps": 45, "epochs": None})
    assert longer["extended_from"] == [25, STEPS]


def test_an_interrupted_extension_is_resumed(tmp_path):
    train(tmp_path, steps=10)
    with pytest.raises(Interrupted):
        train(tmp_path, steps=30, fault={"at": "step", "step": 15, "signal": signal.SIGTERM})
    metrics = train(tmp_path, steps=30)
    assert metrics["steps"] == 30 and metrics["extended_from"] == [10]


def test_differing_keys_lists_changed_and_missing_settings():
    assert differing_keys({"a": 1, "b": {"c": 2, "d": {}}}, {"a": 1, "b": {"c": 2, "d": {}}}) == []
    assert differing_keys({"a": 1, "b": {"c": 2}}, {"a": 1.5, "b": 3}) == ["a", "b", "b.c"]
    assert differing_keys({}, {}) == []
    assert differing_keys({"a": None}, {}) == ["a"]


# Numbers and memory


@pytest.mark.parametrize("nan", ["loss", "gradient", "data", "parameter"])
@pytest.mark.parametrize("step", [0, 13])
def test_a_value_that_is_not_finite_stops_the_run_and_is_never_saved(tmp_path, nan, step):
    """The run stops within one step, even where a checkpoint is due at that step."""
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


def test_an_evaluation_that_is_not_finite_stops_the_run(tmp_path):
    stage = make_stage()
    stage.evaluate = lambda step: {"psnr_db": float("inf")}
    with pytest.raises(DivergedError, match="psnr_db = inf"):
        run(stage, tmp_path, Schedule(4, 2, 0, 1, 0), Recorder(), config={}, meta={})
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize("phase", ["step", "evaluate", "preview", "save"])
def test_a_run_without_memory_says_what_to_reduce_and_can_resume(processes, tmp_path, phase):
    fault = {"at": phase, "allocate": True} | ({} if phase == "save" else {"step": 30})
    assert processes.run(tmp_path / "run", fault=fault, error_file=str(tmp_path / "error")) == 5
    assert "fewer rays" in (tmp_path / "error").read_text()
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert processes.run(tmp_path / "run") == 0


def test_out_of_memory_errors_are_recognised():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 46)
    assert is_out_of_memory(raised.value)
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("shape mismatch")) and not is_out_of_memory(OSError("out of memory"))


@pytest.mark.parametrize("damage", ["", "{}", "[]", '"score": 9'])
def test_damaged_metrics_are_computed_again(tmp_path, damage):
    metrics = train(tmp_path)
    path = tmp_path / "metrics.json"
    whole = json.loads(path.read_text())
    path.write_text(re.sub(r'"score": [0-9.]+', damage, path.read_text()) if "score" in damage else damage)
    assert train(tmp_path)["score"] == metrics["score"]
    assert json.loads(path.read_text())["score"] == whole["score"]


def test_a_finished_run_writes_damaged_files_of_its_trainer_again(tmp_path):
    written = []
    train(tmp_path, begin=lambda: written.append(1), intact=lambda: False)
    train(tmp_path, begin=lambda: written.append(2), intact=lambda: True)
    assert written == [1]
    train(tmp_path, begin=lambda: written.append(3), intact=lambda: False)
    assert written == [1, 3]


# Several runs


@pytest.mark.parametrize("count", [8])
def test_only_one_of_several_runs_gets_the_folder(processes, whole, tmp_path, count):
    folder = tmp_path / "run"
    hold = tmp_path / "go on"
    for _ in range(count):
        processes.start(folder, fault={"at": "step", "step": 0, "hold": str(hold)})
    assert [processes.wait() for _ in range(count - 1)] == [5] * (count - 1)
    hold.touch()
    assert processes.wait() == 0
    assert outcome(folder) == whole


def test_a_lock_ends_with_its_process(processes, whole, tmp_path):
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


def test_a_shortened_log_gives_a_warning(tmp_path):
    with pytest.raises(Interrupted):
        train(tmp_path, fault={"at": "step", "step": 20, "signal": signal.SIGTERM})
    (tmp_path / "log.jsonl").write_text("")
    recorder = Recorder()
    train(tmp_path, progress=recorder)
    assert "lost lines" in recorder.warnings[0]
    assert _lines(tmp_path)[0]["step"] == 22
