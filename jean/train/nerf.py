"""Training the talking head: ``jean train-nerf``."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jean.data.datasets import PersonFrames, RayBatch, open_clips
from jean.data.lips import lip_coordinates
from jean.data.person import write_person
from jean.environment import pick_device
from jean.files import check_writable
from jean.losses import opacity_loss, photometric_loss, torso_loss
from jean.models.head import FastHead
from jean.models.talking_head import Frames, Pixels, TalkingHead, corrected, pose_vectors
from jean.progress import Progress
from jean.render.ops import resolve_backend
from jean.train.checkpoint import stored_steps
from jean.train.hull import grown, visual_hull
from jean.train.loop import Schedule, run
from jean.train.nerf_config import NerfConfig, resolved
from jean.train.nerf_inputs import (
    LearnedInputs,
    apply_inputs,
    audio_name,
    audio_scale,
    frozen_modules,
    load_inputs,
    load_speech,
    named_means,
)
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
        _set_statistics(self.model, data)
        if inputs is not None:
            load_speech(self.model, inputs)
        head = self.model.head
        head.use(config.backend)
        if isinstance(head, FastHead):
            head.start(grown(visual_hull(head.grid.cell_centres().cpu(), data)).to(device))
        self.average = _twin(self.model) if config.average else self.model
        tables = [p for n, p in self.model.named_parameters() if n.endswith(".table")]
        others = [p for n, p in self.model.named_parameters() if not n.endswith(".table")]
        speech = list(self.model.audio_encoder.parameters())
        if config.audio_run is None:  # a learned encoder is fine-tuned; what comes after it is new
            speech += self.model.audio_projection.parameters()
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
            parts = [p for n, p in self.model.named_parameters() if ".moving." in n and n.endswith(".table")]
            tables = [p for p in tables if not any(p is q for q in parts)]
            for rate, chosen in ((config.plane_rate, tables), (config.part_rate, parts)):
                if chosen:
                    groups.append({"params": chosen, "lr": rate, "first_lr": rate, "eps": config.plane_eps})
        # columns 0 to 2: a turn of the head, tenths of a radian; 3 to 5: a shift, cm; the rest: the code
        self.codes = torch.nn.Embedding(len(data.camera_to_world), 6 + (config.code_width or 0)).to(device)
        torch.nn.init.zeros_(self.codes.weight)
        if config.code_width:
            groups.append({"params": [self.codes.weight], "lr": config.code_rate, "first_lr": config.code_rate})
        self.optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-12, fused=True)
        self.modules: dict[str, torch.nn.Module] = {"model": self.average, "codes": self.codes}
        if config.average:
            self.modules["training"] = self.model
        if inputs is not None:
            self.modules |= frozen_modules(inputs)
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adam": self.optimiser}
        # what speech is to give is what was seen, whatever the expression vector tells of the mouth
        seen = data.measured_offsets
        self.lips = torch.from_numpy(lip_coordinates(seen, data.train, config.audio_width or 0)).to(device)
        self.tensors = {
            "camera_to_world": torch.from_numpy(data.camera_to_world),
            "focal_px": torch.from_numpy(data.focal_px),
            "center_px": torch.from_numpy(data.center_px),
            "audio": torch.from_numpy(data.audio).float(),
            "expression": torch.from_numpy(data.expression).float(),
            "offsets": torch.from_numpy(data.offsets),
        }
        around = data.audio_neighbours(config.audio_attention) if config.audio_attention else None
        self.around = None if around is None else torch.from_numpy(around)
        if isinstance(head, FastHead):
            train = torch.from_numpy(data.train)
            head.warp.fit(self.lips.cpu()[train], torch.from_numpy(seen)[train])

    def frames(self, indices: np.ndarray) -> Frames:
        """The drivers of dataset frames [F]."""
        chosen = torch.from_numpy(np.asarray(indices))
        drivers = {name: values[chosen].to(self.device) for name, values in self.tensors.items() if name != "audio"}
        return Frames(audio=self.windows(chosen), **drivers)

    def windows(self, chosen: Tensor) -> Tensor:
        """Audio windows of dataset frames [F], with their neighbours where the model smooths over them."""
        return self.tensors["audio"][chosen if self.around is None else self.around[chosen]].to(self.device)

    def with_codes(self, frames: Frames, indices: np.ndarray, keep: Tensor) -> Frames:
        """Frames with their own codes and pose corrections where ``keep`` [F] is 1."""
        values = self.codes(torch.from_numpy(np.asarray(indices)).to(self.device)) * keep[:, None].to(self.device)
        poses = corrected(frames.camera_to_world, values[:, :3] * 0.1, values[:, 3:6])
        return replace(frames, camera_to_world=poses, code=values[:, 6:])

    def step(self, step: int) -> dict[str, float]:
        """One optimisation step over ``rays`` pixels."""
        began = time.perf_counter()
        config = self.config
        seed = int(torch.randint(2**31, (1,), generator=self.generator))
        if config.audio_attention:
            self.model.smoothing.fill_(step >= self.steps // 2)
        batch = self.data.rays(config.rays, config.frames_per_step or 1, config.regions, np.random.default_rng(seed))
        frames = self._noisy(self.frames(batch.frames))
        if config.code_width:
            keep = (torch.rand(len(batch.frames), generator=self.generator) < 0.5).float()
            frames = self.with_codes(frames, batch.frames, keep)
            if config.lip_weight:
                # half of the frames show the field true lips, half the lips that speech gives
                told = self.lips[torch.from_numpy(batch.frames).to(device=self.device)].clone()
                told[torch.rand(len(told), generator=self.generator) < 0.5] = torch.nan
                frames = replace(frames, lips=told)
            if step % 4:  # gradients of positions cost half a step more; poses need few of them
                frames = replace(frames, camera_to_world=frames.camera_to_world.detach())
        for group in self.optimiser.param_groups:
            warm = min(1.0, (step + 1) / 20)
            left = max(0.0, 1 - step / group["ends"]) if group.get("ends") else 1.0
            group["lr"] = group["first_lr"] * warm * left * config.decay ** (step / self.steps)
        self.model.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            pixels = self.model.trace(
                frames,
                torch.from_numpy(batch.pixels).to(self.device),
                torch.from_numpy(batch.frame).to(self.device),
                self.data.size_px,
                self.generator,
            )
        losses = self._losses(pixels, batch) | (self._priors() if step % 4 == 0 else {})
        if config.lip_weight:
            losses["lips"] = config.lip_weight * self._lip_error()
        total = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.optimiser.step()
        self._take_average(step)
        if isinstance(self.model.head, FastHead) and step % 16 == 15:
            self._update_grid(frames, share=1.0 if step < 64 else 0.05, step=step)
        psnr = -10 * math.log10(max(losses["photo"].item(), 1e-10))
        rate = config.rays / (time.perf_counter() - began)
        return {"loss": total.item(), "psnr_db": psnr, "rays_per_s": rate}

    @torch.no_grad()
    def _take_average(self, step: int) -> None:
        """Moves the averaged weights; at first quickly, so that they forget where they began."""
        if self.config.average:
            share = 1 - min(self.config.average, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), share)

    def _noisy(self, frames: Frames) -> Frames:
        """Condition noise: the few hundred frames of a clip are not to be told apart by their last digit."""
        audio, expression = self._noisy_audio(frames.audio), frames.expression
        if self.config.expression_noise:
            spread = self.model.expression_spread * self.config.expression_noise
            expression = expression + spread * self._normal(expression)
        return replace(frames, audio=audio, expression=expression)

    def _lip_error(self, windows: int = 64) -> Tensor:
        """Squared error of lip coordinates told from speech, over random training frames."""
        train = torch.from_numpy(self.data.train)
        chosen = train[torch.randint(len(train), (windows,), generator=self.generator)].to(self.device)
        audio = self._noisy_audio(self.windows(chosen.cpu()))
        return (self.model.audio_embedding(audio) - self.lips[chosen]).square().mean()

    def _noisy_audio(self, audio: Tensor) -> Tensor:
        # a band's level, the whole level, and every value: other microphones, voices, rooms
        if self.config.audio_noise:
            rows = audio.flatten(1, -2)  # neighbours are heard through the same microphone
            for part in (rows[:, :1, :1], rows[:, :1], rows):
                rows = rows + self.config.audio_noise * self._normal(part)
            audio = rows.view_as(audio)
        return audio

    def _normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator).to(like)

    def _losses(self, pixels: Pixels, batch: RayBatch) -> dict[str, Tensor]:
        config, device = self.config, self.device
        rgb, matte, plate = (torch.from_numpy(v).to(device) for v in (batch.rgb, batch.matte, batch.plate))
        foreground = matte.sum(-1, keepdim=True).clamp(0, 1)
        if config.background == "random":
            behind = torch.rand(plate.shape, generator=self.generator).to(device)
            # move the pixel onto another background: its share of the old one is taken out
            target = torch.where(foreground > 0.02, rgb + (1 - foreground) * (behind - plate), behind).clamp(0, 1)
        else:
            behind, target = plate, rgb
        shown = pixels
        if not config.opacity_weight:
            # nothing else tells head and torso apart: the flat layer would learn the face, being quicker
            hidden = matte[:, 0] > 0.99
            shown = replace(pixels, torso_opacity=pixels.torso_opacity.masked_fill(hidden, 0.0))
        losses = {"photo": photometric_loss(shown.over(behind), target)}
        if len(pixels.head) > 1:
            losses["coarse"] = photometric_loss(shown.over(behind, 0), target)
        if config.opacity_weight:
            losses["opacity"] = config.opacity_weight * (
                opacity_loss(pixels.opacity(), foreground[:, 0])
                + 0.3 * opacity_loss(pixels.head[-1].opacity, matte[:, 0])
            )
        torso = pixels.torso_rgb, pixels.torso_opacity
        losses["torso"] = config.torso_weight * torso_loss(*torso, rgb, matte[:, 0], matte[:, 1])
        return losses

    def _priors(self) -> dict[str, Tensor]:
        """Smoothness, taken every fourth step and four times as strong."""
        losses = {"torso_roughness": 4e-2 * self.model.torso.roughness()}
        if isinstance(self.model.head, FastHead):
            field = self.model.head.field
            # a code says what must be said, not more
            losses["codes"] = 4e-4 * self.codes.weight.square().mean()
            losses["roughness"] = 4 * self.config.roughness_weight * field.roughness()
            losses["movement"] = 4 * self.config.movement_weight * field.movement()
        return losses

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
            return self.with_codes(self.frames(indices), indices, torch.ones(len(indices)))

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


def train_nerf(clips: Sequence[Path], output: Path, config: NerfConfig, progress: Progress) -> dict[str, Any]:
    """Learns one person's head from prepared clips, or goes on where an earlier run stopped.

    Args:
        clips: clip folders, or folders of them, of one person.
        output: the run folder.
        config: what to train.
        progress: told how far it is.

    Returns:
        ``heldout_face_psnr_db``, ``heldout_head_psnr_db``, ``train_face_psnr_db``, ``train_head_psnr_db``,
        ``steps``, ``seconds``, ``rays_per_s``, ``backend``.

    Raises:
        InputError: clips without sound or face, or clips that do not belong together.
        SetupError, ArtefactError, DivergedError, Interrupted: see ``jean.train.loop.run``.
    """
    config = resolved(config)
    check_writable(output)
    device = torch.device(pick_device(config.device))
    opened = open_clips(clips)
    inputs = load_inputs(config, opened, progress)
    data = PersonFrames(opened, audio_name(inputs, config), config.expression == "upper")
    apply_inputs(data, inputs, config)
    steps = config.steps or stored_steps(output) or _steps_in(config, data, device, progress)
    config = config.model_copy(update={"steps": steps})
    stage = NerfStage(data, config, device, steps, inputs)
    every = max(1, steps // 8)
    schedule = Schedule(steps, save_every=every, evaluate_every=2 * every, log_every=50, preview_every=2 * every)
    # the device and a time turned into steps do not decide what is learned, the backend only last digits
    compared = config.model_dump(mode="json", exclude={"device", "minutes", "backend"}) | inputs.hashes
    backend = resolve_backend(config.backend, device, stage.model.head.trained_by, progress.say)
    progress.say(f"backend: {backend}.")
    compared["clips"] = [clip.meta["files"] for clip in opened]
    meta = {
        "model": model_arguments(data, config, inputs),
        "fps": opened[0].fps,
        "size_px": data.size_px,
        "tracker": opened[0].meta["tracker"],
        "expression": opened[0].meta["expression"],
        "upper_face": config.expression == "upper",
        "method": config.method,
        "expression_source": inputs.source,
        "speech": config.speech,
        "audio": {data.audio_name: opened[0].meta["audio"][data.audio_name]},
    }
    result = run(
        stage,
        output,
        schedule,
        progress,
        config=compared,
        meta=meta,
        begin=lambda: write_person(output, data, opened, named_means(data)),
    )
    return result | {
        "backend": backend,
        "rays_per_s": round(config.rays * result["steps"] / max(result["seconds"], 1e-9)),
    }


def _steps_in(config: NerfConfig, data: PersonFrames, device: torch.device, progress: Progress) -> int:
    """How many steps fit into ``config.minutes`` here, less a tenth for evaluation and saving."""
    assert config.minutes is not None  # a configuration has steps or minutes
    trial = NerfStage(data, config, device, 1000)
    times = []
    for step in range(40):
        began = time.perf_counter()
        trial.step(100 + step)
        times.append(time.perf_counter() - began)
    # the mean of the later steps: they hold a fair share of the grid's updates
    steps = max(1, int(0.9 * config.minutes * 60 / float(np.mean(times[8:]))))
    progress.say(f"{config.minutes:g} minutes are {steps} steps on this machine.")
    return steps


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


def _set_statistics(model: TalkingHead, data: PersonFrames) -> None:
    """Means and spreads over the training frames, so that inputs have the scale of 1."""
    expression = torch.from_numpy(data.expression[data.train]).float()
    poses = pose_vectors(torch.from_numpy(data.camera_to_world[data.train]))
    model.expression_mean.copy_(expression.mean(0))
    # 0.02: a blendshape that never moves must not turn its noise into a signal
    model.expression_spread.copy_(expression.std(0).clamp_min(0.02))
    model.expression_range.copy_(torch.stack([expression.amin(0), expression.amax(0)]))
    model.pose_mean.copy_(poses.mean(0))
    model.pose_spread.copy_(poses.std(0).clamp_min(1e-3))


def _twin(model: TalkingHead) -> TalkingHead:
    """A copy with weights of its own, whose buffers (grid, statistics) are the model's."""
    twin = copy.deepcopy(model)
    for name, module in twin.named_modules():
        module._buffers = model.get_submodule(name)._buffers
    return twin


def _spread(indices: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of ``indices``, evenly spread."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(int)]
