"""Configuration and presets of ``jean train-nerf``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from jean.config import StageConfig, Width

# Values of the presets. The paper's numbers: sections 8.4.2 and 8.4.3.
# ``fine_tune_rate`` is the default of ``audio_rate`` beside an ``audio_run``: the paper's, or a larger one for the fast
# preset, which has a hundredth of the paper's steps.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "steps": 400_000,
        "rays": 2048,
        "frames_per_step": 1,
        "learning_rate": 5e-4,
        "fine_tune_rate": 5e-6,
        "dropout": 0.0,
        "audio_width": 32,
        "expression_width": 64,
        "lip_weight": 0.0,
        "latent_width": 0,
        "ema_decay": 0.0,
        "audio_noise": 0.0,
        "lip_noise": 0.0,
        "expression_noise": 0.0,
        "opacity_weight": 0.0,
        "scale_audio_embedding": False,
        "background": "plate",
        "regions": (0.0, 0.0, 0.0, 0.95, 0.05),
        "torso": False,
        "adam_beta2": 0.999,
        "adam_eps": 1e-8,
        "warm_up_steps": 0,
        "fine_tune_decay": 1.0,
    },
    "fast": {
        "steps": 8_000,
        "rays": 2048,
        "frames_per_step": 16,
        "learning_rate": 5e-3,
        "audio_rate": 2e-3,
        "fine_tune_rate": 2e-4,
        "audio_steps": 1000,
        "dropout": 0.1,
        "audio_width": 6,
        "expression_width": 16,
        "lip_weight": 0.02,
        "latent_width": 16,
        "ema_decay": 0.995,
        "audio_noise": 0.1,
        "lip_noise": 0.1,
        "expression_noise": 0.1,
        "opacity_weight": 0.1,
        "scale_audio_embedding": True,
        "background": "random",
        "regions": (0.15, 0.1, 0.35, 0.25, 0.15),
        "torso": True,
        "adam_beta2": 0.99,
        "adam_eps": 1e-12,
        "warm_up_steps": 20,
        "fine_tune_decay": 0.1,
    },
}

# the fast head's values, but one crop of one frame per step
PRESETS["gaussian"] = PRESETS["fast"] | {"rays": 20_000, "frames_per_step": 1}

Fraction = Annotated[float, Field(ge=0, le=1)]


class NerfConfig(StageConfig):
    """Options of the talking head.

    Fields that are None get their value from the preset or the method, see ``jean.train.nerf.presets.resolve``.
    """

    presets: ClassVar = PRESETS

    preset: str = Field(
        "gaussian",
        description="The head: gaussian (3D Gaussians, minutes on a CPU), fast (tri-planes, likewise, slower to "
        "render), paper (the MLP of sections 3.3 and 8.4), or a head that another package registers.",
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="Precision of training on a GPU.")
    backend: Literal["auto", "native", "reference"] = Field(
        "auto",
        description="Renderer: native, the compiled kernels; reference, readable torch; or auto, the kernels where "
        "they can run.",
    )
    graphs: bool = Field(True, description="Whether the steps on a GPU are recorded as CUDA graphs.")
    steps: int | None = Field(None, ge=1, le=1_000_000_000, description="Optimisation steps.")
    minutes: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="Time of the whole training with its evaluations, instead of --steps: converted to steps once, by "
        "timing this machine.",
    )
    method: str | None = Field(
        None,
        description="Row of Table 1 or 2: jean, jean-plain-audio, audio-only (AD-NeRF), expression-only (NeRFace), or "
        "a variant a, b, c, d. It decides the keys expression and speech; by default the given runs do.",
    )
    expression: Literal["upper", "all", "emotion", "transformer", "none"] | None = Field(
        None,
        description="The expression vector: upper, coefficients of the upper face, so that speech alone drives the "
        "lips; all coefficients (variant b); emotion, features of an emotion network (variants a, c); transformer, "
        "the embedding of --expr; or none (AD-NeRF).",
    )
    speech: Literal["sound", "none"] | None = Field(
        None, description="What drives the lips: sound, or none (NeRFace). By default sound."
    )
    audio_run: Path | None = Field(None, description="Run folder of train-audio, whose audio encoder is fine-tuned.")
    expression_run: Path | None = Field(
        None, description="Run folder of train-expr, whose embedding is the expression."
    )
    emotion_features: str | None = Field(None, description="Name of the emotion features, for expression=emotion.")
    audio_features: str | None = Field(
        None, description="Name of the audio features. By default those of --audio, or the first ones of the clips."
    )
    audio_width: Width | None = Field(None, description="Width of the audio part of the condition e_in.")
    expression_width: Width | None = Field(None, description="Width of the expression part of the condition e_in.")
    eyes: bool | None = Field(
        None,
        description="Gaze and lids as inputs of their own, which act on the eyes alone and which render --gaze and "
        "--blink set. By default on for heads that can take them and clips whose tracker finds irises; off beside "
        "--method, whose rows have the paper's inputs.",
    )
    expression_window_s: float | None = Field(
        None,
        ge=0,
        le=10,
        description="Seconds over which expression vectors are averaged around each frame, alike in training and "
        "rendering: speech is several times as fast as expression, so a mean over a second hardly tells it. By default "
        "1 for vectors of an emotion network beside heads that take the eyes, else 0, as in the paper.",
    )
    lip_weight: float | None = Field(
        None,
        ge=0,
        le=1000,
        description="Weight of the regression that makes the audio part of e_in the first principal components of the "
        "mouth landmarks, so that a few seconds of speech suffice to learn the lips (not the paper's).",
    )
    lip_response: bool = Field(
        True,
        description="Measure in the end how far the lips of the head open when asked to, so that rendering can correct "
        "it. It needs the tracker of the clips.",
    )
    gaze_response: bool = Field(
        True,
        description="Measure in the end how far the eyes of the head turn when asked to, so that rendering can correct "
        "it. It needs the tracker of the clips.",
    )
    allow_different_people: bool = Field(
        False, description="Train on clips although their head shapes say that they show different people."
    )
    rays: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Pixels per optimisation step; for a head that draws pictures, those of its crops.",
    )
    frames_per_step: int | None = Field(
        None, ge=1, le=10_000, description="Frames that the pixels of a step come from."
    )
    learning_rate: float | None = Field(
        None, gt=0, le=1, description="Learning rate of the networks at the first step; it decays exponentially."
    )
    audio_rate: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Learning rate of the speech part. By default the preset's fine_tune_rate with --audio, and "
        "otherwise its audio_rate or learning_rate.",
    )
    audio_steps: int | None = Field(
        None,
        ge=0,
        le=1_000_000_000,
        description="Step after which the speech part stops learning, so that the speech of a short clip is not "
        "memorised; its rate decays linearly until then. 0: never.",
    )
    audio_attention: int = Field(
        0,
        ge=0,
        le=64,
        description="Neighbouring frames over which AD-NeRF's attention smooths the audio embedding, from the middle "
        "of the training on: 8 in AD-NeRF, 0 for none.",
    )
    decay: float = Field(0.1, gt=0, le=1, description="Factor by which the learning rates decay over the training.")
    fine_tune_decay: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Factor by which the learning rate of the audio encoder of --audio decays over the training; the "
        "paper states one rate.",
    )
    adam_beta2: float | None = Field(
        None, gt=0, lt=1, description="Decay of Adam's second moments: 0.999 in AD-NeRF and the preset paper."
    )
    adam_eps: float | None = Field(None, gt=0, le=1, description="Adam's ε, for networks.")
    warm_up_steps: int | None = Field(
        None, ge=0, le=1_000_000_000, description="Steps in which the learning rates rise linearly to their values."
    )
    background: Literal["random", "plate"] | None = Field(
        None,
        description="Background while training: plate, the clip's clean plate behind the last sample (section 8.4.2), "
        "or random colours.",
    )
    regions: tuple[Fraction, Fraction, Fraction, Fraction, Fraction] | None = Field(
        None,
        description="Fractions of the training pixels that are drawn from the boxes around mouth, eyes, face and head, "
        "and from the whole frame. The preset paper draws 95 % from the box of the head, as AD-NeRF does.",
    )
    torso: bool | None = Field(
        None,
        description="Whether a flat layer behind the head shows the torso. Without one, the head is trained and "
        "rendered over the background alone, as the paper's.",
    )
    dropout: float | None = Field(None, ge=0, lt=1, description="Dropout probability of the audio encoder.")
    latent_width: int | None = Field(
        None,
        ge=0,
        le=65_536,
        description="Width of the latent codes of training frames (NeRFace), which explain a frame's light, hair and "
        "pose error, so that these are not attributed to its sound or expression. Rendering uses none.",
    )
    ema_decay: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Decay of the exponential moving average of the weights that is scored, stored and rendered; 0: "
        "the weights themselves.",
    )
    audio_noise: float | None = Field(
        None, ge=0, le=100, description="Standard deviation of the noise that training adds to audio windows."
    )
    lip_noise: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Standard deviation of the noise that training adds to lip coordinates, in units of the first "
        "one's own, where lip_weight is not 0.",
    )
    expression_noise: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Standard deviation of the noise that training adds to expression vectors, in units of their own.",
    )
    expression_exchange: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Fraction of the frames of a step that get the expression vector of another frame with the same "
        "emotion (within 2 s where no emotion is known), so that the vector predicts only what these have in common "
        "and the lips follow the sound (not the paper's).",
    )
    expression_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Fraction of the frames of a step that get the mean expression vector (not the paper's).",
    )
    opacity_weight: float | None = Field(
        None, ge=0, le=1000, description="Weight of the loss between opacity and matte."
    )

    @model_validator(mode="after")
    def _require_a_region(self) -> NerfConfig:
        if self.regions is not None and not sum(self.regions):
            raise ValueError("regions: at least one fraction must be positive")
        return self
