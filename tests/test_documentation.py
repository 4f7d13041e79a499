"""Commands and files that the documentation names exist."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import jean
from jean_cli.main import COMMANDS, app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").rglob("*.md"))
CONFIGS = {command.name: command for command in COMMANDS}
# a placeholder, and a command that exists only once a reader has followed its recipe
UNKNOWN = {"COMMAND", "train-opening"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def command_lines(page: Path) -> list[str]:
    """The ``jean`` commands in a page: lines of shell blocks, and code in the text that has options."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`(jean [^`]*--[^`]*)`", re.sub(r"```.*?```", "", text, flags=re.S))
    return [line for line in [*lines, *(" ".join(each.split()) for each in inline)] if line.startswith("jean ")]


def called(words: list[str]) -> tuple[str, set[str]]:
    """Name of the command that the words call, and the options that it takes; removes the name from the words."""
    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", ()):
        command = command.commands[words.pop(0)]
    parameters = command.get_params(command.make_context(command.name, [], resilient_parsing=True))
    return command.name, {option for parameter in parameters for option in parameter.opts}


@each_page
def test_commands_have_the_options_that_pages_name(page: Path) -> None:
    for line in command_lines(page):
        words = shlex.split(line, comments=True)[1:]
        if words[0] in UNKNOWN:
            continue
        name, options = called(words)
        for word, value in pairwise([*words, ""]):
            if re.fullmatch(r"--?[a-z][a-z-]*", word):
                assert word in options, f"{page.name}: {line}"
            if word == "--set" and re.match(r"[a-z]", value):
                key = value.partition("=")[0].partition(".")[0]
                assert key in CONFIGS[name].config_class().model_fields, f"{page.name}: {line}"


@each_page
def test_files_in_the_text_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for name in re.findall(r"`((?:jean|jean_cli|tests|examples|docs)/[\w/.-]+)`", text):
        if not re.search(r"NAME|opening|gaze|blur", name):  # files that recipes create
            assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_every_page_is_in_the_navigation() -> None:
    def entries(value: Any) -> list[str]:
        if isinstance(value, str):
            return [value]
        values = value.values() if isinstance(value, dict) else value
        return [entry for each in values for entry in entries(each)]

    lines = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = entries(yaml.safe_load(lines))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert sorted(listed) == sorted(pages)


def test_the_citation_has_the_version_of_the_package() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == jean.__version__
