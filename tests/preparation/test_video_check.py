from types import SimpleNamespace

import numpy as np
import pytest

from jean.errors import InputError
from jean.preparation.video_check import Inspection, check_video, inspect_frames, sharpness
from tests.helpers.drawn_face import draw_face, face_at

GOOD = Inspection(12, 12, 0, 120.0, 200.0, ())


def info(**changes):
    facts = {"fps": 25.0, "duration_s": 120.0, "audio_rate_hz": 44100, "audio_duration_s": 120.0}
    return SimpleNamespace(**{**facts, **changes})


def inspection(**changes):
    return Inspection(**{**GOOD.__dict__, **changes})


def test_a_good_video_has_no_warnings():
    assert check_video(info(), GOOD, 25.0) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampled": 0}, "no frame"),
        ({"with_face": 0}, "no face"),
        ({"inter_ocular_px": 8.0, "face_height_px": 16.0, "face_share": 0.02}, r"8 px.*16 px high \(2% of the video's"),
        ({"with_several": 9, "several_times_s": (0.5, 30.0)}, "several people.*0.5 to 30.0 s.*--face"),
    ],
)
def test_unusable_videos_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        check_video(info(), inspection(**changes), 25.0)


@pytest.mark.parametrize(
    ("facts", "changes", "words"),
    [
        ({}, {"with_face": 10}, "2 of 12 sampled frames"),
        ({}, {"inter_ocular_px": 30.0}, "small: 30 px"),
        ({}, {"sharpness": 5.0}, "blurred"),
        ({"fps": 10.0}, {}, "10 frames per second"),
        ({"duration_s": 8.0, "audio_duration_s": 8.0}, {}, "8.0 s; a head"),
        ({"audio_rate_hz": None, "audio_duration_s": 0.0}, {}, "no sound"),
        ({"audio_duration_s": 60.0}, {}, "sound lasts 60.0 s, the pictures 120.0"),
    ],
)
def test_poor_videos_give_one_warning(facts, changes, words):
    warnings = check_video(info(**facts), inspection(**changes), 25.0)
    assert len(warnings) == 1 and words in warnings[0]


def test_several_people_are_accepted_when_one_is_chosen():
    assert check_video(info(), inspection(with_several=12, several_times_s=(0.0, 1.0)), 25.0, "left") == []


def test_the_largest_face_is_measured():
    image = np.full((300, 500, 3), 90, np.uint8)
    large, small = draw_face(image, 20, 60, 150), draw_face(image, 300, 60, 80, 1)
    frames = [(0.0, image), (1.0, image), (2.0, image)]
    found = inspect_frames(frames, [[face_at(small), face_at(large)], [], [face_at(large)]])
    assert (found.sampled, found.with_face, found.with_several, found.several_times_s) == (3, 2, 1, (0.0,))
    assert found.inter_ocular_px == pytest.approx(0.6 * 150, rel=0.01)
    assert found.face_height_px == pytest.approx(0.83 * 150, rel=0.01), "from 0.15 to 0.98 of the template"
    assert found.face_share == pytest.approx(0.83 * 150 / 300, rel=0.01)
    assert inspect_frames([], []).sampled == 0 and inspect_frames([(0.0, image)], [[]]).sharpness == 0


def test_sharpness_falls_with_blur_and_not_with_size():
    import cv2

    image = np.full((300, 300, 3), 90, np.uint8)
    points = draw_face(image, 60, 60, 180)
    values = [sharpness(cv2.GaussianBlur(image, (0, 0), blur), points) for blur in (1, 3, 6)]
    assert values[0] > 2 * values[1] > 4 * values[2]
    double = cv2.resize(image, (600, 600), interpolation=cv2.INTER_CUBIC)
    assert sharpness(double, points * 2) == pytest.approx(sharpness(image, points), rel=0.5)
    assert sharpness(image, np.full((68, 2), 900.0)) == 0
