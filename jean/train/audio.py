"""Training the audio encoder: ``jean train-audio`` (sections 3.1 and 8.2, Eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from jean.config import StageConfig
from jean.data.corpus import find_clips, people
from jean.data.face_frames import FaceFrames, load_frames, split_people
from jean.environment import pick_device
from jean.errors import ArtefactError, UsageError
from jean.files import check_writable
from jean.losses import contrastive_batch_loss, contrastive_loss
from jean.metrics.retrieval import planted_offset_errors, retrieval_ranks
from jean.models.audio_encoder import AudioEncoder
from jean.models.landmark_autoencoder import LandmarkAutoencoder
from jean.models.stored import load_landmark_autoencoder
from jean.progress import Progress
from jean.train.epochs import Epochs, random_at
from jean.train.loop import Schedule, run


class AudioConfig(StageConfig):
    """Everything that decides an audio encoder; the defaults are the paper's.

    Attributes:
        preset: "paper", or "small" for a few people and minutes of video (``PRESETS``): it chooses the defaults
            of what is None.
        table: see ``LandmarkConfig``.
        audio_features: name of the extractor; None: the clips' first.
        temperature: τ (section 8.2.2: 0.1). Smaller ones look harder at the nearest of the other sounds.
        negatives: other sounds that a mouth is compared with (the paper: one).
        negatives_from: "other-clips" of the same person (the paper); "person": any of the person's sounds at
            least ``apart_s`` away, its own clip's too; "batch": all such sounds that the batch holds, which
            takes no more computing than none.
        apart_s: how far from a mouth's own sound, within one clip, another sound begins.
        audio_noise: spread of the noise on windows while training: a level of each band, of all, of each value.
        dropout: in the encoder while training.
        epochs, batch, learning_rate, last_rate: Adam, decaying exponentially (section 8.2.3).
        steps: instead of epochs, for small data.
        validation_share, validation: see ``LandmarkConfig``; None takes the people that the landmark
            autoencoder was validated on ("the same splits", section 8.2.1).
    """

    preset: Literal["paper", "small"] = "paper"
    table: Path | None = None
    audio_features: str | None = None
    temperature: float | None = Field(None, gt=0)
    negatives: int | None = Field(None, ge=1)
    negatives_from: Literal["other-clips", "person", "batch"] | None = None
    apart_s: float = Field(0.3, ge=0)
    audio_noise: float | None = Field(None, ge=0)
    dropout: float | None = Field(None, ge=0, lt=1)
    epochs: int | None = Field(None, ge=1)
    steps: int | None = Field(None, ge=1)
    batch: int = Field(256, ge=1)  # 8.2.3
    learning_rate: float = Field(1e-3, gt=0)  # 8.2.3
    last_rate: float = Field(5e-6, gt=0)  # 8.2.3
    validation_share: float = Field(9 / 48, gt=0, lt=1)  # 8.2.1
    validation: tuple[str, ...] | None = None


PRESETS: dict[str, dict[str, Any]] = {
    # 8.2.2 and 8.2.3; noise and dropout are not in the paper
    "paper": {
        "epochs": 30,
        "temperature": 0.1,
        "negatives": 1,
        "negatives_from": "other-clips",
        "audio_noise": 0.0,
        "dropout": 0.0,
    },
    "small": {
        "steps": 3000,
        "temperature": 0.03,
        "negatives": 1,
        "negatives_from": "batch",
        "audio_noise": 0.05,
        "dropout": 0.1,
    },
}


def resolved(config: AudioConfig) -> AudioConfig:
    """The configuration with its preset's values where it had None; steps given replace epochs, and epochs steps."""
    values = {key: value for key, value in PRESETS[config.preset].items() if getattr(config, key) is None}
    if config.steps is not None or config.epochs is not None:
        values = {key: value for key, value in values.items() if key not in ("steps", "epochs")}
    if config.steps is not None and config.epochs is not None:
        raise UsageError("--steps and --epochs contradict each other.", "Give one of them.")
    return config.model_copy(update=values)


