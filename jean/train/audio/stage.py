"""Training the audio encoder: ``jean train-audio`` (sections 3.1 and 8.2, Eq. 2)."""

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
from jean.errors import ArtefactError
from jean.files import check_writable
from jean.losses import contrastive_batch_loss, contrastive_loss
from jean.models.audio_encoder import AudioEncoder
from jean.models.landmark_autoencoder import LandmarkAutoencoder
from jean.models.stored import load_landmark_autoencoder
from jean.progress import Progress
from jean.train.audio.config import AudioConfig, resolved
from jean.train.audio.negatives import apart, other_sounds, without_other_clip
from jean.train.audio.scores import audio_scores
from jean.train.engine.epoch_stage import EpochStage
from jean.train.engine.epochs import Epochs, random_at
from jean.train.engine.loop import run
from jean.train.engine.settings import decisive


class AudioStage(EpochStage):
    """The stage as the loop knows it."""

    name = "audio"

    def __init__(
        self,
        train: FaceFrames,
        validation: FaceFrames,
        landmarks: LandmarkAutoencoder,
        config: AudioConfig,
        device: torch.device,
    ):
        self.train, self.validation, self.config, self.device = train, validation, config, device
        assert config.temperature is not None  # resolved() saw to it
        self.temperature = config.temperature
        torch.manual_seed(config.seed)
        self.model = AudioEncoder(**model_arguments(train, landmarks.width, config)).to(device)
        adam = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate)
        super().__init__(self.model, adam, Epochs(len(train), config.batch, config.seed), config.steps, config.epochs)
        # e_m of every frame, once: LE is frozen (section 8.2.2)
        self.mouths = mouth_embeddings(landmarks.to(device), train, device)
        self.validation_mouths = mouth_embeddings(landmarks, validation, device)

    def step(self, step: int) -> dict[str, float]:
        """One step of Adam on Eq. 2."""
        config = self.config
        random = random_at(step, config.seed)
        chosen = self.epochs.at(step)
        for group in self.optimisers["adam"].param_groups:
            group["lr"] = config.learning_rate * (config.last_rate / config.learning_rate) ** (step / self.steps)
        self.model.train()
        mouths = self.mouths[torch.from_numpy(chosen).to(self.device)]
        if config.negatives_from == "batch":
            rivals = torch.from_numpy(apart(self.train, chosen, config.apart_s)).to(self.device)
            positive = self.model(self._noisy(self._sound(self.train, chosen), random))
            loss = contrastive_batch_loss(positive, mouths, rivals, self.temperature)
        else:
            own_clip = config.negatives_from == "person"
            others = other_sounds(self.train, chosen, config.negatives or 1, own_clip, config.apart_s, random)
            flat = np.concatenate([chosen, others.reshape(-1)])
            embeddings = self.model(self._noisy(self._sound(self.train, flat), random))
            positive, negatives = embeddings[: len(chosen)], embeddings[len(chosen) :]
            negatives = negatives.view(len(chosen), -1, embeddings.shape[-1])
            loss = contrastive_loss(positive, negatives, mouths, self.temperature)
        return self.descend(loss, step)

    def _sound(self, frames: FaceFrames, chosen: np.ndarray) -> Tensor:
        assert frames.audio is not None
        return torch.from_numpy(frames.audio[chosen]).float().to(self.device)

    def _noisy(self, audio: Tensor, random: np.random.Generator) -> Tensor:
        # a band's level, the whole level, and every value: other microphones, voices, rooms
        if self.config.audio_noise:
            for part in (audio[:, :1, :1], audio[:, :1], audio):
                noise = torch.from_numpy(random.standard_normal(part.shape, np.float32)).to(self.device)
                audio = audio + self.config.audio_noise * noise
        return audio

    @torch.no_grad()
    def embeddings(self, frames: FaceFrames) -> np.ndarray:
        """e_a [N, width] of all frames."""
        self.model.eval()
        parts = [
            self.model(self._sound(frames, part))
            for part in np.array_split(np.arange(len(frames)), max(1, len(frames) // 4096))
        ]
        return torch.cat(parts).cpu().numpy()

    def evaluate(self, step: int) -> dict[str, float]:
        """How well sound and lips of people that were not trained on find each other.

        ``retrieval_1_of_32``: share of mouths whose own sound is the nearest of 32 of the same person;
        ``retrieval_mean_rank``: its mean place, from 0; ``retrieval_of_5_frames_…``: the same for five frames
        in a row (0.2 s), which is what SyncNet looks at; ``offset_within_1_frame``: share of clips with a
        planted shift whose shift is found within a frame; ``offset_error_frames``: mean distance from it.
        """
        return audio_scores(self.validation, self.embeddings(self.validation), self.validation_mouths.cpu().numpy())


@torch.no_grad()
def mouth_embeddings(landmarks: LandmarkAutoencoder, frames: FaceFrames, device: torch.device) -> Tensor:
    """e_m [N, width] of all frames, frozen."""
    parts = np.array_split(frames.points, max(1, len(frames) // 16384))
    return torch.cat([landmarks.encode(torch.from_numpy(part).to(device))[1] for part in parts])


def model_arguments(frames: FaceFrames, width: int, config: AudioConfig) -> dict[str, Any]:
    """The arguments of ``AudioEncoder``, as stored in every checkpoint."""
    assert frames.audio is not None
    window, features = frames.audio.shape[1:]
    return {"features": int(features), "window": int(window), "out": width, "dropout": float(config.dropout or 0.0)}


def train_audio(
    data: Sequence[Path], landmarks: Path, output: Path, config: AudioConfig, progress: Progress
) -> dict[str, Any]:
    """Learns the audio encoder against a frozen landmark encoder, or goes on where an earlier run stopped.

    Args:
        data: clip folders, or folders of them (``jean.clips.corpus``).
        landmarks: what ``train_landmarks`` wrote.
        output: the run folder.
        config: what to train.
        progress: told how far it is.

    Returns:
        The scores of ``AudioStage.evaluate``, ``steps``, ``seconds``, and the counts of the data.

    Raises:
        InputError, UsageError: data that cannot be used, see ``find_clips``, ``load_frames``, ``split_people``.
        ArtefactError: clips of another tracker than the landmark autoencoder's; no such run.
        SetupError, DivergedError, Interrupted: see ``jean.train.engine.loop.run``.
    """
    config = resolved(config)
    check_writable(output)
    frozen = load_landmark_autoencoder(landmarks, progress.warn)
    clips = sorted(find_clips(data, config.table), key=lambda clip: (clip.person, clip.name))
    known = [name for name in frozen.meta["held_out"] if name in people(clips)]
    same = known if known and set(known) < set(people(clips)) else None
    names = config.validation or same
    train_clips, validation_clips = split_people(clips, config.validation_share, names, config.seed)
    form, audio = frozen.meta["form"], config.audio_features
    train = load_frames(train_clips, form, audio, sound=True)
    (audio, made), *_ = (train.audio_made or {}).items()
    validation = load_frames(validation_clips, form, audio, sound=True)
    for frames in (train, validation):
        if frames.tracker != frozen.meta["tracker"]:
            raise ArtefactError(
                f"the clips were tracked by {frames.tracker['name']} {frames.tracker['version']}, the landmark "
                f"autoencoder is for {frozen.meta['tracker']['name']} {frozen.meta['tracker']['version']}.",
                "Prepare the clips with that tracker, or train the landmark autoencoder on these clips.",
            )
    counts = {
        **train.counts("train"),
        **validation.counts("validation"),
        "validation_voiced": int(np.sum(np.asarray(validation.voiced))),
    }
    progress.say(", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items()))
    if set(people(train_clips)) & set(people(validation_clips)):
        progress.warn("one person alone: validation sound is of a person that was trained on.")
    alone = without_other_clip(train)
    if alone and config.negatives_from == "other-clips":
        progress.warn(f"{alone} people have one clip alone: their other sounds come from the same clip.")
    stage = AudioStage(train, validation, frozen.model, config, torch.device(pick_device(config.device)))
    compared = decisive(config, clips, "audio_features.safetensors") | {"landmarks": frozen.hash}
    meta = {
        "model": model_arguments(train, frozen.model.width, config),
        "audio": {audio: made},
        "landmarks": {"hash": frozen.hash, "form": form, "tracker": frozen.meta["tracker"]},
        "held_out": people(validation_clips),
        **counts,
    }
    return run(stage, output, stage.schedule(), progress, config=compared, meta=meta) | counts
