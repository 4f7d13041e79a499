"""Registries that installed packages extend through entry points."""

from __future__ import annotations

from pathlib import Path

import pytest

from jean.errors import SetupError, UsageError
from jean.plugins import Registry
from tests.helpers.plugin_package import install

REGISTRY: Registry[type] = Registry("colour", "jean.test_colours", {"red": "collections:OrderedDict"}, ("update",))


def test_builtin_classes_need_no_plugin() -> None:
    from collections import OrderedDict

    assert REGISTRY.names() == ["red"]
    assert "red" in REGISTRY
    assert "blue" not in REGISTRY
    assert REGISTRY.load("red") is OrderedDict


def test_a_plugin_is_listed_without_being_imported_and_imported_when_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from pathlib import Path\nPath(__file__).with_suffix('.imported').touch()\nclass Blue:\n    update = None\n"
    install(
        monkeypatch, tmp_path, "blue-plugin", {"blue_plugin": code}, "[jean.test_colours]\nblue = blue_plugin:Blue\n"
    )
    assert REGISTRY.names() == ["red", "blue"]
    assert "blue" in REGISTRY
    assert not (tmp_path / "blue_plugin.imported").exists()
    assert REGISTRY.load("blue").__name__ == "Blue"
    assert (tmp_path / "blue_plugin.imported").exists()


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, "blue-plugin", {}, "[jean.test_colours]\nblue = blue_plugin:Blue\n")
    with pytest.raises(UsageError, match=r"no colour called 'green'\. Choose from: red, blue\."):
        REGISTRY.load("green")


@pytest.mark.parametrize(
    ("code", "value", "reason"),
    [
        ("import nothing_of_this_name", "broken_plugin:Blue", "ModuleNotFoundError: No module named"),
        ("def Blue(:", "broken_plugin:Blue", "SyntaxError"),
        ("", "broken_plugin:Blue", "AttributeError"),
        ("raise RuntimeError('two\\nlines')", "broken_plugin:Blue", "RuntimeError: two lines"),
        ("class Blue: pass", "broken_plugin:Blue", "lacks update"),
    ],
)
def test_a_broken_plugin_gives_one_line_that_names_its_package(
    code: str, value: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path, "broken-plugin", {"broken_plugin": code}, f"[jean.test_colours]\nblue = {value}\n")
    with pytest.raises(SetupError) as caught:
        REGISTRY.load("blue")
    text = str(caught.value)
    assert "broken-plugin 1.0" in text
    assert reason in text
    assert "Update or uninstall broken-plugin." in text
    assert "\n" not in text


def test_a_name_that_is_taken_names_both_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path / "a", "first", {}, "[jean.test_colours]\nred = first:Red\nblue = first:Blue\n")
    install(monkeypatch, tmp_path / "b", "second", {}, "[jean.test_colours]\nblue = second:Blue\n")
    with pytest.raises(SetupError, match=r"the colour 'red': jean, first 1\.0"):
        REGISTRY.load("red")
    with pytest.raises(SetupError, match=r"the colour 'blue': first 1\.0, second 1\.0"):
        REGISTRY.load("blue")


def test_a_malformed_entry_point_file_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, "malformed", {}, "[jean.test_colours]\nno value here\n")
    with pytest.raises(SetupError, match=r"entry points of the package malformed 1\.0 cannot be read"):
        REGISTRY.names()


def test_the_first_package_of_a_name_on_the_path_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path / "old", "same", {}, "[jean.test_colours]\nold = same:Old\n")
    install(monkeypatch, tmp_path / "new", "same", {}, "[jean.test_colours]\nnew = same:New\n")
    assert REGISTRY.names() == ["red", "new"]
