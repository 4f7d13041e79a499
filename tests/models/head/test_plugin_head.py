"""The recipe for a head: its example, installed as another package, trains and renders."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

import jean
from tests.helpers.tiny_clip import make_clip

RECIPE = Path(__file__).resolve().parents[3] / "docs" / "recipes" / "head.md"


def test_the_recipes_example_trains_and_renders(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", RECIPE.read_text("utf-8"), re.S)
    site = tmp_path / "site"
    (site / "my_package").mkdir(parents=True)
    (site / "my_package" / "__init__.py").write_text("")
    (site / "my_package" / "flat.py").write_text(code)
    information = site / "my_package-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[jean.heads]\nflat = my_package.flat:FlatHead\n")
    monkeypatch.syspath_prepend(str(site))
    clip = make_clip(tmp_path / "clip", frames=10, size=20)
    run = jean.train_nerf(clip, tmp_path / "run", preset="flat", steps=3, rays=64, device="cpu")
    assert run.steps == 3 and np.isfinite(run.metrics["heldout_face_psnr_db"])
    head = jean.load_head(run, device="cpu")
    frame = head.frame(head.drive(audio=clip / "audio.wav"), 0)
    assert frame.shape == (20, 20, 3) and frame.dtype == np.uint8
