"""Training of the audio encoder: ``jean train-audio`` (sections 3.1 and 8.2, Eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jean.clips.compatibility import ClipSpec
from jean.clips.corpus import find_clips, people
from jean.clips.meta import AUDIO_FILE
from jean.drivers.face_frames import FaceFrames, load_frames, split_people
from jean.environment import pick_device
from jean.losses import contrastive_batch_loss, contrastive_loss
from jean.metrics.lip_sync.retrieval import planted_offset_errors, retrieval_ranks
from jean.models.audio_encoder import AudioEncoder, noisy_windows
from jean.models.landmark_autoencoder import LandmarkAutoencoder
from jean.models.stored import load_landmark_autoencoder
from jean.progress import Progress
from jean.train.audio.config import AudioConfig
from jean.train.audio.negatives import negative_mask, people_with_one_clip, sample_negatives
from jean.train.engine import ranks
from jean.train.engine.epoch_config import VALIDATION_FRACTION, claim_run, fingerprint
from jean.train.engine.epoch_stage import EpochStage, step_generator
from jean.train.engine.loop import run


class AudioStage(EpochStage):
    """Trains the audio encoder against a frozen landmark encoder, one step at a time (Eq. 2).

    Args:
        train: frames to train on, with audio.
        validation: frames of other people, with audio.
        landmarks: the landmark autoencoder, which is not trained.
        config: of the stage.
        device: where to train.
    """

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
        torch.manual_seed(config.seed)
        self.model = AudioEncoder(**model_arguments(train, landmarks.width, config)).to(device)
        adam = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate)
        super().__init__(self.model, adam, len(train), config)
        # e_m of every frame is computed once, because LE is frozen (section 8.2.2).
        self.mouths = mouth_embeddings(landmarks.to(device), train, device)
        self.validation_mouths = mouth_embeddings(landmarks, validation, device)

    def step(self, step: int) -> dict[str, float]:
        """Takes one Adam step on Eq. 2 and returns the scalars to log."""
        config = self.config
        random = step_generator(step, config.seed)
        whole = self.epochs.at(step)
        batch, own_random = ranks.share(whole), step_generator(step, config.seed, own=True)
        for group in self.optimisers["adam"].param_groups:
            group["lr"] = config.learning_rate * (config.last_rate / config.learning_rate) ** (step / self.steps)
        self.model.train()
        mouths = self.mouths[torch.from_numpy(batch).to(self.device)]
        if config.negatives_from == "batch":
            mask = torch.from_numpy(negative_mask(self.train, batch)).to(self.device)
            positive = self.model(self._noisy_audio(batch, own_random))
            loss = contrastive_batch_loss(positive, mouths, mask, config.temperature)
        else:
            own_clip = config.negatives_from == "person"
            sampled = ranks.share(sample_negatives(self.train, whole, config.negatives, own_clip, random))
            noise = random if ranks.is_first() else own_random
            embeddings = self.model(self._noisy_audio(np.concatenate([batch, sampled.reshape(-1)]), noise))
            positive, negatives = embeddings[: len(batch)], embeddings[len(batch) :]
            negatives = negatives.view(len(batch), -1, embeddings.shape[-1])
            loss = contrastive_loss(positive, negatives, mouths, config.temperature)
        return self.descend(loss, step)

    def _noisy_audio(self, indices: np.ndarray, random: np.random.Generator) -> Tensor:
        """Audio windows [B, window, D] of training frames [B], with noise."""

        def normal(shape: torch.Size) -> Tensor:
            return torch.from_numpy(random.standard_normal(shape, np.float32)).to(self.device)

        return noisy_windows(audio_windows(self.train, indices, self.device), self.config.audio_noise, normal)

    @torch.no_grad()
    def embeddings(self, frames: FaceFrames) -> np.ndarray:
        """Audio embeddings e_a of all frames, float32 [N, width]."""
        self.model.eval()
        parts = [
            self.model(audio_windows(frames, part, self.device))
            for part in np.array_split(np.arange(len(frames)), max(1, len(frames) // 4096))
        ]
        return torch.cat(parts).cpu().numpy()

    def evaluate(self, step: int) -> dict[str, float]:
        """Scores how well audio and lips of the validation people match, see ``audio_scores``."""
        return audio_scores(self.validation, self.embeddings(self.validation), self.validation_mouths.cpu().numpy())


def audio_windows(frames: FaceFrames, indices: np.ndarray, device: torch.device) -> Tensor:
    """Audio windows of frames ``indices`` [B], float32 [B, window, D]."""
    assert frames.audio is not None  # load_frames(sound=True)
    return torch.from_numpy(frames.audio.at(indices)).to(device)


@torch.no_grad()
def mouth_embeddings(landmarks: LandmarkAutoencoder, frames: FaceFrames, device: torch.device) -> Tensor:
    """Mouth embeddings e_m [N, width] of all frames, without gradients."""
    embeddings = torch.empty(len(frames), landmarks.width, device=device)
    # filled part by part: joining parts would take twice the memory
    for part in np.array_split(np.arange(len(frames)), max(1, len(frames) // 16384)):
        points = torch.from_numpy(frames.points[part]).to(device)
        embeddings[part[0] : part[-1] + 1] = landmarks.encode(points)[1]
    return embeddings


def audio_scores(frames: FaceFrames, audio: np.ndarray, mouths: np.ndarray, ways: int = 32) -> dict[str, float]:
    """Retrieval and offset scores of audio and mouth embeddings.

    Args:
        frames: the N frames that the embeddings belong to, with audio.
        audio: [N, D], e_a.
        mouths: [N, D], e_m.
        ways: candidates per query.

    Returns:
        A score is missing where the data has no query for it.

        - ``retrieval_1_of_32``: fraction of mouths whose own audio is the nearest of 32 of the same person.
        - ``retrieval_mean_rank``: mean rank of the own audio, from 0.
        - ``retrieval_queries``: number of queries.
        - ``retrieval_of_5_frames_1_of_32``: as the first, for five successive frames (0.2 s), the window of SyncNet.
        - ``offset_within_1_frame``: fraction of clips in which a planted offset is found within one frame.
        - ``offset_error_frames``: mean distance between the planted and the estimated offset.
    """
    assert frames.voiced is not None  # load_frames(sound=True)
    person = frames.person[frames.clip]
    ranks = retrieval_ranks(audio, mouths, person, frames.clip, frames.frame, frames.voiced, frames.fps, ways)
    scores: dict[str, float] = {}
    if len(ranks):
        scores[f"retrieval_1_of_{ways}"] = float((ranks == 0).mean())
        scores["retrieval_mean_rank"] = float(ranks.mean())
        scores["retrieval_queries"] = float(len(ranks))
    ranks = retrieval_ranks(audio, mouths, person, frames.clip, frames.frame, frames.voiced, frames.fps, ways, span=5)
    if len(ranks):
        scores[f"retrieval_of_5_frames_1_of_{ways}"] = float((ranks == 0).mean())
    errors: list[int] = []
    for first, count in zip(frames.first, frames.count, strict=True):
        span = slice(int(first), int(first + count))
        if np.all(np.diff(frames.frame[span]) == 1):  # a missing frame would shift the audio after it
            errors += planted_offset_errors(audio[span], mouths[span], frames.voiced[span])
    if errors:
        scores["offset_within_1_frame"] = float((np.abs(errors) <= 1).mean())
        scores["offset_error_frames"] = float(np.abs(errors).mean())
    return scores


def model_arguments(frames: FaceFrames, width: int, config: AudioConfig) -> dict[str, Any]:
    """Arguments of ``AudioEncoder``, stored in every checkpoint.

    Args:
        frames: the training frames, with audio.
        width: width of e_a, equal to that of e_m.
        config: of the stage.
    """
    assert frames.audio is not None  # load_frames(sound=True)
    window, features = frames.audio.shape[1:]
    return {"features": int(features), "window": int(window), "out": width, "dropout": float(config.dropout)}


@ranks.joined
def train_audio(
    data: Sequence[Path], landmarks: Path, output: Path, config: AudioConfig, progress: Progress
) -> dict[str, Any]:
    """Trains the audio encoder against a frozen landmark encoder, or resumes an interrupted run.

    Args:
        data: clip folders, or folders of them (``jean.clips.corpus``).
        landmarks: run folder of ``train_landmarks``.
        output: the run folder.
        config: of the stage.
        progress: receives messages, warnings and the progress.

    Returns:
        The scores of ``audio_scores`` on the validation people, ``steps``, ``seconds``, and the counts of the data.

    Raises:
        InputError, UsageError: unusable data, see ``find_clips``, ``load_frames`` and ``split_people``.
        ArtefactError: ``landmarks`` is no such run, or the clips come from another tracker than its clips.
        SetupError, DivergedError, Interrupted: see ``jean.train.engine.loop.run``.
    """
    clips = sorted(find_clips(data, config.table), key=lambda clip: (clip.person, clip.name))
    claim_run(output, clips, data, [landmarks])
    frozen = load_landmark_autoencoder(landmarks, progress.warn)
    shared_split = [name for name in frozen.meta["held_out"] if name in people(clips)]
    if config.validation:
        names: Sequence[str] | None = config.validation
    else:  # the landmark autoencoder's split (section 8.2.1), if it leaves somebody to train on
        names = shared_split if shared_split and set(shared_split) < set(people(clips)) else None
    train_clips, validation_clips = split_people(clips, VALIDATION_FRACTION, names, config.seed)
    form = frozen.meta["form"]
    needs = ClipSpec.of_run(frozen.meta, "tracker")
    train = load_frames(
        train_clips, form, config.audio_features, sound=True, needs=needs, needed_by=landmarks, scratch=output
    )
    (features, description), *_ = (train.audio_description or {}).items()
    needs = ClipSpec.of_run({**frozen.meta, "audio": {features: description}}, "tracker", "audio")
    validation = load_frames(
        validation_clips, form, features, sound=True, needs=needs, needed_by="the training data", scratch=output
    )
    if silent := sorted({*train.silent, *validation.silent}):
        progress.warn(f"{len(silent)} of {len(clips)} clips have no sound and are left out, first {silent[0]}.")
    counts = {
        **train.counts("train"),
        **validation.counts("validation"),
        "validation_voiced": int(np.sum(np.asarray(validation.voiced))),
    }
    progress.say(", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items()))
    if set(people(train_clips)) & set(people(validation_clips)):
        progress.warn("there is only one person: the validation audio is of a person in the training set.")
    single = people_with_one_clip(train)
    if single and config.negatives_from == "other-clips":
        progress.warn(f"{single} people have only one clip: their negatives come from that clip.")
    stage = AudioStage(train, validation, frozen.model, config, torch.device(pick_device(config.device)))
    used = dict.fromkeys([*train.clips, *validation.clips])
    compared = fingerprint(config, used, AUDIO_FILE) | {"landmarks": frozen.hash}
    meta = {
        "model": model_arguments(train, frozen.model.width, config),
        "audio": {features: description},
        "landmarks": {"hash": frozen.hash, "form": form, "tracker": frozen.meta["tracker"]},
        "held_out": people(validation_clips),
        "silent_clips": len(silent),
        **counts,
    }
    return run(stage, output, stage.schedule(), progress, config=compared, meta=meta) | counts
