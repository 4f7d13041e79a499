"""The measurement of how a head's lips respond, with a tracker and a head whose errors are known."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from jean.drivers.lip_response import LipResponse
from jean.drivers.lip_style import SEEN, LipStyle
from jean.drivers.support import Support
from jean.errors import SetupError
from jean.features.base import Face
from jean.landmarks import INTER_OCULAR_CM, LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from jean.models.talking_head import Frames
from jean.progress import Silent
from jean.train.nerf import measurement
from jean.train.nerf.lip_response import measure_lips
from jean.train.nerf.measurement import Measurement

PX_PER_CM = 10.0


def points(opening, width):
    """Landmarks [68, 2], px, with an opening and a width in cm."""
    marks = np.zeros((68, 2))
    marks[RIGHT_EYE_OUTER], marks[LEFT_EYE_OUTER] = (0, 0), (INTER_OCULAR_CM, 0)
    marks[61:64, 1], marks[65:68, 1] = 3.0, 3.0 + opening
    marks[48, 0], marks[54, 0] = -width / 2, width / 2
    return PX_PER_CM * marks


class Tracker:
    """Sees lips that a picture holds as two numbers; it overestimates."""

    version = "1"

    def track(self, frames):
        for _, image in frames:
            opening, width = image
            marks = points(1.5 * opening + 0.1, 1.2 * width - 0.5)
            yield [Face(marks, marks, np.zeros((2, 2)), np.zeros(0), None, 1.0)] if np.isfinite(opening) else []


@dataclass
class Said(Silent):
    text: str = ""

    def say(self, message):
        self.text += message


@pytest.fixture
def person(monkeypatch):
    random = np.random.default_rng(0)
    lips = np.stack([random.gamma(2.0, 0.3, 80), 5 + 0.4 * random.normal(size=80)], 1)
    style = LipStyle.fit(lips, lips)  # the coordinates are opening and width themselves
    offsets = np.stack([points(*row) / PX_PER_CM for row in lips])
    data = SimpleNamespace(
        clips=[SimpleNamespace(meta=SimpleNamespace(tracker=SimpleNamespace(name="mediapipe")), fps=25.0)],
        train=np.arange(80),
        shape=np.zeros((68, 3)),
        measured_offsets=offsets,
        landmarks=np.tile(points(1.0, 5.0), (80, 1, 1)),
        image=lambda t: lips[t],
        plate=lambda t: None,
    )
    monkeypatch.setattr(measurement.registry, "create", lambda kind, name: Tracker())
    return style, data


def measure(style, data, head, monkeypatch, progress=None):
    def render(model, frames, plate):
        seen, moved = frames.lips[0].double().numpy(), frames.lip_motion[0].double().numpy()
        return SimpleNamespace(rgb=head(seen, moved))

    monkeypatch.setattr(measurement, "render_frame", render)
    frame = Frames(*(torch.zeros(1) for _ in range(6)))
    model = SimpleNamespace(device=torch.device("cpu"))
    support = Support.fit(np.random.default_rng(1).normal(size=(500, 2)) * 50, scale_floor=0.02)  # limits nothing here
    prepared = Measurement.prepare(model, lambda rows: frame, data, progress or Silent())
    return None if prepared is None else measure_lips(prepared, style, support, "abc")


def test_errors_of_the_tracker_cancel(person, monkeypatch):
    style, data = person
    found = measure(style, data, lambda seen, moved: 0.5 * moved + [0.2, 2.0], monkeypatch)
    assert isinstance(found, LipResponse) and found.checkpoint == "abc" and found.tracker == "mediapipe 1"
    low, high = style.quantiles[0, [0, -1]]
    assert found.opening.asked[0] == pytest.approx(low) and found.opening.asked[-1] > high + 0.2 * (high - low)
    np.testing.assert_allclose(found.opening.rendered, 0.5 * np.array(found.opening.asked) + 0.2, atol=0.03)
    np.testing.assert_allclose(found.width.rendered, 0.5 * np.array(found.width.asked) + 2.0, atol=0.03)
    wanted = np.array([[0.6, 5.0]])
    np.testing.assert_allclose(0.5 * found.ask_for(wanted) + [0.2, 2.0], wanted, atol=0.04)


def test_beyond_the_persons_range_only_the_landmarks_move_on(person, monkeypatch):
    style, data = person
    seen_openings, moved_openings = [], []

    def head(seen, moved):
        seen_openings.append(seen[0])
        moved_openings.append(moved[0])
        return moved

    measure(style, data, head, monkeypatch)
    low, high = style.quantiles[0, [0, -1]]
    assert max(seen_openings) == pytest.approx(high + SEEN * (high - low), abs=0.05)
    assert max(moved_openings) > high + 0.3 * (high - low)


def test_lips_that_do_not_follow_or_are_not_seen_are_no_measurement(person, monkeypatch):
    style, data = person
    for head in (lambda seen, moved: np.array([1.0, 5.0]), lambda seen, moved: np.array([np.nan, np.nan])):
        said = Said()
        assert measure(style, data, head, monkeypatch, said) is None and "not measured" in said.text


@pytest.mark.parametrize("error", [SetupError("the weights are missing.", "Get them."), TypeError("video")])
def test_without_a_tracker_a_message_says_so(person, monkeypatch, error):
    def create(kind, name):
        raise error

    monkeypatch.setattr(measurement.registry, "create", create)
    said = Said()
    assert measure(*person, lambda seen, moved: moved, monkeypatch, said) is None
    assert "not measured" in said.text