class AudioStage:
    """The stage as the loop knows it."""

    name = "audio"

    def __init__(
        self,
        train: FaceFrames,
        validation: FaceFrames,
        landmarks: LandmarkAutoencoder,
        config: AudioConfig,
        device: torch.device,
        steps: int | None = None,
    ):
        self.train, self.validation, self.config, self.device = train, validation, config, device
        assert config.temperature is not None  # resolved() saw to it
        self.temperature = config.temperature
        torch.manual_seed(config.seed)
        self.model = AudioEncoder(**model_arguments(train, landmarks.width, config)).to(device)
        self.modules: dict[str, torch.nn.Module] = {"model": self.model}
        adam = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate)
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adam": adam}
        self.generator = torch.Generator().manual_seed(config.seed)
        self.epochs = Epochs(len(train), config.batch, config.seed)
        self.steps = steps or config.steps or (config.epochs or 1) * self.epochs.steps
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
        self.optimisers["adam"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers["adam"].step()
        return {"loss": loss.item(), "epoch": step / self.epochs.steps}

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

    def preview(self, step: int, folder: Path) -> None:
        """No picture: ``jean inspect`` draws the curves."""

    def extra_state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_extra_state(self, tensors: dict[str, Tensor]) -> None:
        """Takes back nothing."""


def audio_scores(frames: FaceFrames, audio: np.ndarray, mouths: np.ndarray, ways: int = 32) -> dict[str, float]:
    """The scores of ``AudioStage.evaluate`` for embeddings [N, D] of both kinds; what cannot be told is left out."""
    assert frames.voiced is not None
    names = people(frames.clips)
    person = np.array([names.index(clip.person) for clip in frames.clips])[frames.clip]
    ranks = retrieval_ranks(audio, mouths, person, frames.clip, frames.frame, frames.voiced, frames.fps, ways)
    scores: dict[str, float] = {}
    if len(ranks):
        scores[f"retrieval_1_of_{ways}"] = float((ranks == 0).mean())
        scores["retrieval_mean_rank"] = float(ranks.mean())
        scores["retrieval_queries"] = float(len(ranks))
    five = retrieval_ranks(audio, mouths, person, frames.clip, frames.frame, frames.voiced, frames.fps, ways, span=5)
    if len(five):
        scores[f"retrieval_of_5_frames_1_of_{ways}"] = float((five == 0).mean())
    errors: list[int] = []
    for first, count in zip(frames.first, frames.count, strict=True):
        part = slice(int(first), int(first + count))
        if np.all(np.diff(frames.frame[part]) == 1):  # a gap would shift what comes after it
            errors += planted_offset_errors(audio[part], mouths[part], frames.voiced[part])
    if errors:
        scores["offset_within_1_frame"] = float((np.abs(errors) <= 1).mean())
        scores["offset_error_frames"] = float(np.abs(errors).mean())
    return scores


@torch.no_grad()
def mouth_embeddings(landmarks: LandmarkAutoencoder, frames: FaceFrames, device: torch.device) -> Tensor:
    """e_m [N, width] of all frames, frozen."""
    parts = np.array_split(frames.points, max(1, len(frames) // 16384))
    return torch.cat([landmarks.encode(torch.from_numpy(part).to(device))[1] for part in parts])


def other_sounds(
    frames: FaceFrames, chosen: np.ndarray, count: int, own_clip: bool, apart_s: float, random: np.random.Generator
) -> np.ndarray:
    """Frames [B, count] of other sounds by the same person, for each of ``chosen`` [B].

    Args:
        frames: the data set.
        own_clip: take frames of the same clip too, at least ``apart_s`` away. A person with one clip alone
            has no others: there it is so in any case.
        random: source of every draw.
    """
    pools = _pools(frames)
    result = np.empty((len(chosen), count), int)
    reach = apart_s * frames.fps
    for row, index in enumerate(chosen):
        begin, end, alone = pools[frames.clip[index]]
        first, size = frames.first[frames.clip[index]], frames.count[frames.clip[index]]
        if own_clip or alone:
            drawn = random.integers(begin, end, (8, count))
            near = (drawn >= first) & (drawn < first + size)
            near &= np.abs(frames.frame[drawn] - frames.frame[index]) < reach
            # the first of eight draws that is far enough; a clip shorter than that keeps the last
            result[row] = drawn[np.where(near.all(0), 7, near.argmin(0)), np.arange(count)]
        else:
            drawn = random.integers(begin, end - size, count)  # the own clip is left out of the range
            result[row] = drawn + np.where(drawn >= first, size, 0)
    return result


def apart(frames: FaceFrames, chosen: np.ndarray, apart_s: float) -> np.ndarray:
    """bool [B, B]: sounds j by the person of mouth i, in another clip or at least ``apart_s`` away."""
    names = people(frames.clips)
    person = np.array([names.index(clip.person) for clip in frames.clips])[frames.clip[chosen]]
    clip, frame = frames.clip[chosen], frames.frame[chosen]
    far = (clip[:, None] != clip) | (np.abs(frame[:, None] - frame) >= max(apart_s * frames.fps, 1))
    return (person[:, None] == person) & far


def _pools(frames: FaceFrames) -> list[tuple[int, int, bool]]:
    """For each clip: first and last frame of its person, and whether it is the person's only clip."""
    found = []
    for clip in frames.clips:
        mine = [i for i, other in enumerate(frames.clips) if other.person == clip.person]
        found.append((int(frames.first[mine[0]]), int(frames.first[mine[-1]] + frames.count[mine[-1]]), len(mine) == 1))
    return found


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
        data: clip folders, or folders of them (``jean.data.corpus``).
        landmarks: what ``train_landmarks`` wrote.
        output: the run folder.
        config: what to train.
        progress: told how far it is.

    Returns:
        The scores of ``AudioStage.evaluate``, ``steps``, ``seconds``, and the counts of the data.

    Raises:
        InputError, UsageError: data that cannot be used, see ``find_clips``, ``load_frames``, ``split_people``.
        ArtefactError: clips of another tracker than the landmark autoencoder's; no such run.
        SetupError, DivergedError, Interrupted: see ``jean.train.loop.run``.
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
        "train_people": len(people(train_clips)),
        "train_clips": len(train_clips),
        "train_frames": len(train),
        "validation_people": len(people(validation_clips)),
        "validation_clips": len(validation_clips),
        "validation_frames": len(validation),
        "validation_voiced": int(np.sum(np.asarray(validation.voiced))),
    }
    progress.say(", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items()))
    if set(people(train_clips)) & set(people(validation_clips)):
        progress.warn("one person alone: validation sound is of a person that was trained on.")
    alone = sum(pool[2] for pool in _pools(train))
    if alone and config.negatives_from == "other-clips":
        progress.warn(f"{alone} people have one clip alone: their other sounds come from the same clip.")
    stage = AudioStage(train, validation, frozen.model, config, torch.device(pick_device(config.device)))
    every = max(1, stage.steps // 10)
    schedule = Schedule(stage.steps, every, every, max(1, stage.steps // 200), 0)
    compared = config.model_dump(mode="json", exclude={"device", "table"}) | {
        "landmarks": frozen.hash,
        "clips": {clip.name: clip.open().meta["files"]["audio_features.safetensors"]["sha256"] for clip in clips},
    }
    meta = {
        "model": model_arguments(train, frozen.model.width, config),
        "audio": {audio: made},
        "landmarks": {"hash": frozen.hash, "form": form, "tracker": frozen.meta["tracker"]},
        "held_out": people(validation_clips),
        **counts,
    }
    return run(stage, output, schedule, progress, config=compared, meta=meta) | counts
