"""Training of the landmark autoencoder: ``jean train-landmarks`` (sections 3.1 and 8.1, Eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jean.clips.compatibility import ClipSpec
from jean.clips.corpus import find_clips, people
from jean.clips.meta import ARRAYS_FILE
from jean.drivers.face_frames import FaceFrames, load_frames, split_people
from jean.environment import pick_device
from jean.losses import landmark_loss
from jean.models.landmark_autoencoder import MOUTH_POINTS, LandmarkAutoencoder, swapped, with_mouth_of
from jean.progress import Progress
from jean.train.engine import ranks
from jean.train.engine.epoch_config import VALIDATION_FRACTION, claim_run, fingerprint
from jean.train.engine.epoch_stage import EpochStage, step_generator
from jean.train.engine.loop import run
from jean.train.landmarks.config import LandmarkConfig

_EVALUATED_FRAMES = 4096  # at most, which bounds the time of an evaluation
_PREVIEW_FACES = 6


class LandmarkStage(EpochStage):
    """Trains the landmark autoencoder, one step at a time (Eq. 1).

    Args:
        train: frames to train on.
        validation: frames of other people.
        config: of the stage.
        device: where to train.
    """

    name = "landmarks"

    def __init__(self, train: FaceFrames, validation: FaceFrames, config: LandmarkConfig, device: torch.device):
        self.train, self.validation, self.config, self.device = train, validation, config, device
        torch.manual_seed(config.seed)
        self.model = LandmarkAutoencoder(**model_arguments(config)).to(device)
        adam = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        super().__init__(self.model, adam, len(train), config)

    def step(self, step: int) -> dict[str, float]:
        """Takes one Adam step on Eq. 1 over pairs of frames of the same clip; returns the scalars to log."""
        random = step_generator(step, self.config.seed)
        first = self.epochs.at(step)
        second = self.train.draw_from_same_clip(first, random)
        drawn = random.random(len(first)) < self.config.swap_probability
        first, second = ranks.share(first), ranks.share(second)
        swap = torch.from_numpy(ranks.share(drawn)).to(self.device)
        self.model.train()
        loss = pair_loss(self.model, self.points(self.train, first), self.points(self.train, second), swap)
        return self.descend(loss, step)

    def points(self, frames: FaceFrames, indices: np.ndarray) -> Tensor:
        """Landmarks [B, 51, 2] of frames ``indices`` [B]."""
        return torch.from_numpy(frames.points[indices]).to(self.device)

    @torch.no_grad()
    def evaluate(self, step: int) -> dict[str, float]:
        """Errors on the validation people, in the units of the landmarks.

        Returns:
            ``validation_loss``: Eq. 1 with every mouth swapped.
            ``swap_mouth_error`` and ``swap_face_error``: mean distance between decoded and target landmarks when every
            mouth embedding comes from another frame of the clip.
            ``own_mouth_error`` and ``own_face_error``: the same without swaps.
            ``mean_mouth_error`` and ``mean_face_error``: the baseline, the clip's mean landmarks in place of the
            decoded ones.
        """
        self.model.eval()
        random = np.random.default_rng(0)
        frames = self.validation
        first = np.arange(len(frames))
        if len(frames) > _EVALUATED_FRAMES:
            first = np.sort(random.choice(len(frames), _EVALUATED_FRAMES, False))
        a, b = self.points(frames, first), self.points(frames, frames.draw_from_same_clip(first, random))
        means = np.stack([frames.points[f : f + n].mean(0) for f, n in zip(frames.first, frames.count, strict=True)])
        mean = torch.from_numpy(means[frames.clip[first]]).to(self.device)
        face, mouth = self.model.encode(a)
        _, other_mouth = self.model.encode(b)
        scores: dict[str, float] = {}
        for name, decoded, target in (
            ("swap", self.model.decode(face, other_mouth), with_mouth_of(a, b)),
            ("own", self.model.decode(face, mouth), a),
            ("mean", mean, a),
        ):
            distance = (decoded - target).norm(dim=-1)
            scores[f"{name}_mouth_error"] = distance[:, -MOUTH_POINTS:].mean().item()
            scores[f"{name}_face_error"] = distance[:, :-MOUTH_POINTS].mean().item()
        all_swapped = torch.ones(len(first), dtype=torch.bool, device=self.device)
        return {"validation_loss": pair_loss(self.model, a, b, all_swapped).item(), **scores}

    @torch.no_grad()
    def preview(self, step: int, folder: Path) -> None:
        """Draws validation faces in four rows: A, B, the target (A with B's mouth), and the decoded landmarks."""
        random = np.random.default_rng(0)
        first = np.linspace(0, len(self.validation) - 1, _PREVIEW_FACES).astype(int)
        a = self.points(self.validation, first)
        b = self.points(self.validation, self.validation.draw_from_same_clip(first, random))
        self.model.eval()
        face, _ = self.model.encode(a)
        _, mouth = self.model.encode(b)
        decoded = self.model.decode(face, mouth)
        rows = [faces.cpu().numpy() for faces in (a, b, with_mouth_of(a, b), decoded)]
        write_preview(rows, folder / f"{step:06d}.png")


def pair_loss(model: LandmarkAutoencoder, a: Tensor, b: Tensor, swap: Tensor) -> Tensor:
    """Eq. 1 of a batch of pairs.

    Args:
        model: the landmark autoencoder.
        a, b: landmarks [B, 51, 2] of the two frames of each pair.
        swap: bool [B], the pairs whose mouth embeddings are exchanged. Their targets have the other frame's mouth.
    """
    face_a, mouth_a = model.encode(a)
    face_b, mouth_b = model.encode(b)
    mouth_a, mouth_b = swapped(mouth_a, mouth_b, swap)
    target_a = torch.where(swap[:, None, None], with_mouth_of(a, b), a)
    target_b = torch.where(swap[:, None, None], with_mouth_of(b, a), b)
    return landmark_loss(model.decode(face_a, mouth_a), target_a, model.decode(face_b, mouth_b), target_b)


def model_arguments(config: LandmarkConfig) -> dict[str, Any]:
    """Arguments of ``LandmarkAutoencoder``, stored in every checkpoint."""
    return {"points": 51, "width": config.width, "hidden": list(config.hidden), "separate": config.separate}


def draw_face(points: np.ndarray, side: int = 160) -> np.ndarray:
    """Draws the landmarks of one face as dots, the mouth in red.

    Args:
        points: [P, 2], in inter-ocular distances around zero; the last 20 are the mouth. NaN is not drawn.
        side: of the image, in pixels.

    Returns:
        uint8 RGB [side, side, 3].
    """
    import cv2

    image = np.full((side, side, 3), 255, np.uint8)
    pixels = np.nan_to_num((points * 0.55 + 0.5) * side, nan=-10.0)
    for index, (x, y) in enumerate(np.clip(pixels, -10, 2 * side)):
        mouth = index >= len(points) - MOUTH_POINTS
        colour = (200, 30, 30) if mouth else (30, 30, 90)
        # coordinates and radius in eighths of a pixel (shift 3)
        cv2.circle(image, (int(x * 8), int(y * 8)), 14, colour, -1, cv2.LINE_AA, 3)
    return image


def write_preview(rows: Sequence[np.ndarray], path: Path) -> None:
    """Writes a PNG with one row of faces for each item of ``rows``, landmarks [F, P, 2].

    Raises:
        OSError: the file cannot be written.
    """
    import cv2

    sheet = np.concatenate([np.concatenate([draw_face(face) for face in row], 1) for row in rows], 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), sheet[:, :, ::-1]):
        raise OSError(f"cannot write {path}")


