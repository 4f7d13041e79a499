"""The examples in docs/recipes work as written, as packages outside the project."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from jean.drivers.audio_windows import extract_windows
from jean.errors import InputError, SetupError
from jean.features import registry
from tests.helpers.drawn_face import TEMPLATE
from tests.helpers.plugin_package import install

RECIPES = Path(__file__).resolve().parents[2] / "docs" / "recipes"


def install_recipe(monkeypatch: pytest.MonkeyPatch, folder: Path, page: str) -> None:
    """Installs the package that a page describes: its Python block, and the entry points of its TOML block."""
    text = (RECIPES / page).read_text(encoding="utf-8")
    (module,) = re.findall(r"^`(\w+)\.py`:$", text, re.M)
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    (project,) = re.findall(r"^```toml\n(.*?)^```$", text, re.M | re.S)
    (distribution,) = re.findall(r'^name = "(.+)"$', project, re.M)
    ((group, name, value),) = re.findall(r'\[project\.entry-points\."(.+)"\]\n(.+) = "(.+)"', project)
    install(monkeypatch, folder, distribution, {module: code}, f"[{group}]\n{name} = {value}\n")


def test_the_audio_feature_of_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "band-energy" not in registry.names("audio")
    install_recipe(monkeypatch, tmp_path, "audio_feature.md")
    assert "band-energy" in registry.names("audio")
    extractor = registry.create("audio", "band-energy")
    wave = np.zeros(32000, np.float32)
    wave[16000:] = np.random.default_rng(0).uniform(-0.5, 0.5, 16000)
    rows = extractor.extract(wave)
    assert rows.dtype == np.float32 and rows.shape == (101, 8)
    change = np.abs(np.diff(rows.mean(1))).argmax() / extractor.rate_hz
    assert change == pytest.approx(1.0, abs=0.03)  # rows stand at the time of their audio
    assert extract_windows(extractor, wave, 50, 25.0).shape == (50, 16, 8)


def test_the_tracker_of_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_recipe(monkeypatch, tmp_path / "package", "tracker.md")
    columns = [f"{axis}_{n}" for axis in "xy" for n in range(68)]
    positions = ", ".join(f"{value:.3f}" for value in (TEMPLATE * 64).T.ravel())
    lines = [f"{n}, {n / 25:.3f}, {0.9 if n != 2 else 0.1}, {positions}" for n in range(5)]
    (tmp_path / "me.csv").write_text("\n".join([f"frame, timestamp, confidence, {', '.join(columns)}", *lines]))
    tracker = registry.create("tracker", "openface", video=tmp_path / "me.mp4", device="cpu")
    frames = ((n / 25, np.zeros((64, 64, 3), np.uint8)) for n in range(5))
    faces = list(tracker.track(frames))
    assert [len(each) for each in faces] == [1, 1, 0, 1, 1]
    assert np.allclose(faces[0][0].landmarks, TEMPLATE * 64, atol=1e-3)
    with pytest.raises(InputError, match=r"other\.csv"):
        registry.create("tracker", "openface", video=tmp_path / "other.mp4", device="cpu")


@pytest.mark.parametrize(
    ("kind", "group", "code", "reason"),
    [
        ("audio", "jean.audio_features", "class A:\n    name = 'mine'\n", "lacks extract"),
        ("audio", "jean.audio_features", "class A:\n    name = 'mine'\n    extract = None\n", "lacks version, width"),
        ("matting", "jean.mattings", "class A:\n    name = 'his'\n    version = '1'\n    segment = None\n", "'his'"),
        ("emotion", "jean.emotion_features", "import absent_module\n", "absent_module"),
    ],
)
def test_a_package_that_breaks_the_protocol_is_named(
    kind: str, group: str, code: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path, "broken", {"broken_extractor": code}, f"[{group}]\nmine = broken_extractor:A\n")
    with pytest.raises(SetupError, match=reason) as caught:
        registry.create(kind, "mine")
    assert "broken 1.0" in str(caught.value) and "\n" not in str(caught.value)


def test_a_package_cannot_replace_an_extractor_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, "thief", {"thief": ""}, "[jean.audio_features]\nlogmel = thief:A\n")
    with pytest.raises(SetupError, match="several packages"):
        registry.create("audio", "logmel")
