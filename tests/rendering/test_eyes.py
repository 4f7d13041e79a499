"""Gaze and lids of a result: what --gaze and --blink change, and what they leave."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from jean.checkpoint import load_checkpoint
from jean.config import load_config
from jean.drivers.eyes import CLOSURE, GAZE, camera_gaze
from jean.drivers.gaze_response import AxisResponse, GazeResponse
from jean.drivers.person import read_person
from jean.drivers.person_eyes import lid_offsets
from jean.drivers.response import Curve
from jean.errors import InputError, UsageError
from jean.landmarks import EYES
from jean.media import write_wav
from jean.progress import Silent
from jean.rendering.config import RenderConfig
from jean.rendering.eyes import corrected_gaze
from jean.rendering.head import load_head
from jean.rendering.load import load_model
from jean.rendering.render import render
from jean.train.nerf.train import NerfConfig, train_nerf
from tests.helpers.eye_clip import OPEN_CM, clip_of
from tests.helpers.tiny_clip import make_clip

FRAMES = 40


def eye_clip(folder, seed):
    """A clip whose eyes wander and blink, of one drawn face."""
    random = np.random.default_rng(seed)
    opening = np.full(FRAMES, OPEN_CM)
    opening[[9, 10, 25]] = 0.15 * OPEN_CM
    return clip_of(folder, random.normal(size=(FRAMES, 2)) * [10.0, 5.0], opening)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with eyes as inputs, its clip, and another clip."""
    folder = tmp_path_factory.mktemp("eyes")
    eye_clip(folder / "clip", 0), eye_clip(folder / "other", 1)
    train_nerf([folder / "clip"], folder / "run", NerfConfig(steps=12, rays=576, frames_per_step=1), Silent())
    return folder


@pytest.fixture(scope="module")
def head(made):
    return load_head(made / "run")


def eyes_of(drive):
    return drive.tracks.eyes.numpy()


def test_without_options_the_eyes_are_those_of_the_training_clip(made, head, speech):
    drive, person = head.drive(speech), read_person(made / "run")
    assert head.model.eye_width == 4
    own = person.eyes.limit(person.eyes.values[: len(drive)])[0]
    np.testing.assert_allclose(eyes_of(drive), own, atol=1e-4)
    # the lids are the measured ones where nothing is limited
    same = np.isclose(own, person.eyes.values[: len(drive)]).all(1)
    assert same.any()
    np.testing.assert_allclose(drive.tracks.offsets.numpy()[same], person.offsets[: len(drive)][same], atol=1e-4)


def test_a_gaze_is_followed_within_the_range_and_leaves_the_lids(head, speech):
    plain, asked = head.drive(speech), head.drive(speech, gaze="6,-3")
    np.testing.assert_allclose(eyes_of(asked)[:, GAZE], [[6.0, -3.0]] * len(asked), atol=1e-4)
    np.testing.assert_array_equal(eyes_of(asked)[:, CLOSURE], eyes_of(plain)[:, CLOSURE])
    far = head.drive(speech, gaze="80,0")
    assert 15 < eyes_of(far)[0, 0] < 50 and far.reductions["gaze"].largest > 0.3
    assert plain.reductions["gaze"].largest < 0.3


