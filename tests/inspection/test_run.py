"""``jean inspect`` on small runs: readable images, one page, and errors."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from jean.errors import ArtefactError, InputError, UsageError
from jean.inspection.config import InspectConfig
from jean.inspection.run import inspect_run, tsne
from jean.progress import Silent
from jean.train.expression.config import ExpressionConfig
from jean.train.expression.stage import train_expression
from jean.train.landmarks.config import LandmarkConfig
from jean.train.landmarks.stage import train_landmarks
from jean.train.nerf.train import NerfConfig, train_nerf
from tests.helpers.tiny_corpus import make_corpus

TINY = {"width": 8, "hidden": 16, "heads": 4, "layers": 1, "feedforward": 16, "device": "cpu", "dtw": "exact"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("inspect")
    corpus = make_corpus(root / "clips", people=1, sentences=1, frames=12, size=20)
    train_landmarks([corpus], root / "landmarks", LandmarkConfig(steps=20, device="cpu"), Silent())
    config = ExpressionConfig(preset="small", steps=10, batch=8, **TINY)
    train_expression([corpus], root / "expression", config, Silent())
    nerf = NerfConfig(steps=4, rays=144, frames_per_step=1, device="cpu", expression_run=root / "expression")
    train_nerf([corpus / "p0"], root / "nerf", nerf, Silent())
    return root


def checked(result) -> dict[str, np.ndarray]:
    """Checks that every PNG file has content and that the page shows each of them; returns them by name."""
    images = {path.rsplit("/", 1)[1]: cv2.imread(path) for path in result["pictures"]}
    assert images
    assert all(image is not None and image.std() > 1 for image in images.values())
    page = Path(result["page"]).read_text(encoding="utf-8")
    names = [name.split("_")[0] for name in images]
    assert page.count('<svg class="chart"') == names.count("curve") > 0
    assert page.count('<div class="frames"') == names.count("strip")
    assert page.count("data:image/png;base64,") == len(names) - names.count("curve") - names.count("strip")
    return images


def test_every_run_has_curves(runs, tmp_path):
    result = inspect_run(runs / "landmarks", [], tmp_path, InspectConfig(), Silent())
    assert result["stage"] == "landmarks" and result["steps"] == 20
    assert {"curve_loss.png", "curve_held-out_error.png"} <= set(checked(result))


def test_an_expression_run_has_a_plot_of_its_embeddings(runs, tmp_path):
    result = inspect_run(runs / "expression", [runs / "clips"], tmp_path, InspectConfig(points=24), Silent())
    assert "tsne.png" in checked(result)
    with pytest.raises(InputError):
        inspect_run(runs / "expression", [tmp_path], tmp_path / "x", InspectConfig(), Silent())


def test_a_head_has_strips_between_expressions(runs, tmp_path):
    config = InspectConfig(size=32, steps=3, device="cpu", strip=("sad..happy:0.5",))
    images = checked(inspect_run(runs / "nerf", [], tmp_path, config, Silent()))
    assert images["strip_sad_to_happy-0.5.png"].shape == (54, 96, 3)
    with pytest.raises(UsageError, match="happy"):
        inspect_run(
            runs / "nerf", [], tmp_path, InspectConfig(strip=("sad..furious",), size=32, device="cpu"), Silent()
        )
    with pytest.raises(UsageError, match="two expressions"):
        inspect_run(runs / "nerf", [], tmp_path, InspectConfig(strip=("sad",), size=32, device="cpu"), Silent())


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(ArtefactError):
        inspect_run(tmp_path, [], tmp_path / "out", InspectConfig(), Silent())


def test_a_page_is_not_written_into_the_run_or_a_clip(runs):
    for output in (runs / "landmarks" / "page", runs / "clips", runs / "clips" / "p0" / "sad_001" / "page"):
        with pytest.raises(UsageError, match="Choose another --output"):
            inspect_run(runs / "landmarks", [runs / "clips"], output, InspectConfig(), Silent())


def test_tsne_keeps_separate_groups_separate():
    random = np.random.default_rng(0)
    values = np.concatenate([random.standard_normal((30, 8)), random.standard_normal((30, 8)) + 20])
    points = tsne(values, 10, 0)
    middle = points[:30].mean(0), points[30:].mean(0)
    assert np.linalg.norm(points[:30] - middle[0], axis=1).max() < np.linalg.norm(points[:30] - middle[1], axis=1).min()
