"""What decides a talking head: the configuration of ``jean train-nerf`` and its two presets."""

from __future__ import annotations

from typing import Any, Literal

from jean.config import StageConfig
from jean.errors import UsageError


class NerfConfig(StageConfig):
    """Everything that decides a talking head. ``preset`` chooses the defaults of what is None.

    Attributes:
        preset: "fast" (tri-planes, minutes on a CPU) or "paper" (F_Θ of sections 3.3 and 8.4).
        steps: optimisation steps; minutes: turned into steps by timing this machine, once.
        expression: "upper" lets speech alone decide the lips; "all" is the paper's variant (b).
        rays, frames_per_step: the batch.
        learning_rate: of the networks, decaying exponentially by ``decay``; plane_rate: of the planes.
        audio_width: of the audio part of e_in. lip_weight: of the regression that makes that part the first
            principal components of the mouth's landmarks, so that a few seconds of speech are enough to
            move the lips (0 in the paper, which learns it from many people instead: Eqs. 1 and 2).
        code_width: of the codes that training frames may have (NeRFace's remedy for what tracking misses:
            a frame's own light, hair and pose error need not be blamed on its sound or expression); half
            of the time a frame does without, and every render does.
        average: share of the old in the running average of the weights that is scored, stored and rendered
            (0: the weights as they are).
        regions: shares of the pixels drawn from mouth, eyes, face, head, anywhere.
        background: "random" colours behind the head while training, or the clip's "plate".
    """

    preset: Literal["fast", "paper"] = "fast"
    precision: Literal["fp32", "bf16"] = "fp32"
    steps: int | None = None
    minutes: float | None = None
    expression: Literal["upper", "all"] = "upper"
    audio_features: str | None = None
    audio_width: int | None = None
    expression_width: int | None = None
    lip_weight: float | None = None
    rays: int = 2048
    frames_per_step: int | None = None
    learning_rate: float | None = None
    plane_rate: float = 5e-2
    plane_eps: float = 3e-8
    audio_rate: float | None = None
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
    values = {k: v for k, v in PRESETS[config.preset].items() if getattr(config, k) is None}
    if config.minutes is not None:
        if config.steps is not None:
            raise UsageError("--steps and --minutes contradict each other.", "Give one of them.")
        values.pop("steps", None)
    return config.model_copy(update=values)
