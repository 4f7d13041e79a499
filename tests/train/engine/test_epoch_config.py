"""Presets, training length and fingerprint of the stages that train in epochs."""

from __future__ import annotations

import pytest

from jean.clips.corpus import find_clips
from jean.config import dump, load_config
from jean.errors import UsageError
from jean.train.audio.config import AudioConfig
from jean.train.engine.epoch_config import EpochConfig, fingerprint
from jean.train.expression.config import ExpressionConfig
from jean.train.landmarks.config import LandmarkConfig

CLASSES = [LandmarkConfig, AudioConfig, ExpressionConfig]


class Sample(EpochConfig):
    """A configuration with one preset beside the defaults."""

    presets = {"small": {"epochs": None, "steps": 100, "rate": 0.5}}  # noqa: RUF012 - a class variable of pydantic

    epochs: int | None = 7
    rate: float = 0.1


def test_a_preset_replaces_defaults_and_the_user_replaces_both():
    assert (Sample().epochs, Sample().steps, Sample().rate) == (7, None, 0.1)
    small = Sample(preset="small")
    assert (small.epochs, small.steps, small.rate) == (None, 100, 0.5)
    assert Sample(preset="small", rate=0.2).rate == 0.2


@pytest.mark.parametrize("preset", ["paper", "small"])
def test_steps_replace_epochs_and_epochs_replace_steps(preset):
    config = Sample(preset=preset, steps=3)
    assert (config.epochs, config.steps, config.total_steps(10)) == (None, 3, 3)
    config = Sample(preset=preset, epochs=3)
    assert (config.epochs, config.steps, config.total_steps(10)) == (3, None, 30)


def test_steps_and_epochs_together_are_rejected():
    with pytest.raises(UsageError, match="contradict"):
        Sample(steps=1, epochs=1)


@pytest.mark.parametrize("preset", [["paper"], "none"])
def test_an_unknown_preset_is_named(preset):
    with pytest.raises(UsageError, match="preset"):
        load_config(AudioConfig, None, [f"preset={preset}"])


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("values", [{}, {"preset": "small"}, {"preset": "small", "epochs": 2}, {"steps": 5}])
def test_a_configuration_reads_back_from_its_own_yaml(cls, values, tmp_path):
    config = cls(**values)
    (tmp_path / "config.yaml").write_text(dump(config))
    assert load_config(cls, tmp_path / "config.yaml") == config


@pytest.mark.parametrize("cls", CLASSES)
def test_presets_set_existing_fields_to_valid_values(cls):
    for preset, values in cls.presets.items():
        config = cls(preset=preset)
        assert {name: getattr(config, name) for name in values} == values


def test_device_and_table_do_not_change_the_fingerprint(two_people, tmp_path):
    clips = find_clips([two_people])
    first = fingerprint(Sample(), clips, "arrays.safetensors")
    assert first == fingerprint(Sample(device="cpu", table=tmp_path), clips, "arrays.safetensors")
    assert first != fingerprint(Sample(seed=1), clips, "arrays.safetensors")
    assert first != fingerprint(Sample(), clips[1:], "arrays.safetensors")
