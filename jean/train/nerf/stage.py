"""One step of training a talking head, and how it is scored, as the loop knows it."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jean.drivers.lips import lip_coordinates
from jean.drivers.person_frames import PersonFrames
from jean.models.head.base import FastHead
from jean.models.talking_head import Frames, TalkingHead
from jean.train.nerf.batch import Batches
from jean.train.nerf.config import NerfConfig
from jean.train.nerf.cuda_graphs import Graphs
from jean.train.nerf.drivers import Drivers, noisy, noisy_audio, with_codes
from jean.train.nerf.evaluation import face_and_head_psnr, preview_sheet
from jean.train.nerf.inputs import LearnedInputs, frozen_modules, load_speech
from jean.train.nerf.losses import pixel_losses, priors
from jean.train.nerf.model import model_arguments, set_statistics, twin
from jean.train.nerf.optimiser import average_share, make_optimiser, set_rates
from jean.train.nerf.visual_hull import grown, visual_hull


class NerfStage:
    """The stage as the loop knows it: one model, one optimiser, a batch of rays a step."""

    name = "nerf"

    def __init__(
        self,
        data: PersonFrames,
        config: NerfConfig,
        device: torch.device,
        steps: int,
        inputs: LearnedInputs | None = None,
    ):
        self.data, self.config, self.device, self.steps = data, config, device, steps
        torch.manual_seed(config.seed)
        self.model = TalkingHead(**model_arguments(data, config, inputs)).to(device)
        self.generator = torch.Generator(device).manual_seed(config.seed)
        set_statistics(self.model, data)
        if inputs is not None:
            load_speech(self.model, inputs)
        head = self.model.head
        head.use(config.backend)
        self.model.torso.backend = config.backend
        if isinstance(head, FastHead):
            head.every_ray = device.type == "cuda"
            head.start(grown(visual_hull(head.grid.cell_centres().cpu(), data)).to(device))
        self.average = twin(self.model) if config.average else self.model
        # see ``with_codes``
        self.codes = torch.nn.Embedding(len(data.camera_to_world), 6 + (config.code_width or 0)).to(device)
        torch.nn.init.zeros_(self.codes.weight)
        self.optimiser = make_optimiser(self.model, self.average, self.codes, config)
        self.modules: dict[str, torch.nn.Module] = {"model": self.average, "codes": self.codes}
        if config.average:
            self.modules["training"] = self.model
        if inputs is not None:
            self.modules |= frozen_modules(inputs)
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adam": self.optimiser}
        # what speech is to give is what was seen, whatever the expression vector tells of the mouth
        seen = data.measured_offsets
        self.lips = torch.from_numpy(lip_coordinates(seen, data.train, config.audio_width or 0)).to(device)
        self.drivers = Drivers(data, config, device)
        self.frames = self.drivers.frames
        self.batches = Batches(data, config.rays, config.frames_per_step or 1, config.regions, device)
        records = device.type == "cuda" and config.graphs and self.batches.pictures.resident
        self.graphs = Graphs(device, [self.generator]) if records else None
        self.smoothing: bool | None = None  # what the model's buffer says; None: not looked at yet
        if isinstance(head, FastHead):
            train = torch.from_numpy(data.train)
            head.warp.fit(self.lips.cpu()[train], torch.from_numpy(seen)[train])

    def step(self, step: int) -> dict[str, Tensor]:
        """One optimisation step over ``rays`` pixels."""
        config = self.config
        smoothing = bool(config.audio_attention) and step >= self.steps // 2
        if config.audio_attention and smoothing != self.smoothing:
            self.model.smoothing.fill_(smoothing)
            self.smoothing = smoothing
        set_rates(self.optimiser, step, self.steps, config.decay)
        fourth, share = step % 4 == 0, average_share(config.average or 0.0, step)
        if self.graphs is None:
            scalars, frames = self.learn(fourth, share)
        else:
            scalars, frames = self.graphs.run((fourth, smoothing), partial(self.learn, fourth))
            self.optimiser.move_averages(share)
        if isinstance(self.model.head, FastHead) and step % 16 == 15:
            self._update_grid(frames, share=1.0 if step < 64 else 0.05, step=step)
        return scalars

    def learn(self, fourth: bool, share: float | None = None) -> tuple[dict[str, Tensor], Frames]:
        """Draws a batch and learns from it: scalars of the step, and the batch's frames.

        All that a CUDA graph repeats (``jean.train.nerf.cuda_graphs``): on a card it must not wait for anything.

        Args:
            fourth: whether this is one of the steps, every fourth, that take priors and learn poses.
            share: by how much the averaged weights move; None leaves them, as it differs from step to step.
        """
        self.model.train()
        losses, frames = self.losses(fourth)
        total = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        if share is None:
            self.optimiser.step()
        else:
            self.optimiser.step_averaging(share)
        if self.graphs is not None:  # gradients lie in memory that every graph uses
            self.optimiser.zero_grad(set_to_none=True)
        psnr = -10 * losses["photo"].detach().clamp_min(1e-10).log10()
        return {"loss": total.detach(), "psnr_db": psnr}, _detached(frames)

    def losses(self, fourth: bool) -> tuple[dict[str, Tensor], Frames]:
        """Losses of a batch that it draws, by name, and the batch's frames; ``fourth`` as for ``learn``."""
        config = self.config
        batch = self.batches.draw(self.generator)
        frames = noisy(self.frames(batch.frames), config, self.model.expression_spread, self.generator)
        if config.code_width:
            frames = with_codes(self.codes, frames, batch.frames, self._half(batch.frames).float())
            if config.lip_weight:
                # half of the frames show the field true lips, half the lips that speech gives
                spoken = self._half(batch.frames)[:, None]
                frames = replace(frames, lips=self.lips[batch.frames].masked_fill(spoken, torch.nan))
            if not fourth:  # gradients of positions cost half a step more; poses need few of them
                frames = replace(frames, camera_to_world=frames.camera_to_world.detach())
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            pixels = self.model.trace(frames, batch.pixels, batch.frame, self.data.size_px, self.generator)
        losses = pixel_losses(pixels, batch, config, self.generator)
        if fourth:
            losses |= priors(self.model, self.codes, config)
        if config.lip_weight:
            losses["lips"] = config.lip_weight * self._lip_error()
        return losses, frames

    def _half(self, frames: Tensor) -> Tensor:
        """bool [F]: half of ``frames`` [F], by chance."""
        return torch.rand(len(frames), generator=self.generator, device=self.device) < 0.5

    def _lip_error(self, windows: int = 64) -> Tensor:
        """Squared error of lip coordinates told from speech, over random training frames."""
        train = self.batches.train
        chosen = train[torch.randint(len(train), (windows,), generator=self.generator, device=self.device)]
        audio = noisy_audio(self.drivers.windows(chosen), self.config, self.generator)
        return (self.model.audio_embedding(audio) - self.lips[chosen]).square().mean()

    @torch.no_grad()
    def _update_grid(self, frames: Frames, share: float, step: int) -> None:
        """Moves the density grid towards the field under conditions of this batch."""
        head = self.model.head
        condition = self.model.condition(frames).detach()
        bend = self.model.bend(frames, condition)
        view = condition.new_zeros(len(condition), 3)  # density does not depend on it

        def density(positions: Tensor) -> Tensor:
            frame = torch.randint(len(condition), (len(positions),), generator=self.generator, device=self.device)
            return head.field(head.warp.rest(positions, bend, frame), condition, view, frame)[0]

        head.grid.update(density, share, decay=0.5 if step < 256 else 0.9, generator=self.generator)

    @torch.no_grad()
    def evaluate(self, step: int) -> dict[str, float]:
        """PSNR over face and head, on all held-out frames (20 at most) and as many training frames."""
        self.average.eval()
        held_out = _spread(self.data.held_out, 20)
        train = _spread(self.data.train, 10)
        scores: dict[str, float] = {}

        def own(indices: np.ndarray) -> Frames:
            chosen = torch.from_numpy(indices).to(self.device)
            return with_codes(self.codes, self.frames(chosen), chosen, torch.ones(len(chosen), device=self.device))

        cases = [("heldout", held_out, self.frames), ("train", train, own if self.config.code_width else self.frames)]
        for name, indices, frames_of in cases:
            if len(indices):
                face, head = face_and_head_psnr(self.average, frames_of, self.data, indices)
                scores[f"{name}_face_psnr_db"], scores[f"{name}_head_psnr_db"] = face, head
        return scores

    def preview(self, step: int, folder: Path) -> None:
        """Real and rendered frames, side by side."""
        self.average.eval()
        indices = np.concatenate([_spread(self.data.train, 2), _spread(self.data.held_out, 2)])
        preview_sheet(self.average, self.frames, self.data, indices, folder / f"{step:06d}.png")

    def extra_state(self) -> dict[str, Tensor]:
        """Nothing: the density grid is among the model's buffers."""
        return {}

    def load_extra_state(self, tensors: dict[str, Tensor]) -> None:
        """Takes back nothing, but what was recorded writes to an optimiser's state that is no longer in use."""
        if self.graphs is not None:
            self.graphs.forget()


def _detached(frames: Frames) -> Frames:
    """The same numbers without the way back to parameters."""
    values = {field.name: getattr(frames, field.name) for field in fields(frames)}
    return replace(frames, **{name: value.detach() for name, value in values.items() if value is not None})


def _spread(indices: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of ``indices``, evenly spread."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(int)]
