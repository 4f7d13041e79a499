"""GrabCut matting on a drawn speaker with known mattes, on the synthetic speaker and on real clips."""

from __future__ import annotations

import numpy as np
import pytest

from jean.features.matting.grabcut import GrabCutMatting
from tests.helpers.drawn_speaker import SIDE, clip


def matte(frames, points):
    return np.stack(list(GrabCutMatting().segment(zip(frames, points, strict=True))))


def overlap(found, truth):
    """Intersection over union of the person, the worst frame's."""
    found, truth = found.sum(-1, dtype=int) > 127, truth.any(-1)
    return min((f & t).sum() / (f | t).sum() for f, t in zip(found, truth, strict=True))


@pytest.fixture(scope="module")
def drawn():
    frames, points, truth = clip()
    return frames, points, truth, matte(frames, points)


def test_the_person_is_segmented(drawn):
    _, _, truth, found = drawn
    assert found.shape == truth.shape and found.dtype == np.uint8
    assert found.sum(-1, dtype=int).max() <= 255
    assert overlap(found, truth) > 0.95


def test_head_and_torso_are_separated(drawn):
    _, _, truth, found = drawn
    head, torso = found[..., 0] > 127, found[..., 1] > 127
    assert (head & truth[..., 0]).sum() / truth[..., 0].sum() > 0.96
    assert (head & truth[..., 1]).sum() / truth[..., 1].sum() < 0.08
    assert (torso & truth[..., 1]).sum() / truth[..., 1].sum() > 0.9


def test_the_head_has_no_holes_and_the_wall_no_islands(drawn):
    import cv2

    _, _, truth, found = drawn
    for alpha, true in zip(found.sum(-1, dtype=int), truth.any(-1), strict=True):
        core = cv2.erode(true.astype(np.uint8), np.ones((9, 9), np.uint8), borderType=cv2.BORDER_REPLICATE) > 0
        away = cv2.dilate(true.astype(np.uint8), np.ones((13, 13), np.uint8)) == 0
        assert alpha[core].min() > 200 and alpha[away].max() < 30


def test_edges_are_soft_but_narrow(drawn):
    alpha = drawn[3].sum(-1, dtype=int)
    soft = ((alpha > 5) & (alpha < 250)).mean()
    assert 0.005 < soft < 0.08


def test_the_matte_of_a_resting_head_does_not_flicker():
    frames, points, _ = clip(10, reach_px=0.0)
    found = matte(frames, points).sum(-1, dtype=int)
    assert np.abs(np.diff(found, axis=0)).mean() < 0.5


def test_frames_without_a_face_keep_the_matte():
    frames, points, truth = clip(16)
    points = points.copy()
    points[7:11] = np.nan
    assert overlap(matte(frames, points), truth) > 0.93


def test_without_any_face_the_matte_is_empty():
    frames, points, _ = clip(6)
    assert not matte(frames, np.full_like(points, np.nan)).any()


@pytest.mark.parametrize("count", [1, 3])
def test_very_short_clips_work(count):
    frames, points, truth = clip(count)
    assert overlap(matte(frames, points), truth) > 0.8


def test_the_same_input_gives_the_same_bytes():
    frames, points, _ = clip(4)
    assert (matte(frames, points) == matte(frames, points)).all()


def test_mattes_follow_the_edges_of_large_frames():
    import cv2

    frames, points, truth = clip(5)
    large = np.stack([cv2.resize(f, (4 * SIDE, 4 * SIDE), interpolation=cv2.INTER_CUBIC) for f in frames])
    true = np.stack([np.kron(t, np.ones((4, 4, 1), bool)) for t in truth])
    found = matte(large, points * 4)
    assert found.shape == true.shape
    assert overlap(found, true) > 0.92


@pytest.mark.slow
def test_mattes_agree_with_the_true_mattes_of_the_synthetic_speaker(tmp_path):
    from jean.features.trackers.truth_file import load_truth, matte_path
    from jean.media import read_frames
    from jean.synthetic_speaker.speaker_video import write_speaker_video

    video = write_speaker_video(tmp_path / "one", 1, "happy", 1.0, seconds=2.0, size=256)
    frames = np.stack([image for _, image in read_frames(video, 25.0)])
    truth = np.load(matte_path(video))["matte"]
    found = matte(frames, load_truth(video).arrays["landmarks"][: len(frames)])
    opacity, true = found.sum(-1, dtype=int), truth.sum(-1, dtype=int)
    assert ((opacity > 127) & (true > 127)).sum() / ((opacity > 127) | (true > 127)).sum() > 0.98
    assert np.abs(found.astype(int) - truth)[..., 0].mean() < 3


@pytest.mark.slow
@pytest.mark.real
def test_a_real_clip_flickers_less_than_with_plain_grabcut(shared_data, shared_models):
    import cv2

    from jean.features.matting.shape import certain_background, certain_foreground, prior_odds
    from jean.features.trackers.mediapipe import MediaPipeTracker
    from jean.media import read_frames

    shown = [pair for pair, _ in zip(read_frames(shared_data / "data" / "hill.mp4", 25.0), range(60), strict=False)]
    points = np.stack([faces[0].landmarks for faces in MediaPipeTracker().track(shown)]) / 2
    frames = np.stack([cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA) for _, image in shown])
    plain = []
    for rgb, landmarks in zip(frames, points, strict=True):
        mask = np.where(prior_odds(landmarks, 256) > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        mask[certain_background(landmarks, 256)] = cv2.GC_BGD
        mask[certain_foreground(landmarks, 256)] = cv2.GC_FGD
        cv2.grabCut(
            rgb[..., ::-1].copy(), mask, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK
        )
        plain.append(np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)) * np.uint8(255))
    ours = matte(frames, points).sum(-1, dtype=int)
    assert unsteadiness(ours, points) < 0.6 * unsteadiness(np.stack(plain), points)


def unsteadiness(alpha, points):
    """Mean change of opacity from frame to frame above the chin, after moving it as the landmarks move."""
    import cv2

    from jean.geometry import similarity

    changes = []
    for t in range(1, len(alpha)):
        scale, turn, offset = similarity(points[t - 1].astype(float), points[t].astype(float))
        matrix = np.concatenate([scale * turn, offset[:, None]], 1)
        before = cv2.warpAffine(
            alpha[t - 1].astype(np.float32), matrix, alpha[t].shape, borderMode=cv2.BORDER_REPLICATE
        )
        changes.append(np.abs(alpha[t] - before)[: int(points[t][8, 1])].mean())
    return np.mean(changes)
