"""Figures of the benchmark of obedience, and the whole program on a tiny head with a tracker that sees a fixed face."""

from __future__ import annotations

import json

import cv2
import numpy as np
import obedience

from jean.drivers.lip_response import LipResponse
from jean.drivers.response import Curve
from jean.progress import Silent
from jean.rendering.head import load_head
from jean.train.nerf.train import NerfConfig, train_nerf
from tests.helpers.tiny_clip import make_clip, move_lips


def test_lips_that_open_half_as_far_have_slope_one_half():
    asked = np.array([0.0, 1.0, np.nan, 2.0])
    made = obedience.figures(asked, 0.5 * asked + 0.5)
    assert made == {"slope": 0.5, "r": 1.0, "bias_cm": 0.0, "rms_cm": 0.408}


def test_the_program_compares_lips_with_and_without_the_correction(tmp_path, monkeypatch, capsys):
    clip = move_lips(make_clip(tmp_path / "clip"))
    train_nerf([clip], tmp_path / "run", NerfConfig(steps=4, rays=144, frames_per_step=1), Silent())
    line = Curve(asked=[0.0, 9.0], rendered=[0.0, 9.0])
    content = load_head(tmp_path / "run", device="cpu").checkpoint.content_hash
    LipResponse(checkpoint=content, tracker="t", opening=line, width=line).write(tmp_path / "run")
    random = np.random.default_rng(0)
    face = type("Face", (), {"landmarks": 24 + 4 * random.normal(size=(68, 2)).clip(-2, 2)})()
    monkeypatch.setattr(obedience, "track", lambda images, fps: [face for _ in images])
    monkeypatch.setattr(obedience, "tracked_lips", lambda images, fps: random.normal(size=(len(images), 2)))
    obedience.main([str(tmp_path / "run"), str(clip), "--frames", "5", "-o", str(tmp_path / "row.png"), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"response", "own", "own_corrected", "further", "further_corrected"}
    assert set(document["own"]["width"]) == {"slope", "r", "bias_cm", "rms_cm"}
    picture = cv2.imread(str(tmp_path / "row.png"))
    assert picture.shape[1] == obedience.SHOWN * picture.shape[0]
