"""A head whose training was broken off ends with the same weights, whatever it is made of."""

from __future__ import annotations

import pytest
from tiny_clip import make_clip

from jean.errors import Interrupted
from jean.progress import Silent
from jean.train.checkpoint import load_checkpoint
from jean.train.nerf import NerfConfig, NerfStage, train_nerf

CASES = {
    "fast": {"rays": 64, "frames_per_step": 4},
    "paper": {"preset": "paper", "rays": 8},
    # broken off before smoothing begins (step 4) and after
    "attention": {"rays": 64, "frames_per_step": 4, "audio_attention": 8},
}


SLOW = pytest.mark.slow  # the paper's 192 samples a ray


@pytest.mark.parametrize(
    "case, stop_at", [("fast", 6), pytest.param("paper", 6, marks=SLOW), ("attention", 3), ("attention", 6)]
)
def test_an_interrupted_run_ends_with_the_same_weights(case, stop_at, tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "clip", frames=8, size=16)
    config = NerfConfig(steps=8, device="cpu", **CASES[case])
    whole = train_nerf([clip], tmp_path / "whole", config, Silent())
    step = NerfStage.step

    def stopping(self, number):
        if number == stop_at:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(NerfStage, "step", stopping)
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        train_nerf([clip], tmp_path / "broken", config, Silent())
    assert 0 < load_checkpoint(tmp_path / "broken").step <= stop_at
    monkeypatch.setattr(NerfStage, "step", step)
    again = train_nerf([clip], tmp_path / "broken", config, Silent())
    hashes = [load_checkpoint(tmp_path / name).content_hash for name in ("whole", "broken")]
    assert hashes[0] == hashes[1]
    assert {key for key in whole if whole[key] != again[key]} <= {"seconds", "rays_per_s"}