def test_a_measured_response_asks_the_head_for_more_and_leaves_the_lids(made, head, speech):
    plain, uncorrected = head.drive(speech, gaze="6,-3", pose="still"), eyes_of(head.drive(speech))
    line = Curve(asked=[-40.0, 40.0], rendered=[-20.0, 20.0])  # the eyes turn half as far as they are asked to
    axis = AxisResponse(curve=line, with_turn=0.0, mean_turn_deg=0.0)
    found = GazeResponse(checkpoint=head.checkpoint.content_hash, tracker="t", across=axis, down=axis)
    found.write(made / "run")
    try:
        drive, own = head.drive(speech, gaze="6,-3", pose="still"), head.drive(speech)
        steep = Curve(asked=[-400.0, 400.0], rendered=[-20.0, 20.0])
        axis = AxisResponse(curve=steep, with_turn=0.0, mean_turn_deg=0.0)
        GazeResponse(checkpoint=head.checkpoint.content_hash, tracker="t", across=axis, down=axis).write(made / "run")
        far = head.drive(speech, gaze="12,-3")
    finally:
        (made / "run" / GazeResponse.FILE).unlink()
    np.testing.assert_allclose(eyes_of(drive)[:, GAZE], [[12.0, -6.0]] * len(drive), atol=1e-3)
    assert eyes_of(far)[0, 0] > 59  # who asks for it gets what turns the eyes; LEAST_SLOPE allows a factor of five
    # a source's gaze is corrected within the range of the training
    within, kept = head.person.eyes.gaze.limit(found.ask_for(uncorrected[:, GAZE], np.zeros((len(own), 2))))
    assert kept.min() < 0.9
    np.testing.assert_allclose(eyes_of(own)[:, GAZE], within, atol=1e-3)
    np.testing.assert_array_equal(eyes_of(own)[:, CLOSURE], uncorrected[:, CLOSURE])
    np.testing.assert_array_equal(eyes_of(drive)[:, CLOSURE], eyes_of(plain)[:, CLOSURE])
    np.testing.assert_array_equal(drive.tracks.offsets.numpy(), plain.tracks.offsets.numpy())


def test_the_correction_fades_while_the_lids_close(head):
    line = Curve(asked=[-40.0, 40.0], rendered=[-20.0, 20.0])
    axis = AxisResponse(curve=line, with_turn=0.0, mean_turn_deg=0.0)
    response = GazeResponse(checkpoint=head.checkpoint.content_hash, tracker="t", across=axis, down=axis)
    values = np.array([[6.0, -3.0, lid, 0.0] for lid in (0.0, 0.3, 0.45, 0.6, 1.0)])
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, 2, 3] = -50.0
    gaze = corrected_gaze(response, head.person.eyes, values, poses, named=True)
    np.testing.assert_allclose(gaze, np.array([2.0, 2.0, 1.5, 1.0, 1.0])[:, None] * [6.0, -3.0], atol=1e-6)


def test_a_gaze_at_the_camera_turns_against_the_head(head, speech):
    drive = head.drive(speech, gaze="At-Camera")
    wanted = camera_gaze(drive.tracks.camera_to_world.double().numpy())
    np.testing.assert_allclose(eyes_of(drive)[:, GAZE], wanted, atol=0.01)
    turned = head.drive(speech, gaze="at-camera", pose="still", yaw=10)
    straight = head.drive(speech, gaze="at-camera", pose="still")
    assert 8 < abs(eyes_of(turned)[0, 0] - eyes_of(straight)[0, 0]) < 12


