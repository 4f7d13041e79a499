"""The talking head that a person's clips and a configuration ask for."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from jean.drivers.person_frames import PersonFrames
from jean.models.pose import pose_vectors
from jean.models.talking_head import TalkingHead
from jean.train.nerf.config import NerfConfig
from jean.train.nerf.inputs import LearnedInputs, audio_scale


def model_arguments(data: PersonFrames, config: NerfConfig, inputs: LearnedInputs | None = None) -> dict[str, Any]:
    """The arguments of ``TalkingHead``, as stored in every checkpoint."""
    return {
        "preset": config.preset,
        "box": [list(config.box_low), list(config.box_high)],
        "audio_features": int(data.audio.shape[2]),
        "audio_window": int(data.audio.shape[1]),
        "expression_features": int(data.expression.shape[1]),
        "audio_width": int(config.audio_width or 0),
        "expression_width": int(config.expression_width or 0),
        "dropout": float(config.dropout or 0.0),
        "code_width": int(config.code_width or 0),
        "shape": np.round(data.shape.astype(float), 4).tolist(),
        "spoken": config.spoken,
        "audio_scale": audio_scale(data, inputs, config),
        "audio_attention": config.audio_attention,
        "expression_map": _expression_map(data, config),
    }


def _expression_map(data: PersonFrames, config: NerfConfig) -> str:
    """Table 2's thin MLP for features of a network; e_e as it is where it has the width of its place."""
    if config.expression == "emotion":
        return "mlp"
    same = data.expression.shape[1] == config.expression_width
    return "none" if config.expression == "transformer" and same else "linear"


def set_statistics(model: TalkingHead, data: PersonFrames) -> None:
    """Means and spreads over the training frames, so that inputs have the scale of 1."""
    expression = torch.from_numpy(data.expression[data.train]).float()
    poses = pose_vectors(torch.from_numpy(data.camera_to_world[data.train]))
    model.expression_mean.copy_(expression.mean(0))
    # 0.02: a blendshape that never moves must not turn its noise into a signal
    model.expression_spread.copy_(expression.std(0).clamp_min(0.02))
    model.pose_mean.copy_(poses.mean(0))
    model.pose_spread.copy_(poses.std(0).clamp_min(1e-3))


def twin(model: TalkingHead) -> TalkingHead:
    """A copy with weights of its own, whose buffers (grid, statistics) are the model's."""
    made = copy.deepcopy(model)
    for name, module in made.named_modules():
        module._buffers = model.get_submodule(name)._buffers
    return made
