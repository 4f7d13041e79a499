"""Stored responses of a head, and their inverses."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from jean.drivers.gaze_response import AxisResponse, GazeResponse
from jean.drivers.lip_response import LipResponse
from jean.drivers.response import LEAST_SLOPE, Curve
from jean.errors import ArtefactError
from jean.files import read_json, write_json


def response(checkpoint="abc"):
    opening = Curve(asked=[0.0, 1.0, 2.0], rendered=[0.0, 0.5, 1.5])
    return LipResponse(
        checkpoint=checkpoint, tracker="t 1", opening=opening, width=Curve(asked=[4, 6], rendered=[4, 5])
    )


def stored(folder, content="abc"):
    return SimpleNamespace(path=folder / "checkpoints" / "last-1.json", content_hash=content)


def test_the_inverse_asks_for_what_renders_the_wanted_lips():
    wanted = np.array([[0.25, 4.5], [1.0, 5.0], [7.0, 1.0]])  # the last ones are out of reach
    np.testing.assert_allclose(response().ask_for(wanted), [[0.5, 5.0], [1.5, 6.0], [2.0, 4.0]])


def test_a_turned_head_is_asked_for_less_where_its_eyes_follow_the_camera():
    # the rendered gaze is half the asked one, and moves with a third of the turn
    line = Curve(asked=[-40.0, 0.0, 40.0], rendered=[-20.0, 0.0, 20.0])
    across = AxisResponse(curve=line, with_turn=1 / 3, mean_turn_deg=2.0)
    down = AxisResponse(curve=line, with_turn=0.0, mean_turn_deg=0.0)
    found = GazeResponse(checkpoint="abc", tracker="t 1", across=across, down=down)
    asked = found.ask_for(np.array([[5.0, 4.0], [5.0, -4.0], [90.0, 0.0]]), np.array([[2.0, 9], [8.0, 9], [2.0, 9]]))
    np.testing.assert_allclose(asked, [[10.0, 8.0], [6.0, -8.0], [39.0, 0.0]], atol=1.01)
    np.testing.assert_allclose(asked[:2], [[10.0, 8.0], [6.0, -8.0]], atol=1e-9)


def test_a_flat_or_falling_response_does_not_amplify_noise():
    curve = Curve(asked=[0.0, 1.0, 2.0, 3.0], rendered=[0.0, 0.1, 0.0, 0.9])
    asked = curve.ask_for(np.linspace(-1, 3, 400))
    assert (np.diff(asked) >= 0).all() and asked.min() == 0 and asked.max() == 3
    assert np.diff(asked).max() <= 4 / 399 / LEAST_SLOPE * (1 + 1e-9)


def test_nothing_is_asked_for_beyond_what_still_opens_the_lips():
    curve = Curve(asked=[0.0, 1.0, 2.0, 3.0, 4.0], rendered=[0.0, 1.0, 1.99, 2.0, 1.5])
    assert curve.ask_for(np.array([1.5, 1.99, 9.0])).tolist() == pytest.approx([1.505, 2.0, 2.0], abs=0.01)


@pytest.mark.parametrize("asked", [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0, 2.0], [0.0, float("nan")]])
def test_malformed_curves_are_refused(asked):
    with pytest.raises(ValidationError):
        Curve(asked=asked, rendered=[0.0, 1.0])


def test_it_belongs_to_the_weights_that_were_measured(tmp_path):
    assert LipResponse.read(stored(tmp_path)) is None
    response().write(tmp_path)
    assert LipResponse.read(stored(tmp_path)) == response()
    assert LipResponse.read(stored(tmp_path, "other weights")) is None


def test_a_changed_file_is_refused(tmp_path):
    response().write(tmp_path)
    document = read_json(tmp_path / LipResponse.FILE)
    write_json(tmp_path / LipResponse.FILE, {**document, "tracker": "another"})
    with pytest.raises(ArtefactError, match="changed"):
        LipResponse.read(stored(tmp_path))
