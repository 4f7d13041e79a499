"""Builds the talking head that a person's clips and a configuration ask for."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from jean.clips.corpus import describe
from jean.drivers.erasure import Eraser
from jean.drivers.method import Method
from jean.drivers.person_eyes import STD_FLOOR, gaze_concepts
from jean.drivers.person_frames import PersonFrames
from jean.models.pose import pose_vectors
from jean.models.talking_head import TalkingHead
from jean.train.nerf.presets import ResolvedNerfConfig

# Corners of the head's volume, head space, cm: hair, ears and neck of a grown person fit.
CHANCE = 0.3  # canonical correlation that unrelated eyes and expressions of a short clip may have
BOX_LOW, BOX_HIGH = (-14.0, -18.0, -10.0), (14.0, 15.0, 12.0)


def model_arguments(data: PersonFrames, config: ResolvedNerfConfig) -> dict[str, Any]:
    """The arguments of ``TalkingHead``, as every checkpoint stores them."""
    vector_width = int(data.expression.shape[1])
    return {
        "preset": config.preset,
        "box": [list(BOX_LOW), list(BOX_HIGH)],
        "audio_features": int(data.audio.shape[2]),
        "audio_window": int(data.audio.shape[1]),
        "expression_features": vector_width,
        "audio_width": config.audio_width,
        "expression_width": config.expression_width,
        "dropout": config.dropout,
        "latent_width": config.latent_width,
        "shape": np.round(data.shape.astype(float), 4).tolist(),
        "audio_drives_mouth": data.method.audio_drives_mouth,
        "audio_scale": audio_scale(data) if config.scale_audio_embedding else 1.0,
        "audio_attention": config.audio_attention,
        "expression_map": data.method.expression.encoder(config.expression_width, vector_width),
        "size_px": data.size_px,
        "eye_width": 0 if data.eyes is None else data.eyes.shape[1],
        "torso": config.torso,
    }


@torch.no_grad()
def audio_scale(data: PersonFrames) -> float:
    """Factor that gives e_a of ``train-audio`` a standard deviation of 1 over the training frames; 1 without a run.

    Eq. 2 compares directions, so e_a may have any length (0.3 was seen), and the few steps of the fast preset do not
    suffice for its projection to compensate for that.
    """
    encoder = data.method.audio_encoder
    if encoder is None:
        return 1.0
    parts = np.split(data.train, range(2048, len(data.train), 2048))
    embeddings = torch.cat([encoder.model(torch.from_numpy(data.audio.at(part))) for part in parts])
    std = float(embeddings.var(0).mean().sqrt())
    # rounded: the last digits depend on the number of threads, and a resumed run must have the same value
    return float(f"{1 / max(std, 1e-6):.4g}")


def set_statistics(model: TalkingHead, data: PersonFrames) -> None:
    """Stores means and standard deviations over the training frames, so that inputs have a scale of 1."""
    expression = torch.from_numpy(data.expression[data.train]).float()
    poses = pose_vectors(torch.from_numpy(data.camera_to_world[data.train]))
    model.expression_mean.copy_(expression.mean(0))
    # 0.02: the noise of a blendshape that never moves must not become a signal
    model.expression_std.copy_(expression.std(0).clamp_min(0.02))
    model.pose_mean.copy_(poses.mean(0))
    model.pose_std.copy_(poses.std(0).clamp_min(1e-3))
    if data.eyes is None:
        return
    eyes = data.eyes[data.train]
    model.eye_mean.copy_(torch.from_numpy(eyes.mean(0)))
    model.eye_std.copy_(torch.from_numpy(np.maximum(eyes.std(0), STD_FLOOR)))
    standard = ((expression - model.expression_mean.cpu()) / model.expression_std.cpu()).numpy()
    eraser = Eraser.fit(standard, gaze_concepts(eyes), least=CHANCE)
    for buffer, values in ((model.eye_read, eraser.read), (model.eye_write, eraser.write)):
        buffer[:, : values.shape[1]] = torch.from_numpy(values)


def load_audio_encoder_weights(model: TalkingHead, method: Method) -> None:
    """Starts the audio encoder from that of ``train-audio``, where the method has one."""
    if method.audio_encoder is not None:
        state = method.audio_encoder.checkpoint.module_state("model")
        model.audio_encoder.load_state_dict({name: value.clone() for name, value in state.items()})


def ema_copy(model: TalkingHead) -> TalkingHead:
    """A copy for the moving average: weights of its own, buffers (occupancy, statistics) shared with the model."""
    copied = copy.deepcopy(model)
    for name, module in copied.named_modules():
        module._buffers = model.get_submodule(name)._buffers
    return copied


def named_means(data: PersonFrames) -> dict[str, np.ndarray]:
    """Mean expression vector [E] of each emotion and of each clip by name, for ``render --expression NAME``."""
    rows_of: dict[str, list[np.ndarray]] = {}
    for number, clip in enumerate(data.clips):
        rows = data.expression[(data.clip_of == number) & data.valid]
        if not len(rows):
            continue
        emotion = describe(clip.folder).emotion
        for name in {clip.folder.resolve().name, emotion} - {None}:
            rows_of.setdefault(str(name), []).append(rows)
    return {name: np.concatenate(rows).mean(0).astype(np.float32) for name, rows in rows_of.items()}
