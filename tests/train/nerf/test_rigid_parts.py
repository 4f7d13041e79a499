"""Parts of a face that move with the head although the landmarks around them move."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from jean.models.head.deformation import LOWER, REACH_CM, RIDGE, UPPER, FaceDeformation, influence
from jean.train.nerf.rigid_parts import rigid_fraction

SIZE, FRAMES, DISTANCE_CM, FOCAL_PX = 192, 24, 60.0, 480.0  # 8 px per cm
MIDDLE = SIZE / 2
BROWS = range(17, 27)
BROW_Y, RIM_Y = -3.0, -1.8  # cm


def column(x_cm, y_cm):
    return round(MIDDLE + 8 * x_cm), round(MIDDLE + 8 * y_cm)


def face(with_glasses: bool):
    """Frames whose brows rise and sink by 0.4 cm above the rim of glasses, or above a stripe that moves as they do."""
    index = np.arange(68)
    shape = np.stack([index % 8 * 1.2 - 4.2, index // 8 * 1.2 - 1.0, np.zeros(68)], -1)
    shape[list(BROWS), 0], shape[list(BROWS), 1] = np.linspace(-4, 4, 10), BROW_Y
    offsets = np.zeros((FRAMES, 68, 2), np.float32)
    offsets[:, list(BROWS), 1] = 0.4 * np.sin(np.arange(FRAMES))[:, None]
    rest = torch.from_numpy(shape[[*UPPER, *LOWER], :2])
    images = []
    for t in range(FRAMES):
        image = np.full((SIZE, SIZE, 3), (200, 160, 140), np.uint8)
        shift = float(offsets[t, 17, 1])
        for y, moves in ((BROW_Y, True), (RIM_Y, not with_glasses)):
            follows = float(influence(torch.tensor([[0.0, y]]).double(), rest, REACH_CM, RIDGE)[0, :10].sum())
            top = y - 0.15 + shift * follows * moves
            cv2.rectangle(image, column(-4.5, top), column(4.5, top + 0.3), (60, 40, 30), -1)
        images.append(cv2.GaussianBlur(image, (0, 0), 1.0))
    pose = np.eye(4)
    pose[2, 3] = -DISTANCE_CM
    return SimpleNamespace(
        shape=shape,
        offsets=offsets,
        train=np.arange(FRAMES),
        size_px=SIZE,
        focal_px=np.full(FRAMES, FOCAL_PX),
        center_px=np.full((FRAMES, 2), MIDDLE),
        camera_to_world=np.tile(pose, (FRAMES, 1, 1)),
        image=lambda t: images[t],
    )


def at(data, y):
    positions = torch.tensor([[x, y] for x in np.linspace(-3, 3, 13)])
    return rigid_fraction(data, positions).numpy()


def test_the_rim_of_glasses_is_rigid_and_brows_are_not():
    worn = face(with_glasses=True)
    assert at(worn, RIM_Y).mean() > 0.8
    assert at(worn, BROW_Y - 0.1).mean() < 0.2


def test_skin_that_moves_with_the_brows_is_not_rigid():
    assert max(at(face(with_glasses=False), y).max() for y in (BROW_Y, RIM_Y, 0.0)) < 0.3


def test_beyond_the_face_and_at_the_mouth_nothing_is_rigid():
    worn = face(with_glasses=True)
    assert not rigid_fraction(worn, torch.tensor([[12.0, 0.0], [0.0, -15.0], [0.0, 7.0]])).any()


def test_a_rigid_part_stays_where_it_is_while_the_landmarks_move():
    data = face(with_glasses=True)
    box = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))
    deformation = FaceDeformation(data.shape.tolist(), box, 2, audio_drives_mouth=True)
    offsets = torch.zeros(1, len(UPPER), 2)
    offsets[0, :10, 1] = 0.4
    free = deformation(offsets.flatten(1), torch.zeros(1, 2))
    deformation.hold(lambda positions: (positions[:, 1] > -2.6).float())
    held = deformation(offsets.flatten(1), torch.zeros(1, 2))
    still = deformation.cells[:, 1] > -2.6
    assert held[0, still].abs().max() == 0 and free[0, still].abs().max() > 0.1
    assert torch.equal(held[0, ~still], free[0, ~still])


def test_runs_without_rigid_parts_still_load():
    box = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))
    deformation = FaceDeformation(face(True).shape.tolist(), box, 2, audio_drives_mouth=True)
    state = deformation.state_dict()
    deformation.hold(lambda positions: torch.ones(len(positions)))
    state = {name: value.clone() for name, value in state.items() if name != "rigid"}
    deformation.load_state_dict(state)
    assert not deformation.rigid.any()
    with pytest.raises(RuntimeError, match="lips_to_points"):
        deformation.load_state_dict({})
