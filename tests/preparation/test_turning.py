"""Videos that are turned without saying so are refused, with the turn that helps."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from jean.clips.clip import Clip
from jean.errors import InputError
from jean.features.registry import ADAPTERS
from jean.preparation.config import PrepareConfig
from jean.preparation.prepare import prepare
from jean.preparation.turning import TURNS, needed_turn, refuse_turned, turned, vote
from tests.helpers import drawn_face
from tests.helpers.drawn_face import TEMPLATE, FakeTracker, draw_face, face_at
from tests.preparation.test_prepare import film, one_face

MOUTH, EYES = (160, 30, 40), (20, 20, 90)


def turn_points(points: np.ndarray, turn: int, height: int, width: int) -> np.ndarray:
    """Positions [P, 2] in an image of ``height`` x ``width`` after a clockwise turn of it."""
    x, y = points[:, 0], points[:, 1]
    return np.stack({0: (x, y), 90: (height - y, x), 180: (width - x, height - y), 270: (y, width - x)}[turn], -1)


class TurnedTracker(FakeTracker):
    """Finds drawn faces in any direction, and takes most that are upside down for upright ones, as MediaPipe does."""

    missing = 0  # every frame with a number below is without a face

    def track(self, frames):
        for number, (_, image) in enumerate(frames):
            yield [] if number < self.missing else self._faces(image)

    def _faces(self, image):
        rows = [self._row(image, colour) for colour in (EYES, MOUTH)]
        columns = [self._row(image.swapaxes(0, 1), colour) for colour in (EYES, MOUTH)]
        if np.isnan(rows).any():
            return []
        down, right = rows[1] - rows[0], columns[1] - columns[0]
        turn = (180 if down < 0 else 0) if abs(down) > abs(right) else (90 if right > 0 else 270)
        upright = next(image for _, image in turned([(0.0, image)], turn))
        (face,) = next(FakeTracker.track(self, [(0.0, upright)]))
        if turn == 180:  # seen as upright
            return [face_at(turn_points(face.landmarks, 180, *upright.shape[:2])[::-1])]
        return [face_at(turn_points(face.landmarks, -turn % 360, *upright.shape[:2]))]

    @staticmethod
    def _row(image, colour):
        near = (np.abs(image.astype(int) - colour) < 40).all(-1)
        return np.nonzero(near)[0].mean() if near.sum() > 20 else np.nan


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    monkeypatch.setitem(ADAPTERS["tracker"], "turned", "tests.preparation.test_turning:TurnedTracker")
    monkeypatch.setitem(ADAPTERS["matting"], "fake", "tests.helpers.drawn_face:FakeMatting")
    monkeypatch.setitem(sys.modules, "jean.preparation.background", drawn_face.plate_module())


def scenes(turn: int, count: int = 6) -> list[tuple[float, np.ndarray]]:
    return list(turned([(t / 25, one_face(t)) for t in range(count)], turn))


@pytest.mark.parametrize("turn", TURNS)
def test_a_face_says_by_how_much_it_must_be_turned(turn):
    assert needed_turn(face_at(turn_points(TEMPLATE, -turn % 360, 1, 1))) == turn


def test_a_turn_is_clockwise():
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 0] = 255
    ((_, right),) = turned([(0.0, image)], 90)
    assert right.shape == (3, 2, 3) and right[0, 1, 0] == 255


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_video_is_refused_with_the_turn_that_helps(turn):
    tracker, frames = TurnedTracker(), scenes(turn)
    assert vote(frames[:4], tracker).most_common(1)[0][0] == -turn % 360
    if turn == 0:
        refuse_turned(frames, tracker)
        return
    with pytest.raises(InputError, match=rf"--rotate {-turn % 360} finds the face in 6 of 6 sampled frames"):
        refuse_turned(frames, tracker)
    with pytest.raises(InputError, match=rf"--rotate {(180 - turn) % 360} finds"):
        refuse_turned(frames, tracker, rotate=180)


@pytest.mark.parametrize("turn", [90])
def test_a_turned_video_is_prepared_as_the_upright_one(tmp_path, turn):
    config = {"size": 64, "tracker": "turned", "matting": "fake"}
    upright = film(tmp_path / "a.mp4", one_face)
    lying = film(tmp_path / "b.mp4", lambda t: next(image for _, image in turned([(0, one_face(t))], -turn % 360)))
    with pytest.raises(InputError, match=f"--rotate {turn} finds"):
        prepare([lying], tmp_path / "no", PrepareConfig(**config))
    assert not (tmp_path / "no" / "clip.json").exists()
    prepare([upright], tmp_path / "a", PrepareConfig(**config))
    prepare([lying], tmp_path / "b", PrepareConfig(rotate=turn, **config))
    first, second = Clip.open(tmp_path / "a"), Clip.open(tmp_path / "b")
    assert second.meta.source.width == first.meta.source.width == 320
    np.testing.assert_allclose(second.arrays["landmarks"], first.arrays["landmarks"], atol=3)
    assert np.abs(second.frames[3].astype(int) - first.frames[3]).mean() < 6


@pytest.mark.parametrize(("shown", "refused", "warned"), [(0.5, True, None), (0.75, False, True)])
def test_a_face_that_is_often_missing_is_refused_or_reported(tmp_path, shown, refused, warned):
    count = 40

    def scene(t: int) -> np.ndarray:
        image = np.full((200, 320, 3), 90, np.uint8)
        if t % 20 < round(20 * shown):
            draw_face(image, 100, 50, 70)
        return image

    video = film(tmp_path / "a.mp4", scene, count)
    config = {"size": 64, "tracker": "turned", "matting": "fake", "tracks_only": True}
    if refused:
        with pytest.raises(InputError, match=r"found in only 20 of 40 frames \(50%\)"):
            prepare([video], tmp_path / "clip", PrepareConfig(**config))
        assert not (tmp_path / "clip" / "clip.json").exists()
        result = prepare([video], tmp_path / "clip", PrepareConfig(min_valid=0.4, **config))
    else:
        result = prepare([video], tmp_path / "clip", PrepareConfig(**config))
    warnings = result["clips"][0]["warnings"]
    assert bool(warnings) == (warned is not False)
    assert (
        prepare([video], tmp_path / "clip", PrepareConfig(min_valid=0.4, **config))["clips"][0]["warnings"] == warnings
    )


@pytest.mark.real
@pytest.mark.slow
def test_real_videos_are_known_in_every_turn(shared_data, shared_models):
    from jean.features import registry
    from jean.media import sample_frames

    for name in ("happy_silent.mp4", "glasses.mp4", "grid_bbaf2n.mpg"):
        frames = list(sample_frames(shared_data / "data" / name, 4))
        tracker = registry.create("tracker", "mediapipe", device="cpu")
        for turn in TURNS:
            votes = vote(list(turned(frames, turn)), tracker)
            assert votes.most_common(1)[0][0] == -turn % 360
