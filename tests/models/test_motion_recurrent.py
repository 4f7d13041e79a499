"""The auto-regressive network: shapes, its state, and classes of the gaze."""

from __future__ import annotations

import torch

from jean.models.motion_network import CONTEXT, MotionSizes
from jean.models.motion_recurrent import CLASSES, MotionRecurrent, gaze_centres, gaze_class


def test_frame_after_frame_gives_what_all_frames_give():
    torch.manual_seed(0)
    model = MotionRecurrent(MotionSizes(width=3, lips=2, sound=4, emotions=2, hidden=16, layers=2))
    features = model.sound_features(torch.randn(2, 9 + 2 * CONTEXT, 4))
    before, emotion = torch.randn(2, 9, 3), torch.rand(2, 9, 3)
    values, logits, _ = model.step(before, features, emotion)
    assert values.shape == (2, 9, 3) and logits.shape == (2, 9, CLASSES)
    state = None
    for t in range(9):
        one = slice(t, t + 1)
        value, logit, state = model.step(before[:, one], features[:, one], emotion[:, one], state)
        assert torch.allclose(value[:, 0], values[:, t], atol=1e-6)
        assert torch.allclose(logit[:, 0], logits[:, t], atol=1e-6)


def test_the_centre_of_a_class_belongs_to_it_and_is_the_nearest():
    centres = gaze_centres()
    assert gaze_class(centres).tolist() == list(range(CLASSES))
    gaze = torch.rand(200, 2, generator=torch.Generator().manual_seed(1)) * 4 - 2
    assert torch.equal(gaze_class(gaze), torch.cdist(gaze, centres).argmin(1))
