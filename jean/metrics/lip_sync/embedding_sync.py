"""The project's own measure of lip sync: the contrastive pair of section 3.1, trained by this program.

It needs no download, only what ``train-landmarks`` and ``train-audio`` made. It is not LSE: another network,
other units, no comparison with published numbers; and a system that was trained against the same pair, as
ours is, has an advantage in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.clip import Clip
from jean.clips.compatibility import ClipSpec
from jean.clips.sources import open_source
from jean.drivers.face_points import face_points
from jean.errors import ArtefactError, SetupError
from jean.metrics.base import Column, FramePair, PairContext, Scores, known_mean
from jean.metrics.lip_sync.metric import sound_digest
from jean.metrics.lip_sync.retrieval import offset_curve

SHIFT = 15  # frames looked at to either side, as for LSE


@dataclass(frozen=True)
class OwnSync:
    """How well a mouth's movement and a sound agree.

    Attributes:
        similarity: mean cosine of mouth and sound at the best shift, −1 to 1.
        confidence: that less the median over all shifts: 0 where sound and lips have nothing to do with each other.
        offset: frames by which the lips come after the sound.
        curve: [31] mean cosine when the lips come −15 … 15 frames after the sound.
    """

    similarity: float
    confidence: float
    offset: int
    curve: np.ndarray


def own_lip_sync(audio: np.ndarray, mouth: np.ndarray, voiced: np.ndarray) -> OwnSync | None:
    """Agreement of audio and mouth embeddings [T, D] of consecutive frames; None for too little speech.

    Args:
        voiced: bool [T], frames in which somebody speaks; others do not count.
    """
    curve = offset_curve(audio, mouth, voiced, SHIFT)[::-1]  # there the sound moves, here the lips
    if not np.isfinite(curve).all():
        return None
    best = int(curve.argmax())
    return OwnSync(float(curve[best]), float(curve[best] - np.median(curve)), best - SHIFT, curve)


class OwnLipSync:
    """The measure for a prepared clip as the result, against the audio source or the clip's own sound."""

    name = "own_sync"
    version = "1"
    role: str | None = None
    needs_partner = False
    rate_hz: float | None = None
    columns = (
        Column("own_sync", "Sync (own pair)", "higher", 3, "jean's own contrastive pair: best cosine less the median."),
        Column("own_sync_cosine", "Cosine (own pair)", "higher", 3, "Cosine of mouth and sound at the best shift."),
        Column("own_sync_offset", "Offset (own pair)", None, 0, "Frames by which the lips come after the sound."),
    )

    def __init__(self, context: PairContext):
        if context.pair is None:
            raise SetupError(
                "the pair of networks is not given.", "Give --landmarks RUN and --audio-encoder RUN, as trained."
            )
        self._context = context
        self._landmarks, self._audio = load_pair(*context.pair)

    @staticmethod
    def facts(context: PairContext) -> dict[str, Any]:
        """The networks' weights and the sounds."""
        if context.pair is None:
            return {}
        landmarks, audio = load_pair(*context.pair)
        sounds = [[sound_digest(sound), sound.start_s] for sound in context.sounds]
        return {"landmarks": landmarks.hash, "audio": audio.hash, "sounds": sounds}

    def update(self, pair: FramePair) -> None:
        """Nothing: the clip's own tracks are read at the end."""

    def result(self) -> Scores:
        """The scores of the whole clip, averaged over sounds."""
        nan = float("nan")
        nothing = {"own_sync": nan, "own_sync_cosine": nan, "own_sync_offset": nan}
        clip = open_source(self._context.result_path).clip
        if clip is None:
            path = self._context.result_path
            why = f"Own pair: needs a prepared clip, whose head pose is known; run: jean prepare {path} -o DIR"
            return Scores(nothing, notes=(why,))
        if not self._context.sounds:
            return Scores(nothing, notes=("Own pair: no sound; give --audio-source.",))
        if clip.differences(ClipSpec.of_run(self._landmarks.meta, "tracker")):
            return Scores(nothing, notes=("Own pair: it was trained on landmarks of another tracker.",))
        found = [each for sound in self._context.sounds if (each := self._score(clip, sound.path, sound.start_s))]
        notes = ["Own pair: jean's own measure, not LSE; compare only figures of the same two networks."]
        if not found:
            return Scores(nothing, notes=(*notes, "Own pair: too little speech (31 frames are the least)."))
        if len(self._context.sounds) > 1:
            notes.append(f"Own pair: the mean over {len(found)} sounds, as for LSE (8.5).")
        values = {
            "own_sync": known_mean(np.array([each.confidence for each in found])),
            "own_sync_cosine": known_mean(np.array([each.similarity for each in found])),
            "own_sync_offset": float(found[0].offset) if len(self._context.sounds) == 1 else nan,
        }
        return Scores(values, notes=tuple(notes))

    def _score(self, clip: Clip, path: Path, start_s: float) -> OwnSync | None:
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
        known = np.isfinite(points[:count]).all((1, 2))
        speaking = voiced(read_audio(sound), first + count, clip.fps)[first:] & known
        with torch.inference_mode():
            mouth = self._landmarks.model.encode(torch.from_numpy(np.nan_to_num(points[:count])))[1]
            audio = self._audio.model(torch.from_numpy(np.ascontiguousarray(windows[:count])))
        return own_lip_sync(audio.numpy(), mouth.numpy(), speaking)

    def _windows(self, clip: Clip | None, sound: Path, fps: float) -> np.ndarray:
        """Audio windows [T, window, D] as the encoder was trained on: a clip's own, else from the sound."""
        from jean.drivers.speech import SpeechInput

        ((extractor, made),) = self._audio.meta["audio"].items()
        needs = ClipSpec.of_run({**self._audio.meta, "fps": fps}, "fps", "audio")
        if clip is not None and not clip.differences(needs):
            return clip.audio_features[extractor]
        return SpeechInput(extractor, made).windows_of_file(sound, fps)


def load_pair(landmarks: Path, audio: Path) -> tuple[Any, Any]:
    """The trained landmark autoencoder and the audio encoder that was trained against it.

    Raises:
        ArtefactError: no such runs, or they do not belong together.
    """
    from jean.models.stored import load_audio_encoder, load_landmark_autoencoder

    lips, sound = load_landmark_autoencoder(landmarks), load_audio_encoder(audio)
    if sound.meta["landmarks"]["hash"] != lips.hash:
        raise ArtefactError(
            f"{audio} was not trained against {landmarks}.", "Give the landmark run that train-audio was given."
        )
    return lips, sound
