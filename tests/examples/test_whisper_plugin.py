"""The example package with Whisper's encoder, on a stand-in for CTranslate2."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jean.errors import InputError, SetupError

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "plugins" / "jean-whisper"
RATE_HZ = 16_000


class Encoder:
    """Returns the mean of each two columns of the spectrum in all 384 values."""

    def __init__(self, folder, **options):
        self.lengths = []

    def encode(self, spectrum, to_cpu):
        self.lengths.append(spectrum.shape[2])
        pairs = spectrum[0].mean(0).reshape(-1, 2).mean(1)
        return np.repeat(pairs[None, :, None], 384, 2)


@pytest.fixture
def module(tmp_path, monkeypatch):
    pytest.importorskip("librosa")
    (tmp_path / "whisper-tiny-en").mkdir()
    (tmp_path / "whisper-tiny-en" / "model.bin").write_bytes(b"")
    monkeypatch.setenv("JEAN_MODELS", str(tmp_path))
    views = SimpleNamespace(from_array=lambda array: array)
    library = SimpleNamespace(models=SimpleNamespace(Whisper=Encoder), StorageView=views)
    monkeypatch.setitem(sys.modules, "ctranslate2", library)
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "jean_whisper", raising=False)
    import jean_whisper

    return jean_whisper


def test_rows_are_at_the_time_of_their_sound(module):
    extractor = module.WhisperTinyEn()
    wave = np.zeros(RATE_HZ * 2, np.float32)
    wave[RATE_HZ:] = np.random.default_rng(0).normal(0, 0.1, RATE_HZ)
    rows = extractor.extract(wave)
    assert rows.shape == (101, extractor.width) and rows.dtype == np.float32
    loud = rows[:, 0] > (rows[:, 0].min() + rows[:, 0].max()) / 2
    assert abs(int(np.argmax(loud)) - 50) <= 1


def test_long_sounds_are_encoded_in_pieces_of_30_s(module):
    extractor = module.WhisperTinyEn()
    wave = np.random.default_rng(0).normal(0, 0.1, RATE_HZ * 61).astype(np.float32)
    assert extractor.extract(wave).shape == (61 * 50 + 1, 384)
    assert len(extractor._encoder.lengths) == 3 and max(extractor._encoder.lengths) <= 3000
    assert len(extractor.extract(wave[:10])) == 1


def test_what_is_missing_or_unusable_is_said(module, monkeypatch, tmp_path):
    with pytest.raises(InputError):
        module.WhisperTinyEn().extract(np.full(RATE_HZ, np.nan, np.float32))
    monkeypatch.setenv("JEAN_MODELS", str(tmp_path / "empty"))
    with pytest.raises(SetupError, match="whisper-tiny-en"):
        module.WhisperTinyEn()
