"""Expression inputs: the kinds of expression vectors."""

from __future__ import annotations

import numpy as np
import pytest

from jean.clips.clip import Clip
from jean.drivers.expression import EXPRESSION_INPUTS, Coefficients, UpperFace
from jean.drivers.expression_input import ExpressionRequest
from jean.errors import ArtefactError
from jean.progress import Silent
from tests.helpers.tiny_clip import make_clip


def test_a_clip_track_has_coefficients_and_measured_offsets(tmp_path):
    clip = Clip.open(make_clip(tmp_path / "a"))
    track = Coefficients.for_training([clip], ExpressionRequest()).track(clip.folder, Silent())
    assert track.vectors.shape == (20, 3) and track.fps == 25
    assert track.offsets is not None and np.abs(track.offsets).max() < 1e-4  # a rigid face
    upper = UpperFace.for_training([clip], ExpressionRequest()).track(clip.folder, Silent())
    assert np.array_equal(upper.vectors, track.vectors[:, :2])


def test_coefficients_of_another_tracker_are_refused(tmp_path):
    clip = Clip.open(make_clip(tmp_path / "a"))
    description = clip.meta.expression.to_json() | {"name": "mediapipe"}
    with pytest.raises(ArtefactError, match=r"has expression coefficients truth 1 .* needs mediapipe 1"):
        Coefficients(description, {"name": "mediapipe", "version": "1"}).track(clip.folder, Silent())


@pytest.mark.parametrize("kind", EXPRESSION_INPUTS)
def test_kinds_are_registered_under_their_own_name(kind):
    assert EXPRESSION_INPUTS[kind].kind == kind