def test_blinks_come_from_a_clip_or_not_at_all(made, head, speech):
    drive = head.drive(speech, blink="off")
    assert eyes_of(drive)[:, CLOSURE].max() < 0.05
    long = made / "long.wav"
    write_wav(long, np.zeros(16000 * FRAMES // 25, np.float32), 16000)
    drive = head.drive(long, blink=str(made / "other"), gaze=str(made / "other"))
    closure = eyes_of(drive)[:, CLOSURE].min(1)
    assert np.flatnonzero(closure > 0.9).tolist() == [9, 10, 25]
    eyes = head.person.eyes
    upper = drive.tracks.offsets.numpy()[:, EYES]
    rest = lid_offsets(eyes.lids, eyes_of(drive))
    # a closed lid of the result is where the person's own closed lid is, up to what else moves it
    assert np.abs((upper - rest)[[9, 10, 25]]).max() < 0.15 < np.abs(np.ptp(rest, 0)).max()


def test_a_foreign_source_lends_its_glances_and_blinks_but_not_its_constant_gaze(made, head):
    sound = made / "clip" / "audio.wav"
    aside = clip_of(made / "aside", np.tile([[25.0, 10.0], [31.0, 10.0]], (FRAMES // 2, 1)), np.full(FRAMES, OPEN_CM))
    gaze = eyes_of(head.drive(sound, expression=str(aside.folder)))[:, 0]
    assert np.abs(np.diff(gaze)).min() > 3  # the glances arrive
    assert abs(gaze.mean() - head.person.eyes.mean[0]) < 16  # from about where the person looks
    asked = eyes_of(head.drive(sound, gaze=str(aside.folder)))[:, 0]
    assert asked.mean() > gaze.mean() + 3  # --gaze asks for the directions themselves


def test_eyes_act_on_the_region_of_the_eyes_alone(made, tmp_path):
    """In the field of tri-planes; for Gaussians see ``tests/models/head``."""
    config = NerfConfig(preset="fast", steps=2, rays=64, frames_per_step=2)
    train_nerf([made / "clip"], tmp_path / "run", config, Silent())
    head = load_head(tmp_path / "run")
    model = head.model
    eyes_part, mouth_part = model.head.field.parts
    frames = head.drive(made / "clip" / "audio.wav").frame(0)
    other = torch.tensor([[12.0, -6.0, 0.9, 0.9]])
    one, two = model.condition(frames), model.condition(replace(frames, eyes=other))
    assert torch.equal(mouth_part.inputs(one), mouth_part.inputs(two))
    assert (eyes_part.inputs(one) != eyes_part.inputs(two)).sum() == 4
    inside = torch.tensor([[0.0, mouth_part.low[1] + mouth_part.size[1] / 2, -5.0]])
    assert inside[0, 1] > eyes_part.low[1] + eyes_part.size[1]
    view, frame = torch.zeros(1, 3), torch.zeros(1, dtype=torch.long)
    values = zip(model.head.field(inside, one, view, frame), model.head.field(inside, two, view, frame), strict=True)
    assert all(torch.allclose(first, second, atol=1e-5) for first, second in values)


def test_heads_without_these_inputs_refuse_the_options(trained, speech, tmp_path):
    for option in ({"gaze": "0,0"}, {"blink": "off"}):
        with pytest.raises(UsageError, match="--set eyes=true"):
            render(trained / "run", RenderConfig(audio=speech, **option), tmp_path / "a.mp4", Silent())
    assert load_model(load_checkpoint(trained / "run"), "cpu").eye_width == 0


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"gaze": "100,0"}, UsageError, "between -90 and 90"),
        ({"gaze": "1,2,3"}, UsageError, "between -90 and 90"),
        ({"gaze": "nan,0"}, UsageError, "between -90 and 90"),
        ({"gaze": "at-camer"}, InputError, "at-camera"),
        ({"blink": "of"}, InputError, "off"),
        ({"blink": "speech.wav"}, InputError, "not a prepared clip"),
    ],
)
def test_wrong_values_are_refused_with_one_line(made, speech, tmp_path, monkeypatch, options, error, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=text):
        render(made / "run", load_config(RenderConfig, audio=speech, **options), tmp_path / "a.mp4", Silent())


def test_a_clip_without_irises_says_nothing_about_gaze(made, head, speech, tmp_path):
    blind = make_clip(tmp_path / "blind")
    with pytest.raises(InputError, match="no irises"):
        head.drive(speech, gaze=str(blind))
    with pytest.raises(InputError, match="no irises in most frames"):
        train_nerf([blind], tmp_path / "run", NerfConfig(steps=1, eyes=True), Silent())
    with pytest.raises(UsageError, match="takes no eyes"):
        train_nerf([blind], tmp_path / "run", NerfConfig(steps=1, eyes=True, preset="paper"), Silent())


def test_the_expression_vector_no_longer_tells_the_eyes(made, head):
    person = head.person
    vectors = torch.from_numpy(person.expression).float()
    model = head.model
    standard = (vectors - model.expression_mean) / model.expression_std
    assert model.eye_read.shape == (vectors.shape[1], 6) and torch.isfinite(model.eye_write).all()
    left = standard - standard @ model.eye_read @ model.eye_write.T
    assert left.square().sum() <= standard.square().sum() * 1.5
