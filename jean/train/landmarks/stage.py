"""Training the landmark autoencoder: ``jean train-landmarks`` (sections 3.1 and 8.1, Eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jean.clips.corpus import find_clips, people
from jean.drivers.face_frames import FaceFrames, load_frames, split_people
from jean.environment import pick_device
from jean.errors import InputError
from jean.files import check_writable
from jean.losses import landmark_loss
from jean.models.landmark_autoencoder import MOUTH_POINTS, LandmarkAutoencoder, swapped, with_mouth_of
from jean.progress import Progress
from jean.train.engine.epoch_stage import EpochStage
from jean.train.engine.epochs import Epochs, random_at
from jean.train.engine.loop import run
from jean.train.engine.settings import decisive
from jean.train.landmarks.config import LandmarkConfig, resolved


class LandmarkStage(EpochStage):
    """The stage as the loop knows it."""

    name = "landmarks"

    def __init__(self, train: FaceFrames, validation: FaceFrames, config: LandmarkConfig, device: torch.device):
        self.train, self.validation, self.config, self.device = train, validation, config, device
        torch.manual_seed(config.seed)
        self.model = LandmarkAutoencoder(**model_arguments(config)).to(device)
        adam = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        super().__init__(self.model, adam, Epochs(len(train), config.batch, config.seed), config.steps, config.epochs)

    def step(self, step: int) -> dict[str, float]:
        """One step of Adam on Eq. 1 over pairs of frames of one clip each."""
        random = random_at(step, self.config.seed)
        first = self.epochs.at(step)
        second = self.train.others_of_clip(first, random)
        swap = torch.from_numpy(random.random(len(first)) < self.config.swap_probability).to(self.device)
        self.model.train()
        loss = pair_loss(self.model, self.points(self.train, first), self.points(self.train, second), swap)
        return self.descend(loss, step)

    def points(self, frames: FaceFrames, chosen: np.ndarray) -> Tensor:
        """[B, 51, 2] of frames ``chosen`` [B]."""
        return torch.from_numpy(frames.points[chosen]).to(self.device)

    @torch.no_grad()
    def evaluate(self, step: int) -> dict[str, float]:
        """Errors on people that were not trained on, in the units of the points.

        ``swap_mouth_error`` and ``swap_face_error``: mean distance of decoded points when every mouth comes
        from another frame of the clip; ``own_…`` when nothing is swapped; ``mean_…``: of the clip's mean
        face, the rival to beat.
        """
        self.model.eval()
        random = np.random.default_rng(0)
        frames = self.validation
        first = np.arange(len(frames)) if len(frames) <= 4096 else np.sort(random.choice(len(frames), 4096, False))
        a, b = self.points(frames, first), self.points(frames, frames.others_of_clip(first, random))
        means = np.stack([frames.points[f : f + n].mean(0) for f, n in zip(frames.first, frames.count, strict=True)])
        mean = torch.from_numpy(means[frames.clip[first]]).to(self.device)
        face, mouth = self.model.encode(a)
        _, other = self.model.encode(b)
        scores: dict[str, float] = {}
        for name, found, target in (
            ("swap", self.model.decode(face, other), with_mouth_of(a, b)),
            ("own", self.model.decode(face, mouth), a),
            ("mean", mean, a),
        ):
            distance = (found - target).norm(dim=-1)
            scores[f"{name}_mouth_error"] = distance[:, -MOUTH_POINTS:].mean().item()
            scores[f"{name}_face_error"] = distance[:, :-MOUTH_POINTS].mean().item()
        all_swapped = torch.ones(len(first), dtype=torch.bool, device=self.device)
        return {"validation_loss": pair_loss(self.model, a, b, all_swapped).item(), **scores}

    @torch.no_grad()
    def preview(self, step: int, folder: Path) -> None:
        """Pairs of frames and what swapping their mouths gives."""
        from jean.train.landmarks.preview import write_preview

        random = np.random.default_rng(0)
        first = np.linspace(0, len(self.validation) - 1, 6).astype(int)
        a = self.points(self.validation, first)
        b = self.points(self.validation, self.validation.others_of_clip(first, random))
        self.model.eval()
        face, _ = self.model.encode(a)
        _, mouth = self.model.encode(b)
        found = self.model.decode(face, mouth)
        write_preview([v.cpu().numpy() for v in (a, b, with_mouth_of(a, b), found)], folder / f"{step:06d}.png")


def pair_loss(model: LandmarkAutoencoder, a: Tensor, b: Tensor, swap: Tensor) -> Tensor:
    """Eq. 1 of frames ``a`` and ``b`` [B, 51, 2], mouths exchanged where ``swap`` [B] is true."""
    face_a, mouth_a = model.encode(a)
    face_b, mouth_b = model.encode(b)
    mouth_a, mouth_b = swapped(mouth_a, mouth_b, swap)
    target_a = torch.where(swap[:, None, None], with_mouth_of(a, b), a)
    target_b = torch.where(swap[:, None, None], with_mouth_of(b, a), b)
    return landmark_loss(model.decode(face_a, mouth_a), target_a, model.decode(face_b, mouth_b), target_b)


def model_arguments(config: LandmarkConfig) -> dict[str, Any]:
    """The arguments of ``LandmarkAutoencoder``, as stored in every checkpoint."""
    return {"points": 51, "width": config.width, "hidden": list(config.hidden), "separate": config.separate}


def train_landmarks(data: Sequence[Path], output: Path, config: LandmarkConfig, progress: Progress) -> dict[str, Any]:
    """Learns the landmark autoencoder from clips of many people, or goes on where an earlier run stopped.

    Args:
        data: clip folders, or folders of them (``jean.clips.corpus``).
        output: the run folder.
        config: what to train.
        progress: told how far it is.

    Returns:
        The errors of ``LandmarkStage.evaluate``, ``steps``, ``seconds``, and the counts of the data.

    Raises:
        InputError, UsageError: data that cannot be used, see ``find_clips`` and ``split_people``.
        SetupError, ArtefactError, DivergedError, Interrupted: see ``jean.train.engine.loop.run``.
    """
    config = resolved(config)
    check_writable(output)
    clips = find_clips(data, config.table)
    train_clips, validation_clips = split_people(clips, config.validation_share, config.validation, config.seed)
    train, validation = load_frames(train_clips, str(config.form)), load_frames(validation_clips, str(config.form))
    counts = train.counts("train") | validation.counts("validation")
    progress.say(", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items()))
    if set(people(train_clips)) & set(people(validation_clips)):
        progress.warn("one person alone: validation frames are of a person that was trained on.")
    if train.tracker != validation.tracker:
        raise InputError("the clips were tracked by different trackers.", "Prepare them with one command.")
    stage = LandmarkStage(train, validation, config, torch.device(pick_device(config.device)))
    meta = {
        "model": model_arguments(config),
        "form": config.form,
        "tracker": train.tracker,
        "held_out": people(validation_clips),
        **counts,
    }
    compared = decisive(config, clips, "arrays.safetensors")
    return run(stage, output, stage.schedule(previews=True), progress, config=compared, meta=meta) | counts
