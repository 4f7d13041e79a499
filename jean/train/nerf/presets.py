"""Resolves a configuration of ``jean train-nerf``: every value is decided, by preset and method."""

from __future__ import annotations

from typing import Any, Literal

from jean.drivers.expression import EXPRESSION_INPUTS, UpperFace
from jean.drivers.method import METHODS, MethodRow
from jean.errors import UsageError
from jean.models.head.registry import HEADS
from jean.train.nerf.config import PRESETS, NerfConfig

SLOW_WINDOW_S = 1.0  # of expression vectors; 0.6 to 1.2 do the same


class ResolvedNerfConfig(NerfConfig):
    """A ``NerfConfig`` with every value decided.

    Attributes:
        row: what the method takes.
        scale_audio_embedding: whether e_a of ``audio_run`` is scaled to a standard deviation of 1.
    """

    steps: int
    rays: int
    expression: Literal["upper", "all", "emotion", "transformer", "none"]
    speech: Literal["sound", "none"]
    audio_width: int
    expression_width: int
    eyes: bool
    expression_window_s: float
    lip_weight: float
    frames_per_step: int
    learning_rate: float
    audio_rate: float
    audio_steps: int
    dropout: float
    latent_width: int
    ema_decay: float
    audio_noise: float
    lip_noise: float
    expression_noise: float
    opacity_weight: float
    background: Literal["random", "plate"]
    regions: tuple[float, float, float, float, float]
    torso: bool
    adam_beta2: float
    adam_eps: float
    warm_up_steps: int
    fine_tune_decay: float
    row: MethodRow
    scale_audio_embedding: bool

    def fingerprint(self) -> dict[str, Any]:
        """JSON values that decide what is learned; a run is resumed only under equal ones.

        ``minutes`` has become ``steps``; ``allow_different_people`` only admits clips; ``lip_response`` and
        ``gaze_response`` are measured afterwards; ``backend`` and ``graphs`` change only rounding; ``device`` is
        checked by the random state in the checkpoint.
        """
        afterwards = {"lip_response", "gaze_response"}
        excluded = {"device", "minutes", "backend", "graphs", "row", "allow_different_people"} | afterwards
        return self.model_dump(mode="json", exclude=excluded)


def resolve(config: NerfConfig, steps: int | None = None) -> ResolvedNerfConfig:
    """The configuration with the values of its preset and method where it leaves them open.

    Args:
        config: as the user gave it.
        steps: number of steps, where ``minutes`` are given; None takes ``config.steps`` or the preset's.

    Raises:
        UsageError: an unknown preset or method, or options that contradict each other.
    """
    if config.minutes is not None and config.steps is not None:
        raise UsageError("--steps and --minutes contradict each other.", "Give one of them.")
    if config.minutes is not None and steps is None:
        raise ValueError("minutes have to be converted to steps first")
    preset = _preset(config.preset)
    row = _method_row(config)
    values = {name: preset.get(name) if value is None else value for name, value in config}
    values |= {"expression": row.expression, "speech": "sound" if row.speech else "none", "row": row}
    values["scale_audio_embedding"] = preset["scale_audio_embedding"]
    values["eyes"] = _eyes(config, row)
    if config.expression_window_s is None:
        values["expression_window_s"] = SLOW_WINDOW_S if values["eyes"] and _leaks_speech(row) else 0.0
    values["audio_steps"] = values["audio_steps"] or 0
    if config.audio_rate is None:
        fallback = preset.get("audio_rate", values["learning_rate"])
        values["audio_rate"] = preset["fine_tune_rate"] if config.audio_run is not None else fallback
    if not row.speech:
        if config.audio_attention:
            raise UsageError("without speech there is nothing to smooth.", "Leave audio_attention away.")
        values["lip_weight"] = 0.0
    values["steps"] = steps or values["steps"]
    return ResolvedNerfConfig(**values)


def _leaks_speech(row: MethodRow) -> bool:
    """Whether the expression vector comes from a network that sees the mouth, and the method has speech beside it."""
    return row.speech and not EXPRESSION_INPUTS[row.expression].measures_offsets


def _eyes(config: NerfConfig, row: MethodRow) -> bool:
    """Whether gaze and lids are inputs of their own, if the clips show them.

    Raises:
        UsageError: they were asked for, but the head has no place for them.
    """
    possible = HEADS.load(config.preset).takes_eyes
    if config.eyes and not possible:
        raise UsageError(f"the head {config.preset} takes no eyes as inputs.", "Leave --set eyes away.")
    if config.eyes is not None:
        return config.eyes
    return possible and config.method is None and EXPRESSION_INPUTS[row.expression].takes_source


def _preset(name: str) -> dict[str, Any]:
    """The preset's values: the fast head's, with what the head itself changes."""
    if name in PRESETS:
        return PRESETS[name]
    return PRESETS["fast"] | dict(HEADS.load(name).training_defaults)


def _method_row(config: NerfConfig) -> MethodRow:
    """What the configured method takes; without one, what the given runs say.

    Raises:
        UsageError: an unknown method, or runs and options that contradict it.
    """
    if config.method is None:
        kinds = (each.kind for each in EXPRESSION_INPUTS.values() if each.needs_run)
        default = next(kinds) if config.expression_run is not None else UpperFace.kind
        row = MethodRow(config.expression or default, config.speech != "none", config.audio_run is not None)
    else:
        if config.method not in METHODS:
            raise UsageError(f"there is no method called {config.method!r}.", f"Choose from: {', '.join(METHODS)}.")
        row = METHODS[config.method]
        for name, value in (("expression", row.expression), ("speech", "sound" if row.speech else "none")):
            if getattr(config, name) not in (None, value):
                raise UsageError(f"method {config.method} has {name} {value}.", f"Leave {name} away.")
        if row.audio_run != (config.audio_run is not None):
            verb = "needs" if row.audio_run else "has no"
            raise UsageError(f"method {config.method} {verb} learned audio encoder.", "See --audio RUN.")
    if EXPRESSION_INPUTS[row.expression].needs_run != (config.expression_run is not None):
        verb = "needs a" if config.expression_run is None else "takes no"
        raise UsageError(f"expression {row.expression} {verb} run of train-expr.", "See --expr RUN.")
    return row
