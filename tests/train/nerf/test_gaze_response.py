"""The measurement of how a head's gaze responds, with a head whose response is known and eyeballs placed by hand."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from jean.drivers.eyes import CLOSURE, GAZE, camera_gaze
from jean.drivers.person_eyes import PersonEyes
from jean.features.base import Face
from jean.geometry import Camera
from jean.models.talking_head import Frames
from jean.progress import Silent
from jean.train.nerf import measurement
from jean.train.nerf.gaze_response import measure_gaze
from jean.train.nerf.measurement import Measurement
from tests.helpers.eye_clip import OPEN_CM, face_in, pose_of, with_eye_corners

ZERO = np.array([2.0, -6.0])  # what the tracker sees of eyes that look straight ahead, less the truth
CAMERA = Camera(focal_px=400.0, center_px=(128.0, 128.0), width_px=256, height_px=256)


class Tracker:
    """Sees the eyes that a picture holds as numbers: gaze to the right and down, degrees, and the frame."""

    version = "1"

    def __init__(self, shape, poses):
        self.shape, self.poses = shape, poses

    def track(self, frames):
        for _, (right, down, row) in frames:
            marks, irises = face_in(self.shape, CAMERA, self.poses[int(row)], ZERO + np.array([right, down]), OPEN_CM)
            yield [Face(marks, marks, irises, np.zeros(0), None, 1.0)] if np.isfinite(right) else []


@dataclass
class Said(Silent):
    text: str = ""

    def say(self, message):
        self.text += message


@pytest.fixture
def person(monkeypatch):
    """Somebody who turns the head by up to 10 degrees and keeps the eyes near the camera."""
    random = np.random.default_rng(0)
    shape = with_eye_corners(np.zeros((68, 3)))
    poses = np.stack([pose_of([0.3 * turn, turn, 0.0]) for turn in random.uniform(-10, 10, 90)])
    gaze = camera_gaze(poses) + random.normal(size=(90, 2)) * 2
    values = np.concatenate([gaze, np.full((90, 2), 0.05)], 1).astype(np.float32)
    eyes = PersonEyes.fit(values, np.zeros((90, 68, 2)), np.zeros((90, 3)), np.arange(90), 90)
    clip = SimpleNamespace(meta=SimpleNamespace(tracker=SimpleNamespace(name="mediapipe")), fps=25.0, camera=CAMERA)
    data = SimpleNamespace(
        clips=[clip],
        clip_of=np.zeros(90, int),
        train=np.arange(80),
        shape=shape,
        eyes=values,
        camera_to_world=poses,
        image=lambda t: np.array([*values[t, GAZE], t]),
        plate=lambda t: t,
    )
    monkeypatch.setattr(measurement.registry, "create", lambda kind, name: Tracker(shape, poses))
    return eyes, data


def measure(person, head, monkeypatch, progress=None):
    """The response of ``head``, a function of the asked gaze [2] and of the gaze [2] that meets the camera."""
    eyes, data = person

    def render(model, frames, row):
        assert frames.eyes[0, CLOSURE].max() < 0.1
        to_camera = camera_gaze(data.camera_to_world[[row]])[0]
        return SimpleNamespace(rgb=np.array([*head(frames.eyes[0, GAZE].double().numpy(), to_camera), row]))

    monkeypatch.setattr(measurement, "render_frame", render)
    frame = Frames(*(torch.zeros(1) for _ in range(5)), offsets=torch.zeros(1, 68, 2))
    model = SimpleNamespace(device=torch.device("cpu"))
    prepared = Measurement.prepare(model, lambda rows: frame, data, progress or Silent())
    return measure_gaze(prepared, eyes, "abc")


def test_asking_by_the_measured_response_renders_the_wanted_gaze_in_any_pose(person, monkeypatch):
    def head(asked, to_camera):
        return np.array([0.5, 0.4]) * asked + np.array([0.4, 0.2]) * to_camera + [1.0, -0.5]

    found = measure(person, head, monkeypatch)
    assert found.checkpoint == "abc" and found.tracker == "mediapipe 1"
    to_camera = np.array([[-8.0, 2.0], [0.0, 0.0], [8.0, -2.0]])
    wanted = np.array([[-4.0, 1.0], [2.0, 0.0], [4.0, -1.0]])
    asked = found.ask_for(wanted, to_camera)
    rendered = np.stack([head(*each) for each in zip(asked, to_camera, strict=True)])
    np.testing.assert_allclose(rendered, wanted, atol=0.6)  # the rest of the eyes is known to half a degree


def test_where_the_eyes_are_torn_nothing_further_is_asked_for(person, monkeypatch):
    def head(asked, to_camera):
        return 0.8 * asked * np.where(np.abs(asked) > 12.0, 0.05, 1.0)

    found = measure(person, head, monkeypatch)
    furthest = found.ask_for(np.array([[60.0, 60.0], [-60.0, -60.0]]), np.zeros((2, 2)))
    assert np.abs(furthest).max() <= 12.0 and np.abs(furthest).min() > 4.0


@pytest.mark.parametrize("head", [lambda asked, to_camera: np.zeros(2), lambda asked, to_camera: np.full(2, np.nan)])
def test_eyes_that_do_not_follow_or_are_not_seen_are_no_measurement(person, monkeypatch, head):
    said = Said()
    assert measure(person, head, monkeypatch, said) is None and "not measured" in said.text
