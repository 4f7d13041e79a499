"""One step of training a talking head, and its evaluation, as the training loop calls them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jean.drivers.offsets import lip_coordinates
from jean.drivers.person_frames import PersonFrames
from jean.drivers.tracks import DriverTracks
from jean.kernels.backend import Backend
from jean.kernels.dispatch import camera_rays
from jean.models.head.base import OccupancyUpdate
from jean.models.talking_head import Frames, Pixels, TalkingHead
from jean.train.engine import ranks
from jean.train.nerf.batch import RayBatch, RayBatches
from jean.train.nerf.crops import CropBatches
from jean.train.nerf.cuda_graphs import Graphs
from jean.train.nerf.evaluation import face_and_head_psnr, preview_sheet
from jean.train.nerf.exchange import ExpressionExchange
from jean.train.nerf.eye_depth import EYE_DEPTH_WEIGHT, EyeDepth
from jean.train.nerf.head_sides import SIDES_WEIGHT, HeadSides
from jean.train.nerf.latents import FrameLatents
from jean.train.nerf.losses import pixel_losses, priors
from jean.train.nerf.model import ema_copy, load_audio_encoder_weights, model_arguments, set_statistics
from jean.train.nerf.noise import add_audio_noise, add_condition_noise
from jean.train.nerf.optimiser import ema_step, make_optimiser, rearrange, set_rates
from jean.train.nerf.presets import ResolvedNerfConfig
from jean.train.nerf.rigid_parts import rigid_fraction
from jean.train.nerf.seen_colours import seen_colours
from jean.train.nerf.visual_hull import dilate_cells, visual_hull

REGULARISE_EVERY = 4  # steps: gradients of positions cost half a step more, and poses and priors need few of them
LIP_WINDOWS = 64  # audio windows per step for the lip regression


class NerfStage:
    """The stage of the training loop: one model, one optimiser, a batch of rays per step.

    Args:
        data: the person's frames, with the method's drivers.
        config: the configuration.
        device: where training runs.
        say: receives one line for each check of GPU kernels.
    """

    name = "nerf"

    def __init__(
        self,
        data: PersonFrames,
        config: ResolvedNerfConfig,
        device: torch.device,
        say: Callable[[str], None] | None = None,
    ):
        self.data, self.config, self.device = data, config, device
        torch.manual_seed(config.seed)
        self.model = TalkingHead(**model_arguments(data, config)).to(device)
        # all ranks draw the same numbers, except for single rays
        self.generator = torch.Generator(device).manual_seed(config.seed)
        self.ray_generator = self.generator if ranks.count() == 1 else torch.Generator(device)
        set_statistics(self.model, data)
        load_audio_encoder_weights(self.model, data.method)
        operations = (*self.model.operations, "adam")
        self.backend = Backend.resolve(config.backend, device, operations=operations, say=say)
        self.model.use(self.backend)

        self.sides: HeadSides | None = None  # for heads that ask for the visual hull

        def hull(centres: Tensor) -> Tensor:
            cells = visual_hull(centres.cpu(), data)
            self.sides = HeadSides(cells.to(device), centres)
            return dilate_cells(cells).to(device)

        self.model.head.prepare_training(device, hull, partial(seen_colours, data=data))
        self.ema = ema_copy(self.model) if config.ema_decay else self.model
        self.latents = FrameLatents(len(data.camera_to_world), config.latent_width).to(device)
        self.optimiser = make_optimiser(self.model, self.ema, self.latents, config, self.backend)
        self.modules: dict[str, torch.nn.Module] = {"model": self.ema, "latents": self.latents}
        if config.ema_decay:
            self.modules["training"] = self.model
        self.modules |= data.method.expression.modules()
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adam": self.optimiser}
        # the target of the speech branch is the measured mouth, not the one predicted from the expression vector
        lips = lip_coordinates(data.measured_offsets, data.train, config.audio_width)
        self.lips = torch.from_numpy(lips).to(device)
        self.tracks = DriverTracks.of_person(data, device, config.audio_attention)
        self.frames = self.tracks.frames
        batches = CropBatches if self.model.head.draws_pictures else RayBatches
        self.batches = batches(data, config.rays, config.frames_per_step, config.regions, device)
        # a head that draws pictures reads its window and its number of primitives back from the GPU
        capturable = self.batches.images.resident and not self.model.head.draws_pictures
        records = device.type == "cuda" and config.graphs and capturable and ranks.count() == 1
        self.graphs = Graphs(device, [self.generator]) if records else None
        exchanges = bool(config.expression_exchange or config.expression_dropout)
        self.exchange = ExpressionExchange(data, config, device) if exchanges else None
        # Gaussians have a prior on their own depth; this one, on the depth of rays, opens holes in their eyes (-1.3 dB)
        holds_depth = self.model.head.primitives() is not None
        self.eye_depth = None if data.eyes is None or holds_depth else EyeDepth(data.shape.tolist(), device)
        self.smoothing: bool | None = None  # value of the model's buffer; None before the first step
        train = torch.from_numpy(data.train)
        self.model.head.fit_deformation(self.lips.cpu()[train], torch.from_numpy(data.measured_offsets)[train])
        self.model.head.hold_rigid_parts(partial(rigid_fraction, data))

    def step(self, step: int) -> dict[str, Tensor]:
        """One optimisation step over ``rays`` pixels."""
        config = self.config
        smoothing = bool(config.audio_attention) and step >= config.steps // 2
        if config.audio_attention and smoothing != self.smoothing:
            self.model.smoothing.fill_(smoothing)
            self.smoothing = smoothing
        set_rates(self.optimiser, step, config)
        if ranks.count() > 1:
            self.ray_generator.manual_seed(ranks.own_seed(config.seed, step))
        regularise, fraction = step % REGULARISE_EVERY == 0, ema_step(config.ema_decay, step)
        if self.graphs is None:
            scalars, frames = self.learn(regularise, fraction)
        else:
            scalars, frames = self.graphs.run((regularise, smoothing), partial(self.learn, regularise))
            self.optimiser.move_ema(fraction)
        if self.model.head.wants_occupancy(step):
            self._update_occupancy(frames, step)
        rearrangement = self.model.head.after_step(step, config.steps, self.generator)
        if rearrangement is not None:
            rearrange(self.optimiser, rearrangement, self.model, self.ema)
        if self.model.head.draws_pictures and ranks.largest(rearrangement is not None):
            self._follow_first()
        return scalars

    def learn(self, regularise: bool, fraction: float | None = None) -> tuple[dict[str, Tensor], Frames]:
        """Draws a batch and learns from it.

        A CUDA graph repeats exactly this call (``jean.train.nerf.cuda_graphs``): on a GPU it must not synchronise.

        Args:
            regularise: whether this step takes priors and learns pose corrections.
            fraction: by which the averaged weights move; None leaves them, as it differs from step to step.

        Returns:
            Scalars of the step, and the batch's frames.
        """
        self.model.train()
        losses, frames = self.losses(regularise)
        total = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        ranks.average_gradients(self.optimiser)
        if fraction is None:
            self.optimiser.step()
        else:
            self.optimiser.step_with_ema(fraction)
        if self.graphs is not None:  # gradients lie in memory that every graph uses
            self.optimiser.zero_grad(set_to_none=True)
        psnr = -10 * losses["photo"].detach().clamp_min(1e-10).log10()
        return {"loss": total.detach(), "psnr_db": psnr}, _detached(frames)

    def losses(self, regularise: bool) -> tuple[dict[str, Tensor], Frames]:
        """Losses of a newly drawn batch by name, and the batch's frames; ``regularise`` as for ``learn``."""
        config = self.config
        batch = self.batches.draw(self.generator).share()
        frames, mean = self.frames(batch.frames), self.model.expression_mean
        if self.exchange is not None:
            frames = self.exchange.apply(frames, batch.frames, self.tracks.expression, mean, self.generator)
        if config.lip_weight:
            # The measured lips drive the field. Those of the speech are wrong by half, so that a field that also sees
            # them learns to open the mouth less (docs/guides/lips.md); the encoder learns by ``_lip_error``.
            frames = replace(frames, audio=None, lips=self.lips[batch.frames])
        frames = add_condition_noise(frames, config, self.model.expression_std, self.generator)
        if config.latent_width:
            frames = self.latents.apply_to(frames, batch.frames, self._half(batch.frames).float())
            if not regularise:
                frames = replace(frames, camera_to_world=frames.camera_to_world.detach())
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            at = batch.pixels, batch.frame, self.data.size_px, self.ray_generator
            pixels = self.model.trace(frames, *at, with_torso=batch.torso_pixels())
        losses = pixel_losses(pixels, batch, config, self.ray_generator)
        if regularise:
            losses |= priors(self.model, self.latents, config)
            losses |= self._shape_prior(frames)
        if self.eye_depth is not None:
            losses["eye_depth"] = EYE_DEPTH_WEIGHT * self._eye_depth_error(self.eye_depth, batch, frames, pixels)
        if config.lip_weight:
            losses["lips"] = config.lip_weight * self._lip_error()
        return losses, frames

    def _eye_depth_error(self, prior: EyeDepth, batch: RayBatch, frames: Frames, pixels: Pixels) -> Tensor:
        """The prior on the depth of the eyes."""
        frame, head = batch.frame, pixels.head[-1]
        with torch.no_grad():
            origins, directions = camera_rays(
                batch.pixels, frames.focal_px[frame], frames.center_px[frame], frames.camera_to_world[frame]
            )
        return prior.loss(origins, directions, head)

    def _shape_prior(self, frames: Frames) -> dict[str, Tensor]:
        """The prior on the sides of the head, under the condition of the batch's first frame."""
        if self.sides is None:
            return {}
        primitives = self.model.head.primitives()
        if primitives is not None:
            return {"sides": SIDES_WEIGHT * self.sides.loss_of_primitives(*primitives)}
        positions = self.sides.draw(self.generator)
        density = self.model.head.density(positions, self.model.condition(frames)[:1].detach())
        return {} if density is None else {"sides": SIDES_WEIGHT * self.sides.loss(positions, density)}

    def _half(self, frames: Tensor) -> Tensor:
        """A random half of ``frames`` [F], bool [F]."""
        return torch.rand(len(frames), generator=self.generator, device=self.device) < 0.5

    def _lip_error(self) -> Tensor:
        """Squared error of the lip coordinates predicted from speech, over random training frames."""
        train = self.batches.train
        chosen = train[torch.randint(len(train), (LIP_WINDOWS,), generator=self.generator, device=self.device)]
        audio = add_audio_noise(self.tracks.windows(chosen), self.config.audio_noise, self.generator)
        return (self.model.audio_embedding(audio) - self.lips[chosen]).square().mean()

    @torch.no_grad()
    def _update_occupancy(self, frames: Frames, step: int) -> None:
        condition = self.model.condition(frames).detach()
        deformation = self.model.deformation(frames, condition)
        self.model.head.update_occupancy(OccupancyUpdate(step, condition, deformation, self.generator))

    def _follow_first(self) -> None:
        """Takes over the primitives of the first rank, which has rearranged them by what its own pictures show."""
        ranks.copy_from_first(tensor for module in self.modules.values() for tensor in module.state_dict().values())
        for values in self.optimiser.state.values():
            ranks.copy_from_first(value for value in values.values() if isinstance(value, Tensor))
        state = self.generator.get_state()
        ranks.copy_from_first([state])
        self.generator.set_state(state)

    @torch.no_grad()
    def evaluate(self, step: int) -> dict[str, float]:
        """PSNR over face and head, on at most 20 held-out frames and 10 training frames."""
        self.ema.eval()
        scores: dict[str, float] = {}

        def with_latents(indices: np.ndarray) -> Frames:
            chosen = torch.from_numpy(indices).to(self.device)
            return self.latents.apply_to(self.frames(chosen), chosen, torch.ones(len(chosen), device=self.device))

        train_frames = with_latents if self.config.latent_width else self.frames
        held_out, train = _evenly_spaced(self.data.held_out, 20), _evenly_spaced(self.data.train, 10)
        for name, indices, frames_of in (("heldout", held_out, self.frames), ("train", train, train_frames)):
            if len(indices):
                face, head = face_and_head_psnr(self.ema, frames_of, self.data, indices)
                scores[f"{name}_face_psnr_db"], scores[f"{name}_head_psnr_db"] = face, head
        return scores

    def preview(self, step: int, folder: Path) -> None:
        """Writes real and rendered frames side by side."""
        self.ema.eval()
        indices = np.concatenate([_evenly_spaced(self.data.train, 2), _evenly_spaced(self.data.held_out, 2)])
        preview_sheet(self.ema, self.frames, self.data, indices, folder / f"{step:06d}.png")

    def extra_state(self) -> dict[str, Tensor]:
        """Nothing: the occupancy grid is among the model's buffers."""
        return {}

    def load_extra_state(self, tensors: dict[str, Tensor]) -> None:
        """Drops recorded CUDA graphs, which write to an optimiser state that is no longer in use."""
        if self.graphs is not None:
            self.graphs.forget()


def _detached(frames: Frames) -> Frames:
    values = {field.name: getattr(frames, field.name) for field in fields(frames)}
    return replace(frames, **{name: value.detach() for name, value in values.items() if value is not None})


def _evenly_spaced(indices: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of ``indices``, evenly spaced."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(int)]
