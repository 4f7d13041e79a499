"""The benchmark of what limits the demo's mouth."""

from __future__ import annotations

import json

import demo_mouth
import numpy as np
import pytest

from jean.demo.demo_clips import plan_clips
from jean.synthetic_speaker.controls import CONTROLS
from jean.synthetic_speaker.performance import perform
from jean.synthetic_speaker.speaker_identity import sample_identity


def test_rules_and_prior_are_compared_with_the_drawn_mouth(monkeypatch, capsys):
    monkeypatch.setattr(demo_mouth, "plan_clips", lambda config: plan_clips(config)[:1])
    demo_mouth.main(["--json"])
    rows = json.loads(capsys.readouterr().out)
    (name,) = set(rows) - {"mean"}
    assert rows["mean"] == rows[name] and 0.7 < rows[name]["prior"] < rows[name]["rules"] < 1


def test_the_true_opening_is_that_of_the_drawing():
    identity = sample_identity(0)
    performance = perform(identity, "neutral", 0.0, seconds=3.0, seed=3)
    opening = demo_mouth.true_opening(performance)
    jaw = performance.motion.controls[:, CONTROLS.index("jaw_open")]
    assert len(opening) == performance.frame_count and opening.min() >= 0
    assert np.corrcoef(opening, jaw)[0, 1] > 0.7
    assert demo_mouth.by_rules(performance, np.array([0.0])) == pytest.approx(0.0, abs=0.1)  # silence
