"""Everything around the selfie network, with a fake network; the weights are not on every machine."""

from __future__ import annotations

import numpy as np
import pytest

from jean.errors import ArtefactError, SetupError
from jean.features.matting.selfie import SelfieMatting, opacity

SIDE = 64
NOBODY = np.full((68, 2), np.nan, np.float32)


def probabilities(kind: int, size: int = SIDE) -> np.ndarray:
    out = np.zeros((size, size, 6), np.float32)
    out[..., kind] = 1.0
    return out


def grey(side: int = SIDE) -> np.ndarray:
    return np.full((side, side, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("kind", "expected"), [(0, (0, 0)), (1, (255, 0)), (3, (255, 0)), (2, (0, 255)), (4, (0, 255)), (5, (0, 255))]
)
def test_classes_become_head_torso_and_background(kind, expected):
    (matte,) = SelfieMatting(lambda image: probabilities(kind)).segment([(grey(), NOBODY)])
    assert matte.dtype == np.uint8 and (matte == expected).all()


def test_a_single_wrong_frame_is_corrected_by_its_neighbours():
    kinds = iter([1, 1, 1, 0, 1, 1, 1])
    mattes = list(SelfieMatting(lambda image: probabilities(next(kinds))).segment([(grey(), NOBODY)] * 7))
    assert len(mattes) == 7
    assert min(matte[..., 0].min() for matte in mattes) > 200


def test_the_network_gets_at_most_256_px_and_the_matte_has_the_size_of_the_frame():
    seen = []

    def classify(image):
        seen.append(image.shape)
        out = probabilities(0, image.shape[0])
        out[:, : image.shape[1] // 2] = probabilities(1, image.shape[0])[:, : image.shape[1] // 2]
        return out

    frame = np.full((512, 512, 3), 30, np.uint8)
    frame[:, :256] = 220
    (matte,) = SelfieMatting(classify).segment([(frame, NOBODY)])
    assert seen == [(256, 256, 3)] and matte.shape == (512, 512, 2)
    assert (matte[:, :250, 0] == 255).all() and (matte[:, 262:] == 0).all()


def test_head_and_torso_never_exceed_255_in_sum():
    random = np.random.default_rng(0)
    parts = random.dirichlet([1, 1, 1], (32, 32))[..., :2].astype(np.float32)
    image = random.integers(0, 255, (32, 32, 3), np.uint8)
    assert opacity(parts, image, image, None).sum(-1, dtype=np.int32).max() <= 255


def test_another_network_is_rejected():
    with pytest.raises(ArtefactError, match="returned an array of shape"):
        list(SelfieMatting(lambda image: probabilities(0)[..., :2]).segment([(grey(), NOBODY)]))


def test_missing_weights_name_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("JEAN_MODELS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SetupError, match="jean models pull"):
        SelfieMatting()
