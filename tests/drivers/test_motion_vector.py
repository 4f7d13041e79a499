"""The motion vector: lids, blinks, and the way from a clip to cues and back to landmarks."""

from __future__ import annotations

import numpy as np
import pytest

from jean.clips.clip import Clip
from jean.drivers.eyes import ZERO_DEG, EyeRest, measure_eyes, standardised
from jean.drivers.face_points import rigid_offsets
from jean.drivers.motion_model import BUILTIN, load_motion_model
from jean.drivers.motion_sampling import EmotionTrack, sample_lips
from jean.drivers.motion_sound import sound_features
from jean.drivers.motion_vector import (
    CUES,
    LOWER_POINTS,
    UPPER_POINTS,
    WIDTH,
    MotionBasis,
    Neutral,
    cue_tracks,
    lid_opening,
    opening_of,
    set_opening,
    split_blinks,
)
from jean.drivers.pose_support import pose_motion
from jean.drivers.relocate import relocate, relocate_irises
from jean.errors import InputError
from jean.media import read_audio
from jean.synthetic_speaker.motion_corpus import plan_motion_corpus, write_motion_corpus
from jean.synthetic_speaker.track_clips import performance_of
from tests.helpers.tiny_clip import make_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A neutral cohesive clip, and its performance."""
    folder = tmp_path_factory.mktemp("cohesive")
    item = next(i for i in plan_motion_corpus(folder, 1, 1) if i.emotion == "neutral")
    return Clip.open(write_motion_corpus(folder, [item])[0], pictures=False), performance_of(item)


def test_cues_are_those_of_the_performance(clip):
    folder, performance = clip
    track, tracks = cue_tracks(folder), performance.motion.cohesive
    assert len(track) == performance.frame_count and track.known.all()
    assert np.abs(track.onsets / 25 - tracks.blinks_s[tracks.blinks_s < len(track) / 25 - 0.1]).max() < 0.06
    right = np.corrcoef(track.gaze_deg[:, 0], tracks.gaze[:, 0])[0, 1]
    assert right > 0.95
    assert np.corrcoef(track.pose[:, 0], performance.motion.turn_rad[:, 1])[0, 1] > 0.95  # pitch turns about x


def test_the_builtin_model_tells_lips_from_the_sound_features_of_today(clip):
    """A new lip prior changes the features; the motion model has then to be fitted to them again."""
    model, track = load_motion_model(BUILTIN), cue_tracks(clip[0])
    sound = sound_features(read_audio(clip[0].sound()))[: len(track)]
    neutral = EmotionTrack.of_strengths(np.zeros((len(track), len(model.emotions))))
    lips, true = sample_lips(model.network, sound, neutral), model.basis.lips(track)
    error = (lips - lips.mean(0)) - (true - true.mean(0))
    assert 1 - np.square(error).sum() / np.square(true - true.mean(0)).sum() > 0.75


def test_vectors_lead_back_to_the_landmarks(clip):
    folder = clip[0]
    track = cue_tracks(folder)
    basis = MotionBasis.fit([track])
    vectors = basis.vectors(track)
    assert vectors.shape == (len(track), WIDTH)
    upper = basis.upper(vectors).reshape(len(track), -1)
    assert np.sqrt(np.mean((upper - track.upper) ** 2)) < 0.02  # cm
    lower = basis.lower(basis.lips(track)).reshape(len(track), -1)
    assert np.sqrt(np.mean((lower - track.lower) ** 2)) < 0.02
    assert np.array_equal(MotionBasis.from_arrays(basis.arrays()).face_axes, basis.face_axes)


def test_relocated_landmarks_are_the_original_ones(clip):
    folder = clip[0]
    arrays, offsets = folder.arrays, rigid_offsets(clip[0], slice(0, 68))
    poses = np.asarray(arrays["camera_to_world"], np.float64)
    again = relocate(np.asarray(arrays["shape"], np.float64), offsets, poses, folder.camera)
    assert np.abs(again - arrays["landmarks"]).max() < 1e-3  # px; the clip stores float32


def test_relocated_irises_show_the_gaze(clip):
    folder = clip[0]
    poses = np.asarray(folder.arrays["camera_to_world"], np.float64)
    shape, offsets = np.asarray(folder.arrays["shape"], np.float64), rigid_offsets(folder, slice(0, 68))
    wanted = np.stack([np.linspace(-15, 15, len(poses)), np.linspace(10, -10, len(poses))], 1)
    irises = relocate_irises(shape, offsets, wanted, poses, folder.camera)

    class Moved:
        arrays, camera, fps = {**folder.arrays, "irises": irises}, folder.camera, 25.0

    measured = measure_eyes(Moved)  # type: ignore[arg-type]
    rest = EyeRest(ZERO_DEG, np.nanquantile(measured.opening_cm, 0.75, axis=0))
    gaze = standardised(measured, rest, 25.0)
    assert np.abs(gaze.values[gaze.gaze_known, :2] - wanted[gaze.gaze_known]).max() < 0.1


def test_lids_open_as_told(clip):
    shape = np.asarray(clip[0].arrays["shape"], np.float64)[:, :2]
    wanted = opening_of(np.array([[0.0, 1.0]]), np.array([1.0, 0.8]))
    assert wanted[0].tolist() == pytest.approx([1.0, 0.8 * 0.15])
    assert lid_opening(set_opening(shape[None], wanted))[0].tolist() == pytest.approx(wanted[0].tolist(), abs=0.03)


def test_a_long_closure_is_no_blink():
    closure = np.zeros(100)
    closure[30:60] = 1.0
    lid, onsets, _ = split_blinks(closure, 25.0)
    assert len(onsets) == 0 and lid[45] > 0.9


def test_a_person_is_compared_with_the_neutral_clips(clip):
    folder = clip[0]
    neutral = Neutral.fit([folder])
    assert pose_motion(neutral.pose[None], neutral.pose)[0] == pytest.approx(np.zeros(6), abs=1e-9)
    assert np.abs(cue_tracks(folder, neutral).pose[:, :3].mean(0)).max() < 0.1


def test_clips_without_irises_have_no_gaze(tmp_path):
    blind = Clip.open(make_clip(tmp_path / "blind"), pictures=False)
    with pytest.raises(InputError, match="eyes=false"):
        cue_tracks(blind)
    track = cue_tracks(blind, gaze=False)
    assert not track.gaze_deg.any() and len(track.upper[0]) == 2 * len(UPPER_POINTS)
    assert len(track.lower[0]) == 2 * len(LOWER_POINTS) and CUES["pose"].stop == WIDTH
