"""The benchmark of a linear map from speech features to lips."""

from __future__ import annotations

import json

import lip_features
import numpy as np
import pytest

from tests.helpers.tiny_clip import make_clip, move_lips


def made(count, seed, noise=0.1):
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, 4))
    lips = rows[:, :2] + noise * random.normal(size=(count, 2))
    return lip_features.Speech({"x": rows}, (lips - lips.mean(0)) / lips.std(0))


def test_a_linear_relation_is_found_on_people_who_were_left_out():
    people = [made(200, seed) for seed in range(3)]
    found = lip_features.left_out(people, [], "x")
    assert found["opening_r"] > 0.9 and found["width_r"] > 0.9
    unrelated = lip_features.Speech({"x": people[0].features["x"]}, np.random.default_rng(9).normal(size=(200, 2)))
    assert abs(lip_features.left_out([unrelated], people, "x")["opening_r"]) < 0.25
    assert lip_features.left_out(people[:1], people[1:], "x")["opening_r"] > 0.9


def test_context_repeats_the_outermost_rows():
    rows = np.arange(4.0)[:, None]
    assert lip_features.with_context(rows)[0].tolist() == [0, 0, 0, 0, 1, 2, 3]


def test_features_of_clips_are_compared(tmp_path, capsys):
    pytest.importorskip("librosa")
    clips = [move_lips(make_clip(tmp_path / name, frames=50, size=16, seed=seed)) for seed, name in enumerate("ab")]
    lip_features.main([*map(str, clips), "--features", "logmel", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"spectrum", "logmel"}
    assert all(-1 <= value <= 1 for row in document.values() for value in row.values())
