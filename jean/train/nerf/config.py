"""What decides a talking head: the configuration of ``jean train-nerf`` and its two presets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from jean.config import StageConfig
from jean.errors import UsageError


class NerfConfig(StageConfig):
    """Everything that decides a talking head. ``preset`` chooses the defaults of what is None.

    Attributes:
        preset: "fast" (tri-planes, minutes on a CPU) or "paper" (F_Θ of sections 3.3 and 8.4).
        steps: optimisation steps; minutes: turned into steps by timing this machine, once.
        method: a name in ``METHODS``, which decides ``expression`` and ``speech``; None: what the runs given say.
        expression: what the expression vector is: "upper" lets speech alone decide the lips; "all" coefficients
            is the paper's variant (b); "emotion", an emotion network's features through a thin MLP (variants a, c);
            "transformer", e_e of ``expression_run``; "none", nothing (AD-NeRF).
        speech: "sound", or "none" (NeRFace).
        audio_run: what ``train-audio`` wrote: the encoder begins there and is fine-tuned at ``audio_rate``.
        expression_run: what ``train-expr`` wrote. emotion_features: their name, for "emotion".
        rays, frames_per_step: the batch.
        learning_rate: of the networks, decaying exponentially by ``decay``; plane_rate: of the planes;
            part_rate: of those of the parts that speech and expression change.
        audio_width: of the audio part of e_in. lip_weight: of the regression that makes that part the first
            principal components of the mouth's landmarks, so that a few seconds of speech are enough to
            move the lips (0 in the paper, which learns it from many people instead: Eqs. 1 and 2).
        audio_steps: after which the speech part stops learning, slowing down until then (None: never): lips are
            learned in a few hundred steps, and after them a short clip's speech is only learned by heart.
        audio_attention: neighbouring frames over which AD-NeRF's attention smooths e_a, from the middle of the
            training on (8 in AD-NeRF, 4 before and 3 after; 0: none, as in both presets).
        code_width: of the codes that training frames may have (NeRFace's remedy for what tracking misses:
            a frame's own light, hair and pose error need not be blamed on its sound or expression); half
            of the time a frame does without, and every render does.
        average: share of the old in the running average of the weights that is scored, stored and rendered
            (0: the weights as they are).
        regions: shares of the pixels drawn from mouth, eyes, face, head, anywhere.
        background: "random" colours behind the head while training, or the clip's "plate".
        backend: compiled kernels ("native"), readable torch ("reference"), or kernels where they can run.
        graphs: whether a card's steps are recorded as CUDA graphs.
    """

    preset: Literal["fast", "paper"] = "fast"
    precision: Literal["fp32", "bf16"] = "fp32"
    backend: Literal["auto", "native", "reference"] = "auto"
    graphs: bool = True
    steps: int | None = None
    minutes: float | None = None
    method: str | None = None
    expression: Literal["upper", "all", "emotion", "transformer", "none"] | None = None
    speech: Literal["sound", "none"] | None = None
    audio_run: Path | None = None
    expression_run: Path | None = None
    emotion_features: str | None = None
    audio_features: str | None = None
    audio_width: int | None = None
    expression_width: int | None = None
    lip_weight: float | None = None
    rays: int = 2048
    frames_per_step: int | None = None
    learning_rate: float | None = None
    plane_rate: float = 5e-2
    part_rate: float = 1.5e-2
    plane_eps: float = 3e-8
    audio_rate: float | None = None
    audio_steps: int | None = None
    audio_attention: int = Field(0, ge=0, le=64)
    decay: float = 0.1
    regions: tuple[float, float, float, float, float] = (0.15, 0.1, 0.35, 0.25, 0.15)
    background: Literal["random", "plate"] = "random"
    dropout: float | None = None
    code_width: int | None = None
    code_rate: float = 5e-3
    average: float | None = None
    audio_noise: float | None = None
    expression_noise: float | None = None
    opacity_weight: float | None = None
    roughness_weight: float = 1e-2
    movement_weight: float = 1e-3
    torso_weight: float = 0.5
    box_low: tuple[float, float, float] = (-14.0, -18.0, -10.0)
    box_high: tuple[float, float, float] = (14.0, 15.0, 12.0)

    @property
    def spoken(self) -> bool:
        """Whether speech decides the lower face: the expression vector says nothing of it, or should not."""
        return self.speech == "sound" and self.expression in ("upper", "transformer", "none")


@dataclass(frozen=True)
class Method:
    """One row of Table 1 or 2.

    Attributes:
        expression, speech: see ``NerfConfig``.
        audio_run: whether the self-supervised audio encoder is a part of it.
    """

    expression: str
    speech: str = "sound"
    audio_run: bool = False


METHODS = {
    "jean": Method("transformer", audio_run=True),
    "jean-plain-audio": Method("transformer"),  # Figure 6, without the self-supervised audio encoder
    "audio-only": Method("none"),  # AD-NeRF
    "expression-only": Method("all", speech="none"),  # NeRFace
    "a": Method("emotion"),  # Table 2
    "b": Method("all"),
    "c": Method("emotion", audio_run=True),
    "d": Method("transformer", audio_run=True),  # its transformer is trained on coefficients
}


# What a preset says where the configuration does not. The paper's numbers: sections 8.4.2 and 8.4.3.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "steps": 400_000,
        "frames_per_step": 1,
        "learning_rate": 5e-4,
        "dropout": 0.0,
        "audio_width": 32,
        "expression_width": 64,
        "lip_weight": 0.0,
        "code_width": 0,
        "average": 0.0,
        "audio_noise": 0.0,
        "expression_noise": 0.0,
        "opacity_weight": 0.0,
    },
    "fast": {
        "steps": 8_000,
        "frames_per_step": 16,
        "learning_rate": 5e-3,
        "audio_rate": 2e-3,
        "audio_steps": 1000,
        "dropout": 0.1,
        "audio_width": 6,
        "expression_width": 16,
        "lip_weight": 0.02,
        "code_width": 16,
        "average": 0.995,
        "audio_noise": 0.1,
        "expression_noise": 0.1,
        "opacity_weight": 0.1,
    },
}


def resolved(config: NerfConfig) -> NerfConfig:
    """The configuration with its preset's values where it had None (steps stay None beside minutes)."""
    config = _with_method(config)
    values = {k: v for k, v in PRESETS[config.preset].items() if getattr(config, k) is None}
    if config.audio_run is not None and config.audio_rate is None:
        # 8.4.3; the fast preset has a hundredth of the paper's steps, and takes larger ones
        values["audio_rate"] = 5e-6 if config.preset == "paper" else 2e-4
    if config.speech == "none" and config.audio_attention:
        raise UsageError("without speech there is nothing to smooth.", "Leave audio_attention away.")
    if config.speech == "none":
        values["lip_weight"] = 0.0
    if config.minutes is not None:
        if config.steps is not None:
            raise UsageError("--steps and --minutes contradict each other.", "Give one of them.")
        values.pop("steps", None)
    return config.model_copy(update=values)


def _with_method(config: NerfConfig) -> NerfConfig:
    """The configuration with what its method says, or with what the runs given say.

    Raises:
        UsageError: an unknown method, or runs and options that contradict it.
    """
    if config.method is None:
        guessed = "transformer" if config.expression_run is not None else "upper"
        values = {"expression": config.expression or guessed, "speech": config.speech or "sound"}
    else:
        if config.method not in METHODS:
            raise UsageError(f"there is no method called {config.method!r}.", f"Choose from: {', '.join(METHODS)}.")
        method = METHODS[config.method]
        values = {"expression": method.expression, "speech": method.speech}
        for name, value in values.items():
            if getattr(config, name) not in (None, value):
                raise UsageError(f"method {config.method} has {name} {value}.", f"Leave {name} away.")
        if method.audio_run != (config.audio_run is not None):
            verb = "needs" if method.audio_run else "has no"
            raise UsageError(f"method {config.method} {verb} learned audio encoder.", "See --audio RUN.")
    if (values["expression"] == "transformer") != (config.expression_run is not None):
        verb = "needs a" if config.expression_run is None else "takes no"
        raise UsageError(f"expression {values['expression']} {verb} run of train-expr.", "See --expr RUN.")
    return config.model_copy(update=values)
