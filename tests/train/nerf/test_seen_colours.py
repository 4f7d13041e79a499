from types import SimpleNamespace

import numpy as np
import torch

from jean.geometry import Camera
from jean.train.nerf.seen_colours import seen_colours, usual_frame

SIZE = 40


def frames(yaws=(0.0,), empty=False):
    """Frames of 40 px: a head of red (left) and blue (right) over green; 1 cm is 1 px, x = 0 in the middle."""
    image = np.full((SIZE, SIZE, 3), (0, 255, 0), np.uint8)
    image[5:35, 5:20], image[5:35, 20:35] = (255, 0, 0), (0, 0, 255)
    image[5:35, [5, 34]] = (0, 128, 0)  # the rim holds some background, although the matte says head
    matte = np.zeros((SIZE, SIZE, 2), np.uint8)
    if not empty:
        matte[5:35, 5:35, 0] = 255
    poses = np.tile(np.eye(4), (len(yaws), 1, 1))
    poses[:, 0, 2] = yaws
    poses[:, 2, 3] = -100.0  # the camera looks along z from 100 cm
    camera = Camera(100.0, (20.0, 20.0), SIZE, SIZE)
    return SimpleNamespace(
        size_px=SIZE,
        camera_to_world=poses.astype(np.float32),
        train=np.arange(len(yaws)),
        clips=[SimpleNamespace(camera=camera)],
        clip_of=np.zeros(len(yaws), int),
        image=lambda index: image,
        matte=lambda index: matte,
    )


def test_positions_get_the_colour_that_they_project_to():
    positions = torch.tensor([[-5.0, 0.0, 0.0], [5.0, 0.0, 0.0], [-19.0, 0.0, 0.0], [30.0, 500.0, 0.0]])
    red, blue = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]
    # beside the head, and outside of the picture, that of the nearest pixel which is surely the head's
    assert seen_colours(positions, frames()).tolist() == [red, blue, red, blue]


def test_without_a_head_colours_are_grey():
    assert seen_colours(torch.zeros(2, 3), frames(empty=True)).tolist() == [[0.5] * 3] * 2


def test_the_usual_frame_is_that_of_the_median_pose():
    assert usual_frame(frames(yaws=(0.3, -0.2, 0.02, 0.0, 0.01))) == 4
