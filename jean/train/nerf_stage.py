"""One step of training a talking head, and how it is scored, as the loop knows it."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jean.data.datasets import PersonFrames
from jean.data.lips import lip_coordinates
from jean.models.head import FastHead
from jean.models.talking_head import Frames, TalkingHead
from jean.train.hull import grown, visual_hull
from jean.train.nerf_config import NerfConfig
from jean.train.nerf_drivers import Drivers, noisy, noisy_audio, with_codes
from jean.train.nerf_inputs import LearnedInputs, frozen_modules, load_speech
from jean.train.nerf_losses import pixel_losses, priors
from jean.train.nerf_model import model_arguments, set_statistics, twin
from jean.train.nerf_optimiser import average_share, make_optimiser, set_rates
from jean.train.scores import face_and_head_psnr, preview_sheet


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
        self.generator = torch.Generator(device="cpu").manual_seed(config.seed)
        set_statistics(self.model, data)
        if inputs is not None:
            load_speech(self.model, inputs)
        head = self.model.head
        head.use(config.backend)
        self.model.torso.backend = config.backend
        if isinstance(head, FastHead):
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
        if isinstance(head, FastHead):
            train = torch.from_numpy(data.train)
            head.warp.fit(self.lips.cpu()[train], torch.from_numpy(seen)[train])

    def step(self, step: int) -> dict[str, float]:
        """One optimisation step over ``rays`` pixels."""
        began = time.perf_counter()
        config = self.config
        seed = int(torch.randint(2**31, (1,), generator=self.generator))
        if config.audio_attention:
            self.model.smoothing.fill_(step >= self.steps // 2)
        batch = self.data.rays(config.rays, config.frames_per_step or 1, config.regions, np.random.default_rng(seed))
        frames = noisy(self.frames(batch.frames), config, self.model.expression_spread, self.generator)
        if config.code_width:
            keep = (torch.rand(len(batch.frames), generator=self.generator) < 0.5).float()
            frames = with_codes(self.codes, frames, batch.frames, keep)
            if config.lip_weight:
                # half of the frames show the field true lips, half the lips that speech gives
                told = self.lips[torch.from_numpy(batch.frames).to(device=self.device)].clone()
                told[torch.rand(len(told), generator=self.generator) < 0.5] = torch.nan
                frames = replace(frames, lips=told)
            if step % 4:  # gradients of positions cost half a step more; poses need few of them
                frames = replace(frames, camera_to_world=frames.camera_to_world.detach())
        set_rates(self.optimiser, step, self.steps, config.decay)
        self.model.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            pixels = self.model.trace(
                frames,
                torch.from_numpy(batch.pixels).to(self.device),
                torch.from_numpy(batch.frame).to(self.device),
                self.data.size_px,
                self.generator,
            )
        losses = pixel_losses(pixels, batch, config, self.generator, self.device)
        if step % 4 == 0:
            losses |= priors(self.model, self.codes, config)
        if config.lip_weight:
            losses["lips"] = config.lip_weight * self._lip_error()
        total = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.optimiser.step_averaging(average_share(config.average or 0.0, step))
        if isinstance(self.model.head, FastHead) and step % 16 == 15:
            self._update_grid(frames, share=1.0 if step < 64 else 0.05, step=step)
        psnr = -10 * math.log10(max(losses["photo"].item(), 1e-10))
        rate = config.rays / (time.perf_counter() - began)
        return {"loss": total.item(), "psnr_db": psnr, "rays_per_s": rate}

    def _lip_error(self, windows: int = 64) -> Tensor:
        """Squared error of lip coordinates told from speech, over random training frames."""
        train = torch.from_numpy(self.data.train)
        chosen = train[torch.randint(len(train), (windows,), generator=self.generator)].to(self.device)
        audio = noisy_audio(self.drivers.windows(chosen.cpu()), self.config, self.generator)
        return (self.model.audio_embedding(audio) - self.lips[chosen]).square().mean()

    @torch.no_grad()
    def _update_grid(self, frames: Frames, share: float, step: int) -> None:
        """Moves the density grid towards the field under conditions of this batch."""
        head = self.model.head
        condition = self.model.condition(frames).detach()
        bend = self.model.bend(frames, condition)
        view = condition.new_zeros(len(condition), 3)  # density does not depend on it

        def density(positions: Tensor) -> Tensor:
            frame = torch.randint(len(condition), (len(positions),), generator=self.generator).to(positions.device)
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
            return with_codes(self.codes, self.frames(indices), indices, torch.ones(len(indices)))

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
        """Takes back nothing."""


def _spread(indices: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of ``indices``, evenly spread."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(int)]
