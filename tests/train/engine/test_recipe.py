"""The example of docs/recipes/training_stage.md trains, resumes, and loads as the page says."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from jean.checkpoint import load_checkpoint
from jean.models.stored import load_model
from jean.progress import Silent
from tests.helpers.interrupted import interrupted_at

PAGE = Path(__file__).resolve().parents[3] / "docs" / "recipes" / "training_stage.md"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """The first Python block of the page, imported as a module."""
    path = tmp_path_factory.mktemp("recipe") / "opening.py"
    path.write_text(re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[1])
    spec = importlib.util.spec_from_file_location("recipe_opening", path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "recipe_opening", module)
        spec.loader.exec_module(module)
        yield module


def test_the_example_learns_and_its_network_can_be_loaded(recipe, two_people, tmp_path):
    config = recipe.OpeningConfig(preset="small", device="cpu")
    result = recipe.train_opening([two_people], tmp_path / "run", config, Silent())
    assert result["steps"] == 500
    assert result["error"] < 0.5 * result["mean_error"]
    model = load_model(tmp_path / "run", "opening", recipe.OpeningPredictor).model
    assert isinstance(model, recipe.OpeningPredictor)


def test_the_example_resumes_to_the_same_weights(recipe, two_people, tmp_path):
    config = recipe.OpeningConfig(steps=20, device="cpu")
    whole = recipe.train_opening([two_people], tmp_path / "whole", config, Silent())
    with interrupted_at(recipe.OpeningStage, 13):
        recipe.train_opening([two_people], tmp_path / "broken", config, Silent())
    resumed = recipe.train_opening([two_people], tmp_path / "broken", config, Silent())
    hashes = {load_checkpoint(tmp_path / name).content_hash for name in ("whole", "broken")}
    assert len(hashes) == 1
    assert resumed["error"] == whole["error"]
