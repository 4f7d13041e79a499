"""Configuration of ``jean train-nerf``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from jean.config import StageConfig


class NerfConfig(StageConfig):
    """What decides a talking head. Fields that are None get their value from the preset, see
    ``jean.train.nerf.presets.resolve``.

    Attributes:
        preset: the head: "fast" (tri-planes, minutes on a CPU), "paper" (F_Θ of sections 3.3 and 8.4), or the name of
            a head that another package registers.
        precision: of training on a GPU: "fp32" or "bf16".
        backend: compiled kernels ("native"), readable torch ("reference"), or kernels where they can run ("auto").
        graphs: whether a GPU's steps are recorded as CUDA graphs.
        steps: optimisation steps.
        minutes: training time instead, converted to steps by timing this machine once.
        method: a name in ``METHODS``, which decides ``expression`` and ``speech``; None: the runs that are given do.
        expression: the expression vector: "upper" lets speech alone decide the lips; "all" coefficients is the
            paper's variant (b); "emotion", features of an emotion network through a thin MLP (variants a, c);
            "transformer", e_e of ``expression_run``; "none" (AD-NeRF).
        speech: "sound", or "none" (NeRFace).
        audio_run: run of ``train-audio``: its encoder is fine-tuned at ``audio_rate``.
        expression_run: run of ``train-expr``.
        emotion_features: name of the emotion features, for "emotion".
        audio_features: name of the audio features; None takes those of ``audio_run``, or the clips' first.
        audio_width: width of the audio part of e_in.
        expression_width: width of the expression part of e_in.
        lip_weight: weight of the regression that makes the audio part the first principal components of the mouth's
            landmarks, so that a few seconds of speech suffice to move the lips. 0 in the paper, which learns the
            lips from many people instead (Eqs. 1 and 2).
        rays: pixels per step.
        frames_per_step: frames that the pixels come from.
        learning_rate: of the networks; it decays exponentially by the factor ``decay``.
        audio_rate: learning rate of the speech part.
        audio_steps: step after which the speech part stops learning, with a linear decay until then; 0: never. Lips
            are learned in a few hundred steps; after them a short clip's speech would be memorised.
        audio_attention: neighbouring frames over which AD-NeRF's attention smooths e_a, from the middle of the
            training on; 8 in AD-NeRF (4 before and 3 after), 0 for none.
        decay: of the learning rates over the whole training.
        background: "random" colours behind the head while training, or the clip's "plate".
        dropout: of the audio encoder.
        latent_width: width of the training frames' latent codes (NeRFace): they explain a frame's light, hair and
            pose error, so that these are not attributed to its sound or expression. Half of the frames of a step
            go without; rendering always does.
        ema_decay: decay of the exponential moving average of the weights that is scored, stored and rendered; 0 for
            the weights themselves.
        audio_noise: standard deviation of the noise on audio windows.
        expression_noise: standard deviation of the noise on expression vectors, in units of their own.
        opacity_weight: weight of the mattes as a target of the opacity.
    """

    preset: str = "fast"
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
    audio_rate: float | None = None
    audio_steps: int | None = None
    audio_attention: int = Field(0, ge=0, le=64)
    decay: float = 0.1
    background: Literal["random", "plate"] = "random"
    dropout: float | None = None
    latent_width: int | None = None
    ema_decay: float | None = None
    audio_noise: float | None = None
    expression_noise: float | None = None
    opacity_weight: float | None = None
