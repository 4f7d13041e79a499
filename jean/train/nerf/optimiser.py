"""The optimiser of a talking head: parameter groups, learning rates, moving average of the weights."""

from __future__ import annotations

from typing import Any

import torch

from jean.kernels.backend import Backend
from jean.models.head.base import Rearrangement
from jean.models.talking_head import TalkingHead
from jean.train.nerf.ema_adam import AdamWithEma
from jean.train.nerf.latents import FrameLatents
from jean.train.nerf.presets import ResolvedNerfConfig

LATENT_RATE = 5e-3  # learning rate of latent codes and pose corrections


def make_optimiser(
    model: TalkingHead, ema: TalkingHead, latents: FrameLatents, config: ResolvedNerfConfig, backend: Backend
) -> AdamWithEma:
    """Adam over networks, speech part, the head's own groups, and latent codes, each at its own rate.

    A group's "first_lr" is the rate that ``set_rates`` lets decay, "ends" the step after which it is 0 (0: never). On a
    GPU the rates are tensors, so that a recorded step (``jean.train.nerf.cuda_graphs``) reads its own.

    Args:
        model: the model that is trained.
        ema: the model that follows it; ``model`` itself for none.
        latents: of the training frames.
        config: the configuration.
        backend: resolved for "adam".
    """
    groups = parameter_groups(model, latents, config)
    device = latents.weight.device
    if device.type == "cuda":
        for group in groups:
            group["lr"] = torch.tensor(group["lr"], device=device)
    weights, ema_weights = ([] if ema is model else list(m.parameters()) for m in (model, ema))
    options: dict[str, Any] = {
        "betas": (0.9, config.adam_beta2),
        "eps": config.adam_eps,
        "capturable": device.type == "cuda",
    }
    return AdamWithEma(groups, weights, ema_weights, backend.implementation("adam"), **options)


def parameter_groups(model: TalkingHead, latents: FrameLatents, config: ResolvedNerfConfig) -> list[dict[str, Any]]:
    """The optimiser's groups, as ``torch.optim.Adam`` takes them."""
    speech = list(model.audio_encoder.parameters())
    if config.audio_run is None:  # beside a learned encoder, the projection after it is new and learns like a network
        speech += model.audio_projection.parameters()
    own: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    torso = () if model.torso is None else model.torso.parameter_groups()
    for group in (*model.head.parameter_groups(), *torso):
        own.setdefault((group.learning_rate, group.eps), []).extend(group.parameters)
    assigned = {id(parameter) for parameters in (speech, *own.values()) for parameter in parameters}
    networks = [parameter for parameter in model.parameters() if id(parameter) not in assigned]
    groups: list[dict[str, Any]] = [
        {"params": networks, "lr": config.learning_rate, "first_lr": config.learning_rate},
        {
            "params": speech,
            "lr": config.audio_rate,
            "first_lr": config.audio_rate,
            "ends": config.audio_steps,
            "decay": config.decay if config.audio_run is None else config.fine_tune_decay,
        },
    ]
    for (rate, eps), parameters in own.items():
        groups.append({"params": parameters, "lr": rate, "first_lr": rate, "eps": eps})
    if config.latent_width:
        groups.append({"params": [latents.weight], "lr": LATENT_RATE, "first_lr": LATENT_RATE})
    return groups


@torch.no_grad()
def rearrange(
    optimiser: torch.optim.Optimizer, rearrangement: Rearrangement, model: TalkingHead, ema: TalkingHead
) -> None:
    """Lets optimiser and moving average follow new rows of the head's parameters.

    Args:
        optimiser: over the parameters of ``model``.
        rearrangement: what the head has done to its parameters.
        model: the model that is trained.
        ema: the model that follows it; ``model`` itself for none.
    """
    source, fresh = rearrangement.source, rearrangement.fresh
    follower = dict(zip(map(id, model.parameters()), ema.parameters(), strict=True)) if ema is not model else {}
    for parameter in rearrangement.parameters:
        for value in optimiser.state.get(parameter, {}).values():
            if value.shape == parameter.shape:  # Adam's moments, not its number of steps
                value.copy_(value[source])
                value[fresh] = 0.0
        average = follower.get(id(parameter))
        if average is not None:
            average.copy_(average[source])
            average[fresh] = parameter[fresh]


def set_rates(optimiser: torch.optim.Optimizer, step: int, config: ResolvedNerfConfig) -> None:
    """Sets the learning rates of one step: a linear warm-up, then an exponential decay.

    Args:
        optimiser: with groups of ``parameter_groups``.
        step: number of the step, from 0.
        config: the configuration.
    """
    warm_up = min(1.0, (step + 1) / config.warm_up_steps) if config.warm_up_steps else 1.0
    for group in optimiser.param_groups:
        linear = max(0.0, 1 - step / group["ends"]) if group.get("ends") else 1.0
        rate = group["first_lr"] * warm_up * linear * group.get("decay", config.decay) ** (step / config.steps)
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def ema_step(decay: float, step: int) -> float:
    """Fraction by which the averaged weights move in step ``step``: large at first, to forget the initial weights.

    Args:
        decay: of the moving average, later on.
        step: number of the step, from 0.
    """
    return 1 - min(decay, (step + 1) / (step + 10))
