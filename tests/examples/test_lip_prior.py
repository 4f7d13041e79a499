"""The benchmark of the lip prior on worse sound."""

from __future__ import annotations

import json

import lip_prior
import numpy as np
import pytest

from tests.helpers.tiny_clip import make_clip, move_lips


def test_another_sound_is_mixed_in_at_its_level():
    random = np.random.default_rng(0)
    wave, other = random.normal(size=16000), 7 * random.normal(size=5000)
    added = lip_prior.mixed(wave, other, 10.0) - wave
    assert np.square(wave).mean() / np.square(added).mean() == pytest.approx(10, rel=0.05)


def test_every_change_has_a_row(tmp_path, capsys):
    clip = move_lips(make_clip(tmp_path / "clip", frames=60, size=16))
    lip_prior.main([str(clip), "--music", str(clip / "audio.wav"), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert len(document) == 9 and {"clean", "music, 10 dB below", "1.25 times as long"} <= set(document)
    assert document["a hundredth of the level"]["opening_r"] == pytest.approx(document["clean"]["opening_r"], abs=0.02)


def test_each_person_is_left_out_once(tmp_path, capsys):
    clips = [move_lips(make_clip(tmp_path / name, frames=50, size=16, seed=seed)) for seed, name in enumerate("ab")]
    lip_prior.main([*map(str, clips), "--left-out", "--steps", "1", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert set(rows) == {"a", "b", "mean"}
    assert rows["mean"]["width_r"] == pytest.approx((rows["a"]["width_r"] + rows["b"]["width_r"]) / 2, abs=1e-3)
