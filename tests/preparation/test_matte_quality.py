"""Holes and jumps of mattes, and the choice of the matting."""

from __future__ import annotations

import numpy as np
import pytest

from jean.clips.meta import MatteFacts
from jean.features.matting.person import WEIGHTS as PERSON
from jean.features.matting.selfie import WEIGHTS as SELFIE
from jean.features.matting.whole import fill_enclosed, holes, neck, without_holes
from jean.preparation.config import PrepareConfig
from jean.preparation.extractors import matting_name, matting_spec, needed_weights
from jean.preparation.matte_quality import MatteQuality, matte_warnings, unexplained_change
from jean.preparation.preview import FAULT_COLOUR, mark_faults
from jean.weights import store
from tests.helpers.drawn_speaker import SIDE, clip


def person(left=30, top=30):
    mask = np.zeros((100, 100), np.float32)
    mask[top:, left : left + 40] = 1
    return mask


def test_enclosed_pixels_get_the_opacity_that_encloses_them():
    alpha = person()
    alpha[50:60, 40:50] = 0
    alpha[45:49, 60:70] = 0  # open to the side
    filled = fill_enclosed(alpha)
    assert filled[55, 45] == 1 and filled[47, 65] == 0 and filled[10, 10] == 0
    alpha[50:60, 30:40] = 0.25  # the hole is now open through a half-transparent passage
    assert fill_enclosed(alpha)[55, 45] == 0.25


def test_gaps_at_the_lower_border_are_holes_and_at_the_sides_not():
    alpha = person()
    alpha[80:, 45:50] = 0
    assert fill_enclosed(alpha)[90, 47] == 1
    alpha = np.ones((100, 100), np.float32)
    alpha[50:60, :20] = 0
    assert fill_enclosed(alpha)[55, 5] == 0


def test_the_neck_lies_between_chin_and_collar():
    _, points, truth = clip(1)
    area = neck(points[0], SIDE)
    assert area.sum() > 100 and truth[0].any(-1)[area].mean() > 0.98
    opened = truth[0].any(-1).astype(np.float32) * ~area
    assert holes(opened, points[0]).sum() == area.sum()
    assert not holes(without_holes(opened, points[0]), points[0]).any()


def test_the_share_of_holes_by_hand():
    quality = MatteQuality()
    whole = np.zeros((128, 128, 2), np.uint8)
    whole[28:, 44:84, 0] = 255
    nobody = np.full((68, 2), np.nan)
    quality.add(whole, nobody)
    holed = whole.copy()
    holed[60:70, 60:70] = 0
    found, jumps = quality.add(holed, nobody)
    assert found.sum() == 100 and jumps
    facts = quality.facts()
    assert facts.holes == pytest.approx(0.5 * 100 / 4000) and facts.holes_worst == pytest.approx(100 / 4000)
    assert facts.jumps == 1.0


def test_a_moving_head_does_not_jump_and_a_vanishing_shoulder_does():
    _, points, truth = clip(12, reach_px=9.0)
    opacity = truth.any(-1).astype(np.float32)
    pairs = [unexplained_change(opacity[t], opacity[t + 1], (points[t], points[t + 1])) for t in range(11)]
    assert max(pairs) < 0.004
    broken = opacity[1].copy()
    broken[115:, :30] = 0
    assert unexplained_change(opacity[0], broken, (points[0], points[1])) > 0.02


def test_warnings_name_the_share_and_the_remedy():
    assert matte_warnings(MatteFacts(holes=0.001, holes_worst=0.01, jumps=0.01)) == []
    holed, jumping = matte_warnings(MatteFacts(holes=0.021, holes_worst=0.1, jumps=0.25))
    assert "2.1% of the person" in holed and "25% of the frames" in jumping and "--preview" in holed


def test_the_preview_marks_holes_and_jumps():
    image = np.zeros((64, 64, 3), np.uint8)
    found = np.zeros((128, 128), bool)
    found[60:64, 60:64] = True
    marked = mark_faults(image.copy(), found, jumps=False)
    assert tuple(marked[31, 31]) == FAULT_COLOUR and not marked[0].any()
    assert tuple(mark_faults(image.copy(), found, jumps=True)[0, 0]) == FAULT_COLOUR


def test_the_best_installed_matting_is_chosen_and_the_person_network_offered(monkeypatch):
    installed: set[str] = set()
    monkeypatch.setattr(store, "locate", lambda name: name if name in installed else None)
    config = PrepareConfig(tracker="truth")
    assert matting_name("auto") == "grabcut" and needed_weights(config) == ([], [PERSON])
    installed.add(SELFIE)
    assert matting_name("auto") == "selfie"
    installed.add(PERSON)
    assert matting_name("auto") == "person" and matting_name("grabcut") == "grabcut"
    assert matting_spec(config).name == "person"
    assert matting_spec(PrepareConfig(tracks_only=True)) is None
