"""Lip sync by the project's own embeddings: the contrastive networks of section 3.1.

The metric needs no download, only a run of ``train-landmarks`` and one of ``train-audio``. It is not LSE: the networks
and units differ, so its numbers cannot be compared with published ones. A system trained with the same audio encoder
has an advantage.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from jean.clips.clip import Clip
from jean.clips.compatibility import ClipSpec
from jean.clips.sources import open_source
from jean.drivers.face_points import face_points
from jean.errors import ArtefactError
from jean.metrics.base import Column, FramePair, Metric, MetricContext, MetricOptions, Scores, finite_mean
from jean.metrics.lip_sync.retrieval import offset_curve
from jean.metrics.lip_sync.sound import sound_digest

MAX_SHIFT = 15  # frames, as for LSE


@dataclass(frozen=True)
class EmbeddingAgreement:
    """How well mouth movement and sound agree.

    Attributes:
        similarity: mean cosine of mouth and audio embeddings at the best shift, −1 to 1.
        confidence: similarity minus the median over all shifts; about 0 if sound and lips are unrelated.
        offset: delay of the lips against the sound, in frames.
        curve: mean cosine for lips delayed by −15 … 15 frames, [31].
    """

    similarity: float
    confidence: float
    offset: int
    curve: np.ndarray


def embedding_agreement(audio: np.ndarray, mouth: np.ndarray, voiced: np.ndarray) -> EmbeddingAgreement | None:
    """Compares audio and mouth embeddings of consecutive frames at shifts of up to 15 frames.

    Args:
        audio, mouth: embeddings [T, D].
        voiced: frames with speech, bool [T]; other frames do not count.

    Returns:
        None if there is too little speech: fewer than 31 frames, or none of them voiced.
    """
    curve = offset_curve(audio, mouth, voiced, MAX_SHIFT)[::-1]  # ``offset_curve`` delays the sound, this the lips
    if not np.isfinite(curve).all():
        return None
    best = int(curve.argmax())
    return EmbeddingAgreement(float(curve[best]), float(curve[best] - np.median(curve)), best - MAX_SHIFT, curve)


class EmbeddingSyncOptions(MetricOptions):
    """The two networks."""

    landmarks: Path = Field(description="run folder of train-landmarks")
    audio_encoder: Path = Field(description="run folder of train-audio, trained with that landmark run")


class EmbeddingSync(Metric):
    """Agreement of a prepared clip's mouth with the audio source, or with the clip's own sound."""

    name = "own_sync"
    version = "1"
    role = None
    needs_partner = False
    Options = EmbeddingSyncOptions
    options: EmbeddingSyncOptions
    columns = (
        Column("own_sync", "Sync (own pair)", "higher", 3, "jean's own networks: best cosine minus the median."),
        Column("own_sync_cosine", "Cosine (own pair)", "higher", 3, "Cosine of mouth and sound at the best shift."),
        Column("own_sync_offset", "Offset (own pair)", None, 0, "Delay of the lips against the sound, in frames."),
    )

    def __init__(self, context: MetricContext, options: EmbeddingSyncOptions):
        super().__init__(context, options)
        self._landmarks, self._audio = load_networks(options.landmarks, options.audio_encoder)

    @classmethod
    def facts(cls, context: MetricContext, options: EmbeddingSyncOptions) -> dict[str, Any]:
        """Hashes of both networks and of the sounds."""
        landmarks, audio = load_networks(options.landmarks, options.audio_encoder)
        sounds = [[sound_digest(sound), sound.start_s] for sound in context.sounds]
        return {"landmarks": landmarks.hash, "audio": audio.hash, "sounds": sounds}

    def update(self, pair: FramePair) -> None:
        """Does nothing: ``result`` reads the tracks stored in the clip."""

    def result(self) -> Scores:
        """The scores of the whole clip, averaged over the sounds."""
        nan = float("nan")
        unknown = {"own_sync": nan, "own_sync_cosine": nan, "own_sync_offset": nan}
        sounds = self.context.sounds
        clip = open_source(self.context.result_path).clip
        if clip is None:
            path = self.context.result_path
            note = f"Own pair: needs a prepared clip, whose head pose is known; run: jean prepare {path} -o DIR"
            return Scores(unknown, notes=(note,))
        if not sounds:
            return Scores(unknown, notes=("Own pair: no sound; give --audio-source.",))
        if clip.differences(ClipSpec.of_run(self._landmarks.meta, "tracker")):
            return Scores(unknown, notes=("Own pair: the networks were trained on landmarks of another tracker.",))
        scores = [score for sound in sounds if (score := self._score(clip, sound.path, sound.start_s))]
        notes = ["Own pair: not LSE; compare only numbers of the same two networks."]
        if not scores:
            return Scores(unknown, notes=(*notes, "Own pair: too little speech (at least 31 frames)."))
        if len(sounds) > 1:
            notes.append(f"Own pair: mean over {len(scores)} sounds, as for LSE (section 8.5).")
        values = {
            "own_sync": finite_mean(np.array([score.confidence for score in scores])),
            "own_sync_cosine": finite_mean(np.array([score.similarity for score in scores])),
            "own_sync_offset": float(scores[0].offset) if len(sounds) == 1 else nan,
        }
        return Scores(values, notes=tuple(notes))

    def _score(self, clip: Clip, path: Path, start_s: float) -> EmbeddingAgreement | None:
        """The agreement with the sound of ``path`` from ``start_s`` on; None if there is too little of it."""
        import torch

        from jean.drivers.voice import voiced
        from jean.media import read_audio

        source = open_source(path)
        sound = source.sound()
        if sound is None:
            return None
        points = face_points(clip, self._landmarks.meta["form"])
        first = round(start_s * clip.fps)
        windows = self._windows(source.clip, sound, clip.fps)[first:]
        count = min(len(points), len(windows))
        tracked = np.isfinite(points[:count]).all((1, 2))
        counted = voiced(read_audio(sound), first + count, clip.fps)[first:] & tracked
        with torch.inference_mode():
            mouth = self._landmarks.model.encode(torch.from_numpy(np.nan_to_num(points[:count])))[1]
            audio = self._audio.model(torch.from_numpy(np.ascontiguousarray(windows[:count])))
        return embedding_agreement(audio.numpy(), mouth.numpy(), counted)

    def _windows(self, clip: Clip | None, sound: Path, fps: float) -> np.ndarray:
        """Input of the audio encoder [T, window, D]: stored in the clip, or computed from the sound."""
        from jean.drivers.speech import SpeechInput

        ((extractor, made),) = self._audio.meta["audio"].items()
        needs = ClipSpec.of_run({**self._audio.meta, "fps": fps}, "fps", "audio")
        if clip is not None and not clip.differences(needs):
            return clip.audio_windows(extractor)
        return SpeechInput(extractor, made).windows_of_file(sound, fps)


def load_networks(landmarks: Path, audio: Path) -> tuple[Any, Any]:
    """Loads the landmark autoencoder and the audio encoder that was trained with it.

    Raises:
        ArtefactError: a run is missing, or the audio encoder was trained with another landmark run.
    """
    from jean.models.stored import load_audio_encoder, load_landmark_autoencoder

    autoencoder, encoder = load_landmark_autoencoder(landmarks), load_audio_encoder(audio)
    if encoder.meta["landmarks"]["hash"] != autoencoder.hash:
        raise ArtefactError(
            f"{audio} was not trained with {landmarks}.", "Give the landmark run that train-audio used."
        )
    return autoencoder, encoder
