"""Installs a tiny package with entry points into a folder, as pip would."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest


def install(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    name: str,
    modules: Mapping[str, str],
    entry_points: str,
) -> None:
    """Writes the package ``name`` 1.0 into ``folder`` and puts the folder on ``sys.path`` for one test.

    Args:
        modules: module name → source code.
        entry_points: content of ``entry_points.txt``, e.g. ``"[jean.metrics]\\nflicker = my_module:Flicker\\n"``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for module, code in modules.items():
        (folder / f"{module}.py").write_text(code, encoding="utf-8")
        monkeypatch.delitem(sys.modules, module, raising=False)
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
