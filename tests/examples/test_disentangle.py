"""Part 3 of the benchmark of disentanglement: what each row trains, and how tables of several runs are joined."""

from __future__ import annotations

from pathlib import Path

import disentangle
import disentangle_heads
import disentangle_video
import pytest
import torch
from disentangle_heads import PAPER_SMALL, ROWS, UNWIRED
from disentangle_runs import Steps

from jean.models.head.base import HeadArguments
from jean.models.head.registry import HEADS
from jean.progress import Silent
from jean.train.nerf.presets import resolve

STEPS = Steps(landmarks=1, audio=1, expression=1, head=7)
BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))


def configured(monkeypatch, row, preset):
    """The resolved configuration that a row trains with; the stages before it are not run."""
    monkeypatch.setattr(disentangle_heads, "expression_run", lambda *_: Path("expression"))
    monkeypatch.setattr(disentangle_heads, "audio_run", lambda *_: Path("audio"))
    found = []
    monkeypatch.setattr("jean.train.nerf.train.train_nerf", lambda clips, run, config, reporter: found.append(config))
    options = disentangle_heads.training_options(row, preset, None, STEPS, Silent())
    disentangle_video.head(Path("clips"), Path("run"), options, STEPS, Silent())
    return resolve(found[0])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_has_a_configuration_in_every_preset(monkeypatch, row):
    fast, unwired, paper = (configured(monkeypatch, row, name) for name in ("fast", UNWIRED, PAPER_SMALL))
    assert {config.steps for config in (fast, unwired, paper)} == {7}
    assert fast.lip_weight == (0.0 if row.method == "expression-only" else 0.02) and unwired.lip_weight == 0
    assert (paper.rays, paper.learning_rate, paper.torso, paper.background) == (512, 5e-4, False, "plate")
    assert unwired.expression_window_s == paper.expression_window_s == (1.0 if row.name.endswith("-slow") else 0.0)


def test_nothing_but_the_network_moves_the_mouth_of_the_unwired_head():
    shape = torch.randn(68, 3, generator=torch.Generator().manual_seed(0)).tolist()
    head = HEADS.load(UNWIRED)(HeadArguments((2, 3, 0), BOX, shape))
    head.fit_deformation(torch.ones(5, 2), torch.ones(5, 68, 2))
    mouth = torch.zeros(1, 68, 2)
    mouth[:, 48:] = 1.0
    moved = [
        head.deformation(offsets, lips) for offsets, lips in ((mouth, torch.ones(1, 2)), (0 * mouth, torch.zeros(1, 2)))
    ]
    assert torch.equal(*moved)


def test_the_small_head_of_the_paper_takes_a_third_of_its_samples():
    head = HEADS.load(PAPER_SMALL)(HeadArguments((32, 64, 0), BOX, torch.zeros(68, 3).tolist()))
    assert (head.coarse_samples, head.fine_samples) == (24, 40)
    assert head.fine.layers[0].out_features == 128


def test_rows_of_a_later_run_replace_those_of_the_same_model():
    before = {
        "video": [{"model": "a", "x": 1}, {"model": "b", "x": 2}],
        "audio": [{"model": "e", "on": "x"}, {"model": "e", "on": "y"}],
    }
    joined = disentangle.merged(before, {"video": [{"model": "a", "x": 3}, {"model": "c", "x": 4}]})
    assert joined["video"] == [{"model": "a", "x": 3}, {"model": "b", "x": 2}, {"model": "c", "x": 4}]
    assert joined["audio"] == before["audio"]
