"""The torso behind the head continues what is visible around the head."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from jean.drivers.person_frames import open_person
from jean.models.frame import render_opacity
from jean.train.nerf.config import NerfConfig
from jean.train.nerf.presets import resolve
from jean.train.nerf.stage import NerfStage
from jean.train.nerf.torso_prior import _continued, torso_behind_head
from tests.helpers.tiny_clip import make_clip

SIZE = 80
NECK, HAIR, WALL = (200, 120, 90), (20, 10, 5), (60, 160, 60)


def pictures(count=6):
    """A head (disc) with a rim of hair that the mattes miss, above a neck, before a wall."""
    frames, mattes = [], []
    for t in range(count):
        image, matte = np.full((SIZE, SIZE, 3), WALL, np.uint8), np.zeros((SIZE, SIZE, 2), np.uint8)
        image[40:, 25:55], matte[40:, 25:55, 1] = NECK, 255
        centre = (40 + t % 2, 30)
        cv2.circle(image, centre, 24, HAIR, -1)
        head = np.zeros((SIZE, SIZE), np.uint8)
        cv2.circle(head, centre, 23, 255, -1)
        matte[..., 0] = head
        matte[head > 0, 1] = 0
        frames.append(image)
        mattes.append(matte)
    return np.stack(frames), np.stack(mattes)


def test_neck_continues_under_the_chin_and_background_beside_the_hair():
    torso = torso_behind_head(*pictures()).astype(int)
    assert np.abs(torso[46:52, 36:44, :3] - NECK).max() <= 2  # behind the chin, which ends at row 53
    assert torso[46:52, 36:44, 3].min() >= 250
    assert torso[30, 18:24, 3].max() <= 5 and torso[10:20, 36:44, 3].max() <= 5  # behind the side, behind the top
    assert np.abs(torso[70, 40, :3] - NECK).max() == 0 and torso[70, 40, 3] == 255  # what is visible stays


def test_the_neck_continues_upwards_where_the_background_is_a_little_nearer():
    values, known = np.zeros((60, 60)), np.zeros((60, 60), bool)
    known[:, :20] = known[40:] = True  # background on the left, neck below
    values[40:] = 1.0
    filled = _continued(values, known)
    assert filled[34, 28] > 0.9  # 6 px above the neck, 9 px from the background
    assert filled[32, 27] > 0.5  # 8 px from both
    assert filled[10, 23] < 0.1


def test_deep_behind_the_head_the_target_does_not_count():
    weight = torso_behind_head(*pictures())[..., 4]
    assert weight[50, 40] == 255 and weight[70, 40] == 255  # under the chin, and where the torso is visible
    assert weight[44, 40] == 255 and weight[30, 28] < 80  # a raised chin uncovers more than a turn does
    assert weight[30, 40] == 0  # in the middle of the face, 23 px deep


def test_a_head_that_fills_every_frame_gives_no_torso():
    frames, mattes = pictures()
    mattes[..., 0], mattes[..., 1] = 255, 0
    assert torso_behind_head(frames, mattes).max() == 0


def test_training_keeps_the_torso_layer_out_of_the_head(tmp_path):
    config = NerfConfig(steps=150, rays=512, frames_per_step=4)
    data = open_person([make_clip(tmp_path / "clip")])
    trained = NerfStage(data, resolve(config), torch.device("cpu"))
    for step in range(150):
        trained.step(step)
    frames = trained.frames(torch.tensor([0]))
    pose = trained.model._pose(frames)
    middle = torch.tensor([[0.5, 0.22], [0.5, 0.95]])  # behind the top of the head, in the torso
    opacity = trained.model.torso(middle, pose, torch.zeros(2, dtype=torch.long))[1]
    assert opacity[0] < 0.15 < 0.8 < opacity[1]
    assert render_opacity(trained.model, frames, 48).shape == (48, 48, 2)