@ranks.joined
def train_landmarks(data: Sequence[Path], output: Path, config: LandmarkConfig, progress: Progress) -> dict[str, Any]:
    """Trains the landmark autoencoder on clips of many people, or resumes an interrupted run.

    Args:
        data: clip folders, or folders of them (``jean.clips.corpus``).
        output: the run folder.
        config: of the stage.
        progress: receives messages, warnings and the progress.

    Returns:
        The errors of ``LandmarkStage.evaluate``, ``steps``, ``seconds``, and the counts of the data.

    Raises:
        InputError, UsageError: unusable data, see ``find_clips`` and ``split_people``.
        SetupError, ArtefactError, DivergedError, Interrupted: see ``jean.train.engine.loop.run``.
    """
    clips = find_clips(data, config.table)
    claim_run(output, clips, data)
    train_clips, validation_clips = split_people(clips, VALIDATION_FRACTION, config.validation, config.seed)
    train = load_frames(train_clips, config.form)
    needs = ClipSpec.of_run({"tracker": train.tracker}, "tracker")
    validation = load_frames(validation_clips, config.form, needs=needs, needed_by="the training data")
    counts = train.counts("train") | validation.counts("validation")
    progress.say(", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items()))
    if set(people(train_clips)) & set(people(validation_clips)):
        progress.warn("there is only one person: the validation frames are of a person in the training set.")
    stage = LandmarkStage(train, validation, config, torch.device(pick_device(config.device)))
    meta = {
        "model": model_arguments(config),
        "form": config.form,
        "tracker": train.tracker,
        "held_out": people(validation_clips),
        **counts,
    }
    compared = fingerprint(config, clips, ARRAYS_FILE)
    return run(stage, output, stage.schedule(previews=True), progress, config=compared, meta=meta) | counts
