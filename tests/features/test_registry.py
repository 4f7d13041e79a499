"""Every extractor of the registry keeps its Protocol."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from jean.errors import JeanError, UsageError
from jean.features import registry
from jean.weights import store as weights
from tests.helpers.made_models import make_adapters

RATE = 16000


def wave(seconds: float = 1.3, seed: int = 0) -> np.ndarray:
    times = np.arange(int(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).standard_normal(len(times))
    return (0.2 * np.sin(2 * np.pi * 300 * times) + 0.01 * noise).astype(np.float32)


def audio_names() -> list[str]:
    return [*registry.ADAPTERS["audio"], "hf-tiny-wav2vec2", "hf-tiny-wav2vec2@logits"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_adapters(tmp_path_factory.mktemp("models"))


@pytest.fixture
def there(models, monkeypatch):
    monkeypatch.setenv("JEAN_MODELS", str(models))
    # the files made here differ from the published ones, and so do their hashes
    monkeypatch.setattr(weights, "check", lambda path, name: None)
    return models


@pytest.mark.parametrize("name", audio_names())
def test_audio_features_keep_the_protocol(name, there):
    extractor = registry.create("audio", name)
    assert extractor.name == name and extractor.version and extractor.window == 16
    rows = extractor.extract(wave())
    assert rows.dtype == np.float32 and rows.ndim == 2 and rows.shape[1] == extractor.width
    assert abs(len(rows) - 1.3 * extractor.rate_hz) <= 2 and np.isfinite(rows).all()
    assert np.array_equal(rows, extractor.extract(wave()))  # calls do not depend on earlier ones
    assert not np.allclose(rows, extractor.extract(wave(seed=1))[: len(rows)])
    assert np.isfinite(extractor.extract(np.zeros(RATE, np.float32))).all()
    assert len(extractor.extract(np.zeros(10, np.float32))) >= 1
    for bad in (np.full(RATE, np.nan, np.float32), np.zeros((RATE, 2), np.float32)):
        with pytest.raises(JeanError):
            extractor.extract(bad)


@pytest.mark.parametrize("name", ["logmel"])  # the others depend on the whole audio (bidirectional LSTM, attention)
def test_rows_are_at_the_time_of_their_audio(name, there):
    """Audio that begins at 0.8 s of 1.6 s changes rows from about 40 on, and no earlier ones."""
    silent = np.zeros(int(1.6 * RATE), np.float32)
    begun = silent.copy()
    begun[int(0.8 * RATE) :] = wave(0.8)
    extractor = registry.create("audio", name)
    changed = np.abs(extractor.extract(begun) - extractor.extract(silent)).max(1) > 1e-3
    assert abs(int(changed.argmax()) - 0.8 * extractor.rate_hz) <= 2


@pytest.mark.parametrize("name", [*registry.ADAPTERS["emotion"], "onnx-tiny@features", "onnx-tiny"])
def test_emotion_features_are_one_vector_per_frame(name, there):
    extractor = registry.create("emotion", name)
    assert extractor.network is True and extractor.version
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (3, 80, 80, 3), np.uint8)
    face = np.stack([random.uniform(20, 60, 68), random.uniform(20, 60, 68)], -1)
    lost = np.full((68, 2), np.nan)
    rows = list(extractor.extract(zip(images, (face, lost, face), strict=True)))
    assert [row.shape for row in rows] == [(extractor.width,)] * 3
    assert all(row.dtype == np.float32 for row in rows)
    assert np.isnan(rows[1]).all() and np.isfinite(rows[0]).all() and not np.array_equal(rows[0], rows[2])
    assert list(extractor.extract(iter(()))) == []


@pytest.mark.parametrize("kind", registry.ADAPTERS)
def test_every_entry_of_the_registry_is_a_class(kind):
    for place in [*registry.ADAPTERS[kind].values(), *registry.PREFIXES.get(kind, {}).values()]:
        module, attribute = place.split(":")
        assert isinstance(getattr(import_module(module), attribute), type)


@pytest.mark.parametrize(("kind", "name"), [("audio", "hf-"), ("audio", "mp3"), ("emotion", "smile")])
def test_unknown_names_list_the_registered_ones(kind, name):
    with pytest.raises(UsageError, match="NAME"):
        registry.create(kind, name)


@pytest.mark.parametrize("name", ["deepspeech", "hubert", "hf-nothing"])
def test_missing_weights_are_named(name, tmp_path, monkeypatch):
    monkeypatch.setenv("JEAN_MODELS", str(tmp_path))
    with pytest.raises(JeanError, match=r"missing|no model folder") as caught:
        registry.create("audio", name)
    assert caught.value.exit_code == 5
