"""Matting by the person network, with a fake network; the split into head and torso on drawn people."""

from __future__ import annotations

import numpy as np
import pytest

from jean.errors import ArtefactError, SetupError
from jean.features.matting import common
from jean.features.matting import network as networks
from jean.features.matting.person import PersonMatting
from tests.helpers.drawn_speaker import HAIR, SHIRT, clip


def network(truth, spoil=lambda probability, t: probability):
    """A network that knows the true mattes, blurred as a network's output is."""
    import cv2

    calls = iter(range(len(truth)))

    def classify(image):
        t = next(calls)
        probability = cv2.GaussianBlur(truth[t].any(-1).astype(np.float32), (0, 0), 1.5)
        return spoil(probability, t)[..., None]

    return classify


def matte(frames, points, truth, **options):
    pairs = zip(frames, points, strict=True)
    return np.stack(list(PersonMatting(network(truth, **options)).segment(pairs)))


def overlap(found, truth):
    return min((f & t).sum() / (f | t).sum() for f, t in zip(found > 127, truth, strict=True))


def test_the_person_is_the_networks_and_the_parts_come_from_the_landmarks():
    frames, points, truth = clip(8)
    found = matte(frames, points, truth)
    assert found.shape == truth.shape and found.sum(-1, dtype=int).max() <= 255
    assert overlap(found.sum(-1, dtype=int), truth.any(-1)) > 0.95
    assert overlap(found[..., 0].astype(int), truth[..., 0]) > 0.93


def test_enclosed_holes_and_the_neck_are_filled_and_other_people_left_out():
    frames, points, truth = clip(6)

    def spoil(probability, t):
        probability = probability.copy()
        probability[28:35, 58:66] = 0  # in the hair
        probability[100:110, 58:70] = 0  # the neck
        probability[4:60, 2:20] = 1  # somebody else
        return probability

    found = matte(frames, points, truth, spoil=spoil).sum(-1, dtype=int)
    assert found[:, 30:33, 60:64].min() > 240 and found[:, 102:108, 60:68].min() > 240
    assert found[:, 4:56, 2:18].max() < 30


def test_clothes_of_the_hairs_colour_are_torso():
    frames, points, truth = clip(8)
    frames = frames.copy()
    shirt = (np.abs(frames.astype(int) - SHIRT).max(-1) < 14) & truth[..., 1]
    frames[shirt] = HAIR
    found = matte(frames, points, truth)
    assert found[..., 1][shirt].mean() > 235 and found[..., 0][shirt].mean() < 15


def test_hair_that_hangs_beside_the_neck_is_head():
    frames, points, truth = clip(8, reach_px=0.0)
    frames, truth = frames.copy(), truth.copy()
    lock = np.zeros(truth.shape[1:3], bool)
    lock[60:112, 28:40] = True  # from the ear to the shoulder
    lock &= ~truth[0, ..., 0]
    frames[:, lock] = HAIR
    truth[:, lock] = (True, False)
    found = matte(frames, points, truth)
    inner = lock.copy()
    inner[:, :31], inner[106:] = False, False
    assert found[:, inner, 0].mean() > 220


def test_a_single_wrong_frame_is_corrected_by_its_neighbours():
    frames, points, truth = clip(7, reach_px=0.0)
    frames[:] = frames[0]
    torso = truth[0, ..., 1] & (np.arange(128)[:, None] > 116)
    found = matte(frames, points, truth, spoil=lambda p, t: p * ~torso if t == 3 else p)
    assert found[3][torso].sum(-1, dtype=int).mean() > 200


def test_frames_without_a_face_keep_a_matte_and_without_any_face_it_is_empty():
    frames, points, truth = clip(8)
    some = points.copy()
    some[3:5] = np.nan
    assert overlap(matte(frames, some, truth).sum(-1, dtype=int), truth.any(-1)) > 0.93
    assert not matte(frames, np.full_like(points, np.nan), truth).any()


def test_another_network_is_rejected():
    frames, points, _ = clip(1)
    with pytest.raises(ArtefactError, match="returned an array of shape"):
        list(PersonMatting(lambda image: np.zeros((128, 128, 6), np.float32)).segment(zip(frames, points, strict=True)))


def test_missing_weights_name_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("JEAN_MODELS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SetupError, match="jean models pull"):
        PersonMatting()


def test_the_mattes_do_not_depend_on_the_number_of_threads(monkeypatch):
    frames, points, _ = clip(20)
    monkeypatch.setattr(common, "block_length", lambda frame_bytes: 11)  # four blocks

    def classify(image):  # any map that depends on the picture alone
        return (image[..., :1] / 255.0).astype(np.float32)

    mattes = []
    for threads in (1, 3):
        monkeypatch.setattr(networks, "thread_count", lambda threads=threads: threads)
        mattes.append(np.stack(list(PersonMatting(classify).segment(zip(frames, points, strict=True)))))
    assert len(mattes[0]) == 20 and mattes[0].any()
    np.testing.assert_array_equal(*mattes)
