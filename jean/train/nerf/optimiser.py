"""What moves the weights of a talking head: groups of parameters, their rates, the running average."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from jean.kernels.dispatch import use_on_processor
from jean.models.talking_head import TalkingHead
from jean.train.nerf.config import NerfConfig
from jean.train.nerf.ema_adam import AveragingAdam


def make_optimiser(model: TalkingHead, average: TalkingHead, codes: nn.Embedding, config: NerfConfig) -> AveragingAdam:
    """Adam over the networks, speech, planes, the parts' planes and the frames' codes, each at its own rate.

    ``average`` follows ``model`` where it is another.

    A group's "first_lr" is what ``set_rates`` lets decay, "ends" the step after which it stands still (0: never).
    On a card rates are tensors there, so that a recorded step (``jean.train.nerf.cuda_graphs``) reads those of its own
    step.
    """
    groups = parameter_groups(model, codes, config)
    device = codes.weight.device
    if device.type == "cuda":
        for group in groups:
            group["lr"] = torch.tensor(group["lr"], device=device)
    weights, averages = ([] if average is model else list(m.parameters()) for m in (model, average))
    passes = "native" if use_on_processor(config.backend, codes.weight, "adam") else "reference"
    options: dict[str, Any] = {"betas": (0.9, 0.99), "eps": 1e-12, "capturable": device.type == "cuda"}
    return AveragingAdam(groups, weights, averages, passes, **options)


def parameter_groups(model: TalkingHead, codes: nn.Embedding, config: NerfConfig) -> list[dict[str, Any]]:
    """What ``make_optimiser`` learns, with its rates."""
    tables = [p for n, p in model.named_parameters() if n.endswith(".table")]
    others = [p for n, p in model.named_parameters() if not n.endswith(".table")]
    speech = list(model.audio_encoder.parameters())
    if config.audio_run is None:  # a learned encoder is fine-tuned; what comes after it is new
        speech += model.audio_projection.parameters()
    others = [p for p in others if not any(p is q for q in speech)]
    rate, ends = config.audio_rate or config.learning_rate, config.audio_steps or 0
    groups: list[dict[str, Any]] = [
        {"params": others, "lr": config.learning_rate, "first_lr": config.learning_rate},
        {"params": speech, "lr": rate, "first_lr": rate, "ends": ends},
    ]
    if tables:
        # a cell that few rays meet has gradients near zero, and Adam would make whole steps of them:
        # streaks along the planes' axes. This eps lets only cells with real gradients move.
        # Cells of the parts are finer than pixels and seen through gates: at the planes' rate they leave specks.
        parts = [p for n, p in model.named_parameters() if ".moving." in n and n.endswith(".table")]
        tables = [p for p in tables if not any(p is q for q in parts)]
        for rate, chosen in ((config.plane_rate, tables), (config.part_rate, parts)):
            if chosen:
                groups.append({"params": chosen, "lr": rate, "first_lr": rate, "eps": config.plane_eps})
    if config.code_width:
        groups.append({"params": [codes.weight], "lr": config.code_rate, "first_lr": config.code_rate})
    return groups


def set_rates(optimiser: torch.optim.Optimizer, step: int, steps: int, decay: float) -> None:
    """The rates of step ``step`` (from 0) of ``steps``: they rise over 20 steps, and fall to ``decay`` at the end."""
    for group in optimiser.param_groups:
        warm = min(1.0, (step + 1) / 20)
        left = max(0.0, 1 - step / group["ends"]) if group.get("ends") else 1.0
        rate = group["first_lr"] * warm * left * decay ** (step / steps)
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def average_share(keep: float, step: int) -> float:
    """By how much averaged weights move in step ``step``; at first much, so that they forget where they began.

    Args:
        keep: share of the old average that stays, later on.
    """
    return 1 - min(keep, (step + 1) / (step + 10))
