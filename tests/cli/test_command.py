"""Options made from configuration classes: names, help, ``--help-config``, values and errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jean_cli.command import Command
from jean_cli.help_config import describe
from jean_cli.main import COMMANDS, main
from jean_cli.options import description_of

ROOT = Path(__file__).resolve().parents[2]
CONFIGURED = [command for command in COMMANDS if command.config_path is not None]
EVERYWHERE = {"--json", "--quiet", "--verbose"}
WITH_CONFIG = {"--config", "--set", "--seed", "--device", "--help-config", "--memory"}

# Scripts of users depend on these names.
OPTIONS = {
    "prepare": "output size fps rotate tracker matting audio-features emotion-features face crop concat like "
    "sound-offset tracks-only match skip-unusable need-sound jobs workers cluster preview yes",
    "train-landmarks": "output preset table epochs steps",
    "train-audio": "output landmarks preset audio-features table epochs steps",
    "train-expr": "output preset person emotion-features table epochs steps",
    "train-lips": "output table features teacher steps synthetic-steps",
    "train-motion": "output preset table epochs steps",
    "act": "output audio emotion emotion-timeline pose expression gaze fps jobs workers cluster",
    "train-nerf": "output preset steps minutes audio expr method expression backend allow-different-people",
    "train": "output jobs settings workers cluster",
    "render": "output audio expression expression-timeline motion emotion emotion-timeline lips articulation "
    "silence-gate pose-smoothing pose pose-mode gaze blink background size fps yaw pitch orbit depth layers frames "
    "shard jobs workers cluster label watermark certificate private-key backend precision sampling",
    "evaluate": "output system reference expression-source audio-source pairs no-audio no-expression metrics landmarks "
    "audio-encoder metric-option allow-missing workers cluster",
    "export": "output frame",
    "inspect": "output data strip",
    "demo": "output short",
    "verify": "",
    "doctor": "",
}


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return int(caught.value.code or 0)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_options_keep_their_names(command: Command) -> None:
    names = {option for parameter in command.click_command().params for option in parameter.opts} - {"-o"}
    common = EVERYWHERE | (WITH_CONFIG if command.config_path else set())
    expected = {f"--{name}" for name in OPTIONS[command.name].split()} | common
    assert {name for name in names if name.startswith("--")} == expected


@pytest.mark.parametrize("command", CONFIGURED, ids=lambda command: command.name)
def test_every_option_is_a_described_field(command: Command) -> None:
    for option in command.options.values():
        assert description_of(command.config_class(), option.field), option


@pytest.mark.parametrize("command", CONFIGURED, ids=lambda command: command.name)
def test_every_configuration_key_has_a_description(command: Command) -> None:
    for entry in describe(command.config_class()):
        assert entry["description"].endswith("."), entry["key"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_has_an_example_that_parses(command: Command, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(command.name, "--help") == 0
    out = capfd.readouterr().out
    assert out.rstrip().endswith(command.example)
    assert command.example.startswith(f"jean {command.name}")
    words = command.example.split()[2:]
    command.click_command().make_context("jean", words)  # raises on an unknown option or a missing argument


def test_help_shows_type_choices_default_and_description(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("prepare", "--help") == 0
    out = " ".join(capfd.readouterr().out.split())
    assert "--fps RATE Frames per second of the clip" in out
    assert "[default: 25.0]" in out
    assert "face|centre" in out
    assert "--help-config" in out


def test_the_list_of_commands_shows_whole_sentences(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    assert "..." not in capfd.readouterr().out.split("Commands:")[1]


def test_help_config_lists_every_key(capfd: pytest.CaptureFixture[str]) -> None:
    from jean.config import keys_of
    from jean.preparation.config import PrepareConfig

    assert run("prepare", "--help-config") == 0, "before any required argument is asked for"
    out, err = capfd.readouterr()
    assert not err
    for key in keys_of(PrepareConfig):
        assert f"\n{key}  (" in out
    assert "fps  (number, > 0, <= 240, default 25.0)" in out
    assert 'crop  ("face" or "centre", default face)' in out

    assert run("prepare", "--help-config", "--json") == 0
    keys = {entry["key"]: entry for entry in json.loads(capfd.readouterr().out)["keys"]}
    assert set(keys) == set(keys_of(PrepareConfig))
    assert keys["fps"]["bounds"] == "> 0, <= 240" and keys["fps"]["default"] == 25.0


@pytest.mark.parametrize("command", CONFIGURED, ids=lambda command: command.name)
def test_help_config_of_every_command(command: Command, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(command.name, "--help-config", "--json") == 0
    assert json.loads(capfd.readouterr().out)["command"] == command.name


def test_after_two_dashes_help_config_is_a_file_name(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("prepare", "-o", "x", "--size", "1", "--", "--help-config") == 2
    assert "--size" in capfd.readouterr().err


def test_values_reach_the_configuration(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    import jean.evaluation.evaluate as module

    calls: list[Any] = []

    def evaluate(results: list[Path], config: Any, output: Path | None, progress: Any) -> dict[str, Any]:
        calls.append((results, config, output))
        return {"failed": {"a": "damaged"}, "missing": {}}

    monkeypatch.setattr(module, "evaluate", evaluate)
    monkeypatch.setattr("jean_cli.evaluate._text", lambda table, output: "table")
    words = ["--system", "ours=a b", "--system", "theirs=c", "--no-audio", "theirs", "--metrics", "psnr, ssim"]
    assert run("evaluate", *words, "--seed", "3", "--set", "resamples=5", "-o", "out", "--", "r.mp4") == 3
    ((results, config, output),) = calls
    assert results == [Path("r.mp4")] and output == Path("out")
    assert config.systems == {"ours": Path("a b"), "theirs": Path("c")}
    assert config.no_audio == ("theirs",) and config.metrics == ("psnr", "ssim")
    assert (config.seed, config.resamples, config.device) == (3, 5, "auto")
    assert capfd.readouterr().out == "table\n"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--set", "size=128", "--size", "256"], "--size and --set size=128 contradict each other"),
        (["--audio-features", "logmel", "--set", "audio=[logmel]"], "--audio-features and --set audio=[logmel]"),
        (["--fps", "nan"], "--fps: fps: input should be a finite number"),
        (["--fps", "0"], "--fps: fps: input should be greater than 0"),
        (["--crop", "round"], "--crop"),
    ],
)
def test_errors_name_the_option(words: list[str], part: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("prepare", "a.mp4", "-o", "x", *words) == 2
    assert part in capfd.readouterr().err


def test_two_systems_of_one_name_are_rejected(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", "--system", "a=x", "--system", "a=y") == 2
    assert "two systems called 'a'" in capfd.readouterr().err
    assert run("evaluate", "--system", "a") == 2
    assert "no NAME=DIR" in capfd.readouterr().err


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_command_help_loads_neither_torch_nor_numpy(name: str) -> None:
    code = (
        f"import sys\nfrom jean_cli.main import main\ntry: main([{name!r}, '--help'])\n"
        "except SystemExit as error: assert not error.code\nprint('|'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "scipy", "cv2"} & set(done.stdout.splitlines()[-1].split("|"))
