"""Configuration: precedence, the YAML dialect, and errors that say where."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, field_validator

from jean.config import StageConfig, dump, keys_of, load_config
from jean.errors import UsageError


class Adam(StageConfig):
    learning_rate: float = Field(5e-4, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)


class Toy(StageConfig):
    size: Literal[256, 512] = 512
    steps: int = 100
    name: str = "hill"
    matting: Literal["off", "grabcut"] = "grabcut"
    flag: bool = False
    background: Path | None = None
    adam: Adam = Adam()
    weights: dict[str, float] = Field(default_factory=dict)

    @field_validator("steps")
    @classmethod
    def _positive(cls, value: int) -> int:
        if value <= 0:
            raise ValueError("must be above 0")
        return value


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "конфиг 1.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def fails(path: Path | None = None, sets: list[str] | None = None, **overrides: object) -> str:
    with pytest.raises(UsageError) as caught:
        load_config(Toy, path, sets, **overrides)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_set_overrides_the_file_and_options_override_both(tmp_path: Path) -> None:
    path = write(tmp_path, "steps: 1\nname: a\nsize: 256\nadam:\n  learning_rate: 1e-3\n  betas: [0.8, 0.9]\n")
    config = load_config(Toy, path, ["name=b", "adam.learning_rate=2e-3"], steps=7, size=None)
    assert config.steps == 7
    assert config.name == "b"
    assert config.size == 256
    assert config.adam == Adam(learning_rate=2e-3, betas=(0.8, 0.9))
    assert config.flag is False


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("matting=off", {"matting": "off"}),
        ("flag=true", {"flag": True}),
        ("flag=on", {"flag": True}),
        ("steps=0010", {"steps": 10}),
        ("name=12:30", {"name": "12:30"}),
        ("name=no", {"name": "no"}),
        ("name=2024-01-01", {"name": "2024-01-01"}),
        ("name='5'", {"name": "5"}),
        ("name=a=b", {"name": "a=b"}),
        ("name=映画", {"name": "映画"}),
        ("background=null", {"background": None}),
        ("background=-a b.png", {"background": Path("-a b.png")}),
        ("weights={l1: 1, mask: .5}", {"weights": {"l1": 1.0, "mask": 0.5}}),
        ("weights.l1=3", {"weights": {"l1": 3.0}}),
    ],
)
def test_set_reads_values_as_yaml(text: str, want: dict[str, object]) -> None:
    assert load_config(Toy, None, [text]) == Toy(**want)


def test_empty_files_and_byte_order_marks_are_accepted(tmp_path: Path) -> None:
    assert load_config(Toy, write(tmp_path, "# nothing\n")) == Toy()
    assert load_config(Toy, write(tmp_path, b"\xef\xbb\xbfsteps: 3\n")).steps == 3


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (b"steps: 3\nname: caf\xe9\n", ["line 2", "UTF-8"]),
        ("steps: 3\nsise: 256\n", ["line 2", "unknown key 'sise'", "'size'"]),
        ("adam:\n  betas: [0, 1]\n  learning_rat: 1\n", ["line 3", "'adam.learning_rat'", "'adam.learning_rate'"]),
        ("learning_rate: 1\n", ["line 1", "'learning_rate'", "Did you mean 'adam.learning_rate'?"]),
        ("qqqqqqqq: 1\n", ["line 1", "Known keys: adam, adam.betas"]),
        ("steps: 3\n\nsize: huge\n", ["line 3", "size:", "'huge'"]),
        ("steps: 0\n", ["line 1", "steps: must be above 0", "not 0"]),
        ("adam:\n  learning_rate: -1\n", ["line 2", "adam.learning_rate", "greater than 0"]),
        ("steps: 3\nsteps: 4\n", ["line 2", "twice"]),
        ("steps: [3\nname: x\n", ["line 2"]),
        ("steps: 3\n\tname: x\n", ["line 2"]),
        ("a: &x [1]\nb: *x\n", ["line 1", "anchors"]),
        ("name: \x07\n", ["line 1", "control character"]),
        ("- steps\n- 3\n", ["keys and values"]),
        ("3: 4\n", ["line 1", "a key must be a word"]),
        ("steps: 1\n---\nsteps: 2\n", ["line 2"]),
        ("steps: " + "[" * 5000 + "\n", ["nested too deeply"]),
    ],
)
def test_bad_files_name_the_line(tmp_path: Path, text: str | bytes, parts: list[str]) -> None:
    path = write(tmp_path, text)
    message = fails(path)
    for part in [str(path), *parts]:
        assert part in message


@pytest.mark.parametrize(
    "payload",
    [
        "!!python/object/apply:os.system ['touch {canary}']",
        "!!python/object/new:subprocess.check_output [['touch', '{canary}']]",
        "!!python/name:os.system ''",
        "!<tag:yaml.org,2002:python/module:os> ''",
        "!custom {{}}",
        "[1, !!python/object/apply:os.system ['touch {canary}']]",
    ],
)
def test_tags_never_run_code(tmp_path: Path, payload: str) -> None:
    canary = tmp_path / "canary"
    message = fails(write(tmp_path, "steps: 3\nname: " + payload.format(canary=canary) + "\n"))
    assert "line 2" in message
    assert "tag" in message
    assert not canary.exists()


def test_wrong_sets_and_options_are_rejected(tmp_path: Path) -> None:
    assert "--set stepps=3: unknown key 'stepps'. Did you mean 'steps'?" in fails(None, ["stepps=3"])
    assert "no key=value" in fails(None, ["steps"])
    assert "no key=value" in fails(None, ["a..b=1"])
    assert "tag" in fails(None, ["name=!!python/name:os.system"])
    assert "no keys of its own" in fails(None, ["steps=1", "steps.x=2"])
    assert "--steps: steps: must be above 0" in fails(steps=-1)
    assert "contradict" in fails(None, ["steps=3"], steps=4)
    assert "cannot read" in fails(tmp_path / "absent.yaml")
    assert "cannot read" in fails(tmp_path)
    assert "2 more" in fails(None, ["steps=x", "size=1", "flag=7"])


def test_a_missing_value_is_named() -> None:
    class Needs(StageConfig):
        reference: Path

    with pytest.raises(UsageError, match="no value for 'reference'"):
        load_config(Needs)


def test_a_too_large_file_is_rejected(tmp_path: Path) -> None:
    assert "larger" in fails(write(tmp_path, "# " + "x" * (1 << 20)))


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Toy().steps = 3  # type: ignore[misc]


def test_keys_of_nested_models_have_dots() -> None:
    assert keys_of(Toy)[:2] == ["seed", "device"]
    assert {"adam", "adam.learning_rate", "adam.betas", "weights"} < set(keys_of(Toy))


@settings(max_examples=40, deadline=None)
@given(st.text(), st.floats(min_value=1e-9, allow_nan=False, allow_infinity=False), st.text(max_size=5))
def test_dump_survives_a_round_trip(name: str, rate: float, key: str) -> None:
    import tempfile

    config = Toy(name=name, adam=Adam(learning_rate=rate), weights={key: rate}, background=Path("a b"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.yaml"
        path.write_text(dump(config), encoding="utf-8", newline="")
        assert load_config(Toy, path) == config


@pytest.mark.parametrize(
    "name", ["1e-3", "on", "null", "012", "0x1f", "12:30", "true", "=", "<<", ".inf", "- a", "\x85"]
)
def test_dump_keeps_text_as_text(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, dump(Toy(name=name)))
    assert load_config(Toy, path).name == name
