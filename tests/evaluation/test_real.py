"""Evaluation of real clips with the real tracker."""

from __future__ import annotations

from pathlib import Path

import pytest

from jean.evaluation.evaluate import EvaluateConfig, evaluate
from jean.media import VideoWriter, read_frames

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_copies_of_a_real_clip_score_high_and_delayed_ones_lower(
    tmp_path: Path, shared_data: Path, shared_models: Path
) -> None:
    frames = [image for _, image in read_frames(shared_data / "data" / "hill.mp4", 25.0, stop_s=3.0)]
    height, width = frames[0].shape[:2]
    late = [frames[max(0, t - 3)] for t in range(len(frames))]
    for name, shown in (("same", frames), ("late", late)):
        (tmp_path / name).mkdir()
        with VideoWriter(tmp_path / name / "hill.mp4", (width, height), 25.0, crf=10) as writer:
            for image in shown:
                writer.write(image)
    scores = {}
    for name in ("same", "late"):
        config = EvaluateConfig(reference=shared_data / "data" / "hill.mp4", tracker="mediapipe")
        row = evaluate([tmp_path / name], config)["rows"][0]
        assert row["frames"]["compared"] == 75 and row["frames"]["left_reference"] == 125
        assert row["frames"]["no_face_result"] == 0
        scores[name] = row["values"]
    same, late_scores = scores["same"], scores["late"]
    assert same["psnr_db"] > 30 and same["lmd_all"] < 0.005 and same["pose_error_deg"] < 0.5
    assert same["mouth_correlation"] > 0.98 and same["mouth_lag_s"] == 0
    assert late_scores["mouth_lag_s"] == pytest.approx(3 / 25)
    assert late_scores["psnr_db"] < same["psnr_db"] - 5 and late_scores["mouth_correlation"] < 0.8


def test_another_person_scores_low(tmp_path: Path, shared_data: Path, shared_models: Path) -> None:
    """Another size, pixel aspect ratio, length and face."""
    config = EvaluateConfig(reference=shared_data / "data" / "grid_bbaf2n.mpg")
    row = evaluate([shared_data / "data" / "grid_swiz3n.mpg"], config, tmp_path / "out")["rows"][0]
    assert row["frames"]["compared"] > 60
    assert 5 < row["values"]["psnr_db"] < 25
    assert (tmp_path / "out" / "report.html").stat().st_size > 50_000
