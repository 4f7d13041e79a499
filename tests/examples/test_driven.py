"""Figures of driven heads on hand-made tracks, and the whole program on a tiny head."""

from __future__ import annotations

import json

import cv2
import driven
import numpy as np
import pytest
from driven_figures import Rendered, expression_figures, follow, picture_figures, pose_figures, voice_figures, worst
from scipy.ndimage import gaussian_filter1d

from jean.features import registry as adapters
from jean.features.base import Face
from jean.geometry import invert_pose, make_pose, rotation_matrix
from jean.progress import Silent
from jean.train.nerf.train import NerfConfig, train_nerf
from tests.helpers.tiny_clip import make_clip

NAMES = [
    *("browInnerUp", "browOuterUpLeft", "browOuterUpRight", "browDownLeft", "browDownRight"),
    *("eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight"),
]


def test_a_source_that_arrives_at_half_strength_has_slope_one_half():
    random = np.random.default_rng(0)
    source = random.random((50, len(NAMES)))
    result = 0.3 + 0.5 * source
    result[:, NAMES.index("eyeBlinkLeft")] = result[:, NAMES.index("eyeBlinkRight")] = 0.1  # lids do not move
    result[7] = np.nan
    figures = expression_figures(result, source, NAMES, 25.0)
    assert figures["brows"] == figures["smile"] == {"r": 1.0, "slope": 0.5}
    assert figures["lids"]["slope"] == 0 and np.isnan(figures["lids"]["r"])


def test_a_slow_smile_is_found_under_another_voice():
    random = np.random.default_rng(0)
    smile = 0.5 * np.sin(2 * np.pi * np.arange(200) / 100)  # of four seconds
    spoken = 0.6 * gaussian_filter1d(random.normal(size=(2, 200)), 1.5, axis=1)
    source, result = np.zeros((2, 200, len(NAMES)))
    for tracks, share, voice in ((source, 1.0, spoken[0]), (result, 0.6, spoken[1])):
        tracks[:, NAMES.index("mouthSmileLeft")] = tracks[:, NAMES.index("mouthSmileRight")] = share * smile + voice
    figures = expression_figures(result, source, NAMES, 25.0)
    whole, slow = figures["smile"], figures["slow smile"]
    assert whole["r"] < 0.7 and slow["r"] > 0.85 and slow["slope"] == pytest.approx(0.6, abs=0.1)
    assert whole["r"] < slow["of_source"] < 0.9


def test_opposed_motion_has_a_negative_slope():
    track = np.sin(np.arange(30.0))
    assert follow(-2 * track, track) == {"r": -1.0, "slope": -2.0}


def turned(yaw_deg):
    vectors = np.radians(np.stack([0 * yaw_deg, yaw_deg, 0 * yaw_deg], -1))
    return invert_pose(make_pose(rotation_matrix(vectors), np.tile([0.0, 0, 50], (len(yaw_deg), 1))))


def test_yaw_slope_within_the_seen_range_ignores_larger_turns():
    yaw = 40 * np.sin(np.arange(200) / 7)
    limited = np.clip(yaw, -18, 18)
    own = turned(10 * np.sin(np.arange(200) / 7))
    figures = pose_figures(turned(limited), turned(yaw), own)["yaw"]
    assert figures["slope_seen"] == pytest.approx(1.0, abs=0.02) and figures["slope"] < 0.6
    assert figures["r"] > 0.9


def test_an_unseen_neck_counts_as_unknown():
    opacity = np.full((2, 8, 8, 2), 127, np.uint8)
    rendered = Rendered(np.zeros((2, 8, 8, 3), np.uint8), opacity, [None, None])
    figures = picture_figures(rendered, np.ones((8, 8), bool))
    assert np.isnan(figures["neck_opacity_lowest"]) and figures["painted_outside"] == 0


def test_the_worst_source_is_named():
    assert worst({"a": {"torn": 0.1}, "b": {"torn": float("nan")}, "c": {"torn": 0.0}}) == {"torn": (0.1, "a")}


class MiddleTracker:
    """Finds a face in the middle of every image."""

    name, version, expression_names, upper_face = "middle", "1", ("a", "b", "c"), (True, True, False)

    def __init__(self, video=None, device="cpu"):
        pass

    def track(self, frames):
        for _, image in frames:
            size = image.shape[0]
            points = np.random.default_rng(0).uniform(0.3, 0.7, (68, 2)) * size
            points[36:42], points[42:48], points[8] = [0.4 * size] * 2, [0.6 * size, 0.4 * size], [size / 2, 0.8 * size]
            yield [Face(points, points, np.zeros((2, 2)), np.array([image.mean(), 0, 0]), np.eye(4), 1.0)]


def test_the_program_drives_a_head_by_every_other_clip(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(adapters.ADAPTERS["tracker"], "middle", f"{__name__}:MiddleTracker")
    monkeypatch.setattr(driven, "TRACKER", "middle")
    signals = dict.fromkeys(("brows", "smile"), (("browInnerUp",), ("eyeBlinkLeft",)))
    monkeypatch.setattr("driven_figures.SIGNALS", signals)
    clips = [make_clip(tmp_path / name, seed=seed) for seed, name in enumerate(("me", "one", "two"))]
    train_nerf([clips[0]], tmp_path / "run", NerfConfig(steps=20, rays=576, frames_per_step=1), Silent())
    heads, sources = ["--head", str(tmp_path / "run"), str(clips[0])], [str(clip) for clip in clips]
    driven.main([*heads, "--sources", *sources, "--frames", "6", "--step", "2", "-o", str(tmp_path / "out"), "--json"])
    document = json.loads(capsys.readouterr().out)["run"]
    assert list(document) == ["expression", "pose", "both", "voice"]
    for part in document.values():
        assert list(part["sources"]) == ["one", "two"]  # not its own clip
    figures = document["both"]["sources"]["one"]
    assert set(figures) == {"face", "picture", "follow", "reduced"}
    assert set(figures["face"]) == {"eyes_torn", "mouth_torn"}
    assert "yaw" in document["pose"]["sources"]["one"]["follow"]
    sheet = cv2.imread(str(tmp_path / "out" / "run.png"))
    assert sheet.shape == (2 * driven.TILE_PX, 5 * driven.TILES * driven.TILE_PX, 3)


def test_lips_are_compared_with_the_speakers_at_the_best_lag():
    random = np.random.default_rng(0)
    real = gaussian_filter1d(random.normal(size=(125, 2)), 1.5, axis=0)
    times_s = np.arange(125) / 25
    late = np.stack([np.interp(times_s - 0.08, times_s, column) for column in real.T], 1)
    figures = voice_figures(times_s, 0.5 * late + 3, times_s, real, real.std(0))
    assert figures["opening_r"] > 0.9 and figures["width_r"] > 0.9 and figures["chance_r"] < 0.6
    assert figures["opening_std_ratio"] == pytest.approx(0.5, abs=0.03)
    assert voice_figures(times_s[:10], late[:10], times_s, real, real.std(0)) == {}


def test_two_heads_of_one_name_are_refused(tmp_path, capsys):
    heads = ["--head", str(tmp_path / "a" / "run"), "clip", "--head", str(tmp_path / "b" / "run"), "clip"]
    with pytest.raises(SystemExit):
        driven.main([*heads, "--sources", "clip"])
    assert "must differ" in capsys.readouterr().err
