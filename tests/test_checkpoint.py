"""Checkpoints: what was saved comes back, and nothing damaged or foreign is ever taken for it (faults 2, 6, 7)."""

import json
import random
import shutil
from pathlib import Path

import pytest
import torch

from jean import checkpoint as checkpoints
from jean.checkpoint import load_checkpoint, save_checkpoint, stored_steps, sweep
from jean.errors import ArtefactError, DivergedError, SetupError
from jean.train.engine.state import capture, restore
from tests.helpers.tiny_stage import Recorder, make_stage, train

PAYLOAD = {
    "stage": "tiny",
    "step": 3,
    "steps": 9,
    "seconds": 1.5,
    "log_bytes": 0,
    "config": {},
    "meta": {},
    "state": {},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    train(folder)
    return folder


def _copy(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


def _files(folder, step):
    return [folder / "checkpoints" / f"last-{step:08d}.{kind}" for kind in ("json", "safetensors")]


def test_tensors_and_payload_survive_a_round_trip(tmp_path):
    tensors = {
        "net/a": torch.randn(3, 4, dtype=torch.float64),
        "net/b": torch.tensor([float("nan"), -0.0, 1e-45]).view(torch.int32),
        "net/c": torch.randn(5).to(torch.bfloat16),
        "other/empty": torch.zeros(0, 3),
        "other/flag": torch.tensor([True, False]),
    }
    save_checkpoint(tmp_path, tensors, {**PAYLOAD, "meta": {"text": "Ünïcode \u2028", "small": 5e-324}})
    loaded = load_checkpoint(tmp_path)
    assert loaded.step == 3
    assert loaded.payload["meta"] == {"text": "Ünïcode \u2028", "small": 5e-324}
    assert loaded.module_state("net").keys() == {"a", "b", "c"}
    for key, value in tensors.items():
        assert loaded.tensors[key].dtype == value.dtype
        assert torch.equal(loaded.tensors[key], value)
    with pytest.raises(ArtefactError, match="no module 'ne'"):
        loaded.module_state("ne")  # a beginning of a name is not the name


def test_only_the_last_two_checkpoints_are_kept(tmp_path):
    for step in (1, 9, 10, 100):
        save_checkpoint(tmp_path, {"net/a": torch.ones(1)}, {**PAYLOAD, "step": step})
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        f"last-{step:08d}.{kind}" for step in (10, 100) for kind in ("json", "safetensors")
    ]
    assert load_checkpoint(tmp_path).step == 100


def test_no_pickle_is_written(finished):
    for path in (finished / "checkpoints").glob("*.safetensors"):
        content = path.read_bytes()
        assert content[:2] not in (b"\x80\x02", b"\x80\x04", b"PK")
        json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


@pytest.mark.parametrize("kind", ["json", "safetensors"])
@pytest.mark.parametrize("flips", [50, pytest.param(500, marks=pytest.mark.slow)])
def test_every_damage_is_detected(finished, tmp_path, kind, flips):
    """Fault 6: bit flips, and a tenth as many truncations, of either file."""
    folder = _copy(finished, tmp_path)
    shutil.rmtree(folder / "checkpoints")
    (folder / "checkpoints").mkdir()
    for path in _files(finished, 40):
        shutil.copy(path, folder / "checkpoints")
    path = next(path for path in _files(folder, 40) if path.suffix == f".{kind}")
    whole, draw = path.read_bytes(), random.Random(0)
    load_checkpoint(folder)
    damaged = [whole[: draw.randrange(len(whole))] for _ in range(flips // 10)] + [whole[:-1], whole + b"\n"]
    for _ in range(flips):
        bit = draw.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        recorder = Recorder()
        with pytest.raises(ArtefactError, match=r"every checkpoint in .* is damaged"):
            load_checkpoint(folder, warn=recorder.warn)
        assert len(recorder.warnings) == 1 and str(path.with_suffix(".json")) in recorder.warnings[0]


def test_a_damaged_checkpoint_falls_back_with_a_warning(finished, tmp_path):
    folder = _copy(finished, tmp_path)
    tensors = _files(folder, 40)[1]
    tensors.write_bytes(tensors.read_bytes()[:-7])
    recorder = Recorder()
    assert load_checkpoint(folder, warn=recorder.warn).step == 35
    assert "damaged" in recorder.warnings[0] and "last-00000040" in recorder.warnings[0]
    with pytest.warns(UserWarning, match="damaged"):
        load_checkpoint(folder)
    tensors.unlink()
    assert load_checkpoint(folder, warn=recorder.warn).step == 35


def test_folders_and_files_without_a_checkpoint_are_rejected(tmp_path):
    with pytest.raises(ArtefactError, match="holds no checkpoint"):
        load_checkpoint(tmp_path / "absent")
    save_checkpoint(tmp_path, {"net/a": torch.ones(1)}, PAYLOAD)
    path = _files(tmp_path, 3)[0]
    for content in (
        b"",
        b"[]",
        b"null",
        b'{"payload": 3, "sha256": ""}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"payload":{}}',
    ):
        path.write_bytes(content)
        with pytest.raises(ArtefactError, match=r"every checkpoint in .* is damaged"):
            load_checkpoint(tmp_path, warn=Recorder().warn)


def test_a_huge_json_file_is_rejected_before_it_is_parsed(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, {"net/a": torch.ones(1)}, PAYLOAD)
    monkeypatch.setattr(checkpoints, "_JSON_LIMIT_BYTES", 100)
    monkeypatch.setattr(checkpoints.json, "loads", lambda *_: pytest.fail("was parsed"))
    with pytest.raises(ArtefactError, match=r"every checkpoint in .* is damaged"):
        load_checkpoint(tmp_path, warn=Recorder().warn)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format": 2}, "format 2"),
        ({"kind": "clip"}, "kind is clip"),
        ({"stage": "audio"}, "'audio'"),
        ({"state": None}, "state"),
    ],
)
def test_an_incompatible_checkpoint_is_an_error_and_is_not_skipped(tmp_path, change, named):
    """Fault 7: a mismatch, unlike damage, must not fall back to an older checkpoint that fits."""
    save_checkpoint(tmp_path, {"net/a": torch.ones(1)}, PAYLOAD)
    foreign = {**PAYLOAD, "step": 4, **change}
    if change == {"state": None}:
        del foreign["state"]
    save_checkpoint(tmp_path, {"net/a": torch.ones(1)}, foreign)
    with pytest.raises(ArtefactError, match=named):
        load_checkpoint(tmp_path, stage="tiny")


def test_state_survives_a_round_trip_bit_by_bit(tmp_path):
    stage = make_stage(seed=3)
    for step in range(5):
        stage.step(step)
    tensors, state = capture(stage)
    save_checkpoint(tmp_path, {key: value.clone() for key, value in tensors.items()}, {**PAYLOAD, "state": state})
    expected = [stage.step(step)["loss"] for step in (5, 6, 7)]
    other = make_stage(seed=99)
    other.step(0)
    restore(other, load_checkpoint(tmp_path))
    assert [other.step(step)["loss"] for step in (5, 6, 7)] == expected
    for name, optimiser in stage.optimisers.items():
        group, restored = optimiser.param_groups[0], other.optimisers[name].param_groups[0]
        assert restored["betas"] == group["betas"] and isinstance(restored["betas"], tuple)
        assert restored["lr"] == group["lr"]
        for parameter, twin in zip(group["params"], restored["params"], strict=True):
            have, want = other.optimisers[name].state[twin], optimiser.state[parameter]
            assert have.keys() == want.keys() and "step" in have
            for key in want:
                assert have[key].dtype == want[key].dtype and torch.equal(have[key], want[key])


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        (torch.optim.RMSprop, {"centered": True, "momentum": 0.5}),
        (torch.optim.Adam, {"amsgrad": True, "foreach": True}),
        (torch.optim.Adam, {"fused": True, "lr": torch.tensor(0.01)}),
        (torch.optim.Adagrad, {}),
        (torch.optim.RAdam, {}),
    ],
)
def test_state_of_every_optimiser_is_kept(tmp_path, make, options):
    options = {"lr": 0.01, **options}

    def stage():
        made = make_stage()
        groups = [
            {"params": made.modules["body"].parameters()},
            {"params": made.modules["head"].parameters(), "lr": 0.1},
        ]
        made.optimisers = {"only": make(groups, **options)}
        return made

    def steps(made, numbers):
        losses = []
        for step in numbers:
            losses.append(made.step(step)["loss"])
        return losses

    whole, again = stage(), stage()
    steps(whole, range(4))
    tensors, state = capture(whole)
    save_checkpoint(tmp_path, {key: value.clone() for key, value in tensors.items()}, {**PAYLOAD, "state": state})
    expected = steps(whole, range(4, 8))
    restore(again, load_checkpoint(tmp_path))
    assert steps(again, range(4, 8)) == expected
    for a, b in zip(whole.modules["body"].parameters(), again.modules["body"].parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_with_other_tensors_is_rejected(tmp_path):
    tensors, state = capture(make_stage())
    save_checkpoint(tmp_path, tensors, {**PAYLOAD, "state": state})
    loaded = load_checkpoint(tmp_path)
    with pytest.raises(ArtefactError, match=r"body/0.bias is \[8\] torch.float32 in the checkpoint, but \[9\]"):
        restore(make_stage(width=9), loaded)
    half = make_stage()
    half.modules["head"].to(torch.bfloat16)
    with pytest.raises(ArtefactError, match=r"head/bias is .*float32 in the checkpoint, .*bfloat16 here"):
        restore(half, loaded)
    fewer = make_stage()
    del fewer.optimisers["adamw"]
    with pytest.raises(ArtefactError, match="optimisers"):
        restore(fewer, loaded)
    more = make_stage()
    more.modules["neck"] = torch.nn.Linear(1, 1)
    with pytest.raises(ArtefactError, match="neck"):
        restore(more, loaded)
    regrouped = make_stage()
    regrouped.optimisers["adamw"] = torch.optim.AdamW([regrouped.modules["head"].weight])
    with pytest.raises(ArtefactError, match="optimiser"):
        restore(regrouped, loaded)
    loaded.payload["state"]["random"]["generator_device"] = "cuda"
    with pytest.raises(ArtefactError, match="--device cuda"):
        restore(make_stage(), loaded)


def test_nan_and_infinity_are_never_saved():
    stage = make_stage()
    stage.modules["head"].bias.data.fill_(float("inf"))
    with pytest.raises(DivergedError, match="head/bias"):
        capture(stage)
    stage = make_stage()
    stage.step(0)
    parameter = stage.modules["body"][0].weight
    stage.optimisers["adam"].state[parameter]["exp_avg_sq"][0, 0] = float("nan")
    with pytest.raises(DivergedError, match="exp_avg_sq"):
        capture(stage)


def test_tied_and_strided_parameters_are_kept(tmp_path):
    stage = make_stage()
    tied = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    tied[0].register_buffer("turned", torch.arange(6.0).reshape(2, 3).T)
    stage.modules["tied"] = tied
    tensors, state = capture(stage)
    save_checkpoint(tmp_path, tensors, {**PAYLOAD, "state": state})
    loaded = load_checkpoint(tmp_path).module_state("tied")
    assert torch.equal(loaded["0.weight"], loaded["1.weight"])
    assert torch.equal(loaded["0.turned"], tied[0].turned)


def test_sweep_removes_only_the_files_of_killed_saves(tmp_path):
    save_checkpoint(tmp_path, {"net/a": torch.ones(1)}, PAYLOAD)
    folder = tmp_path / "checkpoints"
    kept = {path.name for path in folder.iterdir()} | {"mine.safetensors"}
    for name in ("last-00000009.safetensors", ".last-00000009.safetensors.7.partial.safetensors", "mine.safetensors"):
        (folder / name).write_bytes(b"x")
    sweep(tmp_path)
    assert {path.name for path in folder.iterdir()} == kept


def test_stored_steps_gives_the_step_count_of_a_run(tmp_path):
    assert stored_steps(tmp_path) is None
    save_checkpoint(tmp_path, {"net/a": torch.ones(1)}, PAYLOAD)
    save_checkpoint(tmp_path, {"net/a": torch.ones(1)}, {**PAYLOAD, "step": 5})
    _files(tmp_path, 5)[0].write_bytes(b"{")
    assert stored_steps(tmp_path) == 9


def test_a_failed_save_keeps_the_previous_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, {"net/a": torch.ones(1)}, PAYLOAD)
    write = Path.write_bytes

    def full(path, content):
        write(path, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SetupError, match="No space left"):
        save_checkpoint(tmp_path, {"net/a": torch.zeros(9)}, {**PAYLOAD, "step": 4})
    monkeypatch.undo()
    assert load_checkpoint(tmp_path).step == 3
    assert [path for path in (tmp_path / "checkpoints").iterdir() if "partial" in path.name] == []
