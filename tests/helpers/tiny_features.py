"""A package with a tiny audio feature: loudness of 20 ms, its change, and a constant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.plugin_package import install

NAME = "loudness"
_CODE = """
import numpy as np

class Loudness:
    name, version, width, window, rate_hz = "loudness", "VERSION", 3, 16, 50.0

    def extract(self, wave):
        count = len(wave) // 320 + 1
        blocks = np.pad(wave, (0, count * 320 - len(wave))).reshape(count, 320)
        level = np.sqrt(np.square(blocks).mean(1) + 1e-9)
        return np.stack([level, np.gradient(level) if count > 1 else 0 * level, 0 * level + 7], 1).astype(np.float32)
"""


def install_features(monkeypatch: pytest.MonkeyPatch, folder: Path, version: str = "1") -> None:
    """Makes the audio feature ``loudness`` available for one test."""
    points = "[jean.audio_features]\nloudness = tiny_loudness:Loudness\n"
    install(monkeypatch, folder, "tiny-loudness", {"tiny_loudness": _CODE.replace("VERSION", version)}, points)
