"""The contact sheet and the overlay video of a prepared clip."""

from __future__ import annotations

import numpy as np
import pytest

from jean.clips.clip import Clip
from jean.preparation.preview import overlay, write_preview
from tests.helpers.tiny_clip import write_clip

SIZE, FRAMES = 64, 7


@pytest.fixture
def clip_folder(tmp_path):
    folder = tmp_path / "a clip"
    matte = np.zeros((FRAMES, SIZE, SIZE, 2), np.uint8)
    matte[:, :20, :, 0], matte[:, 44:, :, 1] = 255, 255
    pose = np.tile(np.eye(4), (FRAMES, 1, 1))
    pose[:, 2, 3] = -60.0
    landmarks = np.full((FRAMES, 68, 2), 32.0, np.float32)
    landmarks[:, 0] = (10, 50)
    landmarks[3] = np.nan
    valid = np.arange(FRAMES) != 3
    write_clip(
        folder,
        np.full((FRAMES, SIZE, SIZE, 3), 100, np.uint8),
        matte,
        {"camera_to_world": pose, "landmarks": landmarks, "valid": valid},
        camera={"focal_px": 100.0, "center_px": [SIZE / 2, SIZE / 2]},
    )
    return folder


def test_overlay_tints_parts_and_draws_landmarks_and_axes(clip_folder):
    clip = Clip.open(clip_folder)
    image = overlay(clip, 0).astype(int)
    assert image[5, 5, 0] > image[5, 5, 2] + 20, "the head is tinted red"
    assert image[60, 60, 2] > image[60, 60, 0] + 20, "the torso is tinted blue"
    assert (image[30, 5] == 100).all(), "the background is left alone"
    assert image[50, 10, 0] > 200 and image[50, 10, 1] > 200, "a landmark"
    # x goes to the image's right, y down: 7 cm at 60 cm and 100 px are 11.7 px
    assert image[32, 38, 0] > 150 > image[32, 38, 2] and image[38, 32, 1] > 150
    without = overlay(clip, 3).astype(int)
    assert without[50, 10, 1] < 150, "no landmarks where there is no face"


def test_preview_writes_a_sheet_and_a_video(clip_folder):
    import cv2

    from jean.media import read_frames

    sheet, video = write_preview(clip_folder)
    assert sheet.is_relative_to(clip_folder) and video.is_relative_to(clip_folder)
    image = cv2.imdecode(np.fromfile(sheet, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (3 * SIZE, 4 * SIZE, 3)
    assert len(list(read_frames(video, 25.0))) == FRAMES
    assert sorted(path.name for path in sheet.parent.iterdir()) == sorted([sheet.name, video.name])
