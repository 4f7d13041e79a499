"""An interrupted training ends with the same weights, for every kind of head."""

from __future__ import annotations

import pytest

from jean.checkpoint import load_checkpoint
from jean.errors import Interrupted
from jean.models.head import density_control
from jean.progress import Silent
from jean.train.nerf.train import NerfConfig, NerfStage, train_nerf
from tests.helpers.tiny_clip import make_clip

CASES = {
    "fast": {"preset": "fast", "rays": 64, "frames_per_step": 4},
    "paper": {"preset": "paper", "rays": 8},
    # interrupted before and after its number of Gaussians changes (steps 2 and 4, see ``control``)
    "gaussian": {"preset": "gaussian", "rays": 100},
    # interrupted before and after smoothing starts (step 4)
    "attention": {"rays": 100, "audio_attention": 8},
}


SLOW = pytest.mark.slow  # the paper's 192 samples per ray


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "a", frames=8, size=16)


@pytest.fixture(scope="module")
def whole(clip, tmp_path_factory):
    """Returns the folder and the result of an uninterrupted run of a case, trained once per module."""
    made = {}

    def run(case):
        if case not in made:
            folder = tmp_path_factory.mktemp("whole") / case
            made[case] = folder, train_nerf([clip], folder, config(case), Silent())
        return made[case]

    return run


@pytest.fixture(autouse=True)
def control(monkeypatch):
    """Changes the number of Gaussians in a training of eight steps."""
    monkeypatch.setattr(density_control, "EVERY", 2)


def config(case):
    return NerfConfig(steps=8, device="cpu", **CASES[case])


@pytest.mark.parametrize(
    "case, stop_at",
    [
        ("fast", 6),
        pytest.param("paper", 6, marks=SLOW),
        ("gaussian", 3),
        ("gaussian", 6),
        ("attention", 3),
        ("attention", 6),
    ],
)
def test_an_interrupted_run_ends_with_the_same_weights(case, stop_at, clip, whole, tmp_path, monkeypatch):
    folder, result = whole(case)
    step = NerfStage.step

    def stopping(self, number):
        if number == stop_at:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(NerfStage, "step", stopping)
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        train_nerf([clip], tmp_path / "broken", config(case), Silent())
    assert 0 < load_checkpoint(tmp_path / "broken").step <= stop_at
    monkeypatch.setattr(NerfStage, "step", step)
    again = train_nerf([clip], tmp_path / "broken", config(case), Silent())
    assert load_checkpoint(tmp_path / "broken").content_hash == load_checkpoint(folder).content_hash
    assert {key for key in result if result[key] != again[key]} <= {"seconds", "rays_per_s"}
