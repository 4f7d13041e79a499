"""Every number of every configuration has bounds: zero, negative, huge and non-finite values are rejected."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from jean.config import load_config
from jean.errors import UsageError
from jean_cli.command import Command
from jean_cli.help_config import describe
from jean_cli.main import COMMANDS, main
from jean_cli.options import field_of

CONFIGURED = [command for command in COMMANDS if command.config_path is not None]

# Keys for which 0 has a meaning, by command; everywhere else 0 is rejected.
ZERO: dict[str, set[str]] = {
    "prepare": {"rotate", "sound_offset", "gpus"},
    "train-landmarks": {"swap_probability", "weight_decay"},
    "train-audio": {"audio_noise", "dropout"},
    "train-expr": {"swap_probability", "dropout", "weight_decay"},
    "train-lips": {"anchor", "synthetic_steps", "feature_copies", "dropout"},
    "train-motion": {
        "label_dropout",
        "step_weight",
        "emotion_weight",
        "cohesion_weight",
        "sound_weight",
        "moment_weight",
        "critic_steps",
        "average",
    },
    "act": {"gpus"},
    "train": {"gpus"},
    "train-nerf": {
        "warm_up_steps",
        "lip_weight",
        "audio_rate",
        "audio_steps",
        "audio_attention",
        "dropout",
        "latent_width",
        "ema_decay",
        "audio_noise",
        "lip_noise",
        "expression_noise",
        "opacity_weight",
        "expression_window_s",
        "expression_exchange",
        "expression_dropout",
    },
    "export": {"frame"},
    "render": {"articulation", "held_s", "pose_smoothing", "strength", "yaw", "pitch", "orbit", "crf", "gpus"},
    "evaluate": {"reference_start_s", "resamples", "gpus"},
    "inspect": set(),
    "demo": {"person"},
}
# Keys for which -1 has a meaning.
NEGATIVE = {"prepare": {"sound_offset"}, "render": {"yaw", "pitch"}}


def contains_number(annotation: Any) -> bool:
    return annotation in (int, float) or any(contains_number(argument) for argument in get_args(annotation))


def numeric_keys() -> list[Any]:
    return [
        pytest.param(command, entry["key"], id=f"{command.name}-{entry['key']}")
        for command in CONFIGURED
        for entry in describe(command.config_class())
        if contains_number(field_of(command.config_class(), entry["key"]).annotation)
    ]


def setting(command: Command, key: str, value: str) -> str:
    """``key=value``; in a list of numbers, the value replaces the first one."""
    field = field_of(command.config_class(), key)
    if isinstance(field.default, tuple):
        return f"{key}=[{', '.join([value, *map(str, field.default[1:])])}]"
    return f"{key}={value}"


def accepts(command: Command, key: str, value: str) -> bool:
    try:
        load_config(command.config_class(), None, [setting(command, key, value)])
    except UsageError as error:
        assert key in str(error)
        return False
    return True


@pytest.mark.parametrize(("command", "key"), numeric_keys())
def test_numbers_are_bounded(command: Command, key: str) -> None:
    assert accepts(command, key, "0") == (key == "seed" or key in ZERO[command.name])
    assert accepts(command, key, "-1") == (key in NEGATIVE.get(command.name, ()))
    for value in (".nan", ".inf", "-.inf", "1e300", "1" + 40 * "0", "-1e300"):
        assert not accepts(command, key, value), value


@pytest.mark.parametrize(("command", "key"), numeric_keys())
def test_the_command_exits_with_2_and_names_the_key(
    command: Command, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command.example.split()[1:]
    options = ("--minutes", "--expression", "--strip")  # of the examples; a key cannot be given twice
    words = [word for i, word in enumerate(words) if not {word, words[i - 1]} & set(options)]
    with pytest.raises(SystemExit) as exit_:
        main([*words, "--set", setting(command, key, ".nan")])
    assert exit_.value.code == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    assert err.startswith(f"error: --set {key}=") and f": {key}: " in err
