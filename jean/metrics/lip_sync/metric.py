"""LSE-C and LSE-D of a video: crops, sounds and tracks around ``jean.metrics.lip_sync.sync``."""

from __future__ import annotations

from typing import Any

import numpy as np

from jean.clips.sources import open_source
from jean.errors import InputError
from jean.metrics.base import Column, FramePair, PairContext, Scores, Sound
from jean.metrics.crops import face_box
from jean.metrics.lip_sync.crop import TrackCropper, whole_frame
from jean.metrics.lip_sync.sync import FPS, SAMPLES_PER_FRAME, SHORTEST, LipSync, SyncScorer, load_syncnet, to_int16

WEIGHTS = "syncnet_v2.model"
PROTOCOLS = {
    "track": "LSE: protocol track, the tracked, median-filtered and padded crop; boxes from the tracker's landmarks.",
    "frame": "LSE: protocol frame, the whole frame resized to 224 × 224 px.",
}


class LipSyncError:
    """LSE-C, LSE-D and offset against the audio source, or the result's own sound."""

    name = "sync"
    version = "1"
    role: str | None = None
    needs_partner = False
    rate_hz: float | None = FPS
    columns = (
        Column("lse_c", "LSE-C", "higher", 3, "Confidence of SyncNet that lips and sound belong together."),
        Column("lse_d", "LSE-D", "lower", 3, "SyncNet's distance of lips and sound at the best shift."),
        Column("sync_offset", "Sync offset", None, 0, "Frames of 1/25 s by which the lips come after the sound."),
    )

    def __init__(self, context: PairContext):
        from jean.weights import store as weights

        self._context = context
        self._net = load_syncnet(weights.as_safetensors(WEIGHTS), context.device)
        self._sounds = [load_sound(sound) for sound in context.sounds]
        self._cropper = TrackCropper()
        self._scorers: list[SyncScorer] = []
        self._firsts: list[int] = []

    @staticmethod
    def facts(context: PairContext) -> dict[str, Any]:
        """The weights, the protocol and the sounds."""
        from jean.weights import store as weights

        return {
            "weights": weights.digest(weights.find(WEIGHTS)),
            "protocol": context.sync_protocol,
            "tracker": [context.tracker, context.tracker_version],
            "sounds": [[sound_digest(sound), sound.start_s] for sound in context.sounds],
        }

    def update(self, pair: FramePair) -> None:
        """Adds one frame of the result."""
        if not self._sounds:
            return
        if self._context.sync_protocol == "frame":
            if not self._scorers:
                self._begin(0)
            self._scorers[0].add(whole_frame(pair.result.image))
            return
        face = pair.result.face
        left_top_right_bottom = face_box(face.landmarks) if face is not None else None
        self._cropper.add(pair.result.image, left_top_right_bottom)
        self._take()

    def result(self) -> Scores:
        """The mean over tracks by their length, and over sounds."""
        nan = float("nan")
        nothing = {"lse_c": nan, "lse_d": nan, "sync_offset": nan}
        if not self._sounds:
            return Scores(nothing, notes=("LSE: no sound; give --audio-source.",))
        self._cropper.finish()
        self._take()
        notes = [PROTOCOLS[self._context.sync_protocol]]
        tracks: list[list[LipSync]] = []
        for first, scorer in zip(self._firsts, self._scorers, strict=True):
            try:
                tracks.append(scorer.result())
            except InputError as error:
                notes.append(f"LSE: the track from frame {first} on is left out: {error.message}")
        if not tracks:
            why = "no face was found" if not self._scorers else f"no track has {SHORTEST} frames with sound"
            return Scores(nothing, notes=(*notes, f"LSE: {why}."))
        if len(self._scorers) > 1:
            notes.append(f"LSE: {len(self._scorers)} tracks of faces, averaged by their length.")
        if len(self._sounds) > 1:
            notes.append(f"LSE: this system takes no audio, so it is the mean over {len(self._sounds)} sounds (8.5).")
        elif (whose := self._context.sounds[0].whose) != "audio source":
            notes.append(f"LSE: against the {whose}'s own sound.")
        notes += dict.fromkeys(note for track in tracks for found in track for note in found.notes)
        lengths = np.array([len(track[0].frame_confidence) for track in tracks], float)
        share = lengths / lengths.sum()
        best = max(tracks, key=lambda track: len(track[0].frame_confidence))[0]
        values = {
            "lse_c": float(share @ [np.mean([found.confidence for found in track]) for track in tracks]),
            "lse_d": float(share @ [np.mean([found.distance for found in track]) for track in tracks]),
            "sync_offset": float(best.offset) if len(self._sounds) == 1 else nan,
        }
        return Scores(values, {"lse_c": best.frame_confidence}, tuple(notes))

    def _begin(self, first: int) -> None:
        at = first * SAMPLES_PER_FRAME
        self._firsts.append(first)
        self._scorers.append(SyncScorer(self._net, [audio[at:] for audio in self._sounds]))

    def _take(self) -> None:
        """Hands the finished crops to the scorer of their track."""
        for number, track in enumerate(self._cropper.tracks):
            if number == len(self._scorers):
                self._begin(track.first)
            for image in track.crops:
                self._scorers[number].add(image)
            track.crops.clear()


def load_sound(sound: Sound) -> np.ndarray:
    """int16 [S], mono, 16 kHz, from where the result begins.

    Raises:
        InputError: the file has no sound.
    """
    from jean.media import read_audio
    from jean.media.rates import RATE_HZ

    path = open_source(sound.path).sound()
    if path is None:
        raise InputError(f"{sound.path} has no sound.", "Give --audio-source a file with sound.")
    return to_int16(read_audio(path))[round(sound.start_s * RATE_HZ) :]


def sound_digest(sound: Sound) -> str:
    """Hex sha256 of the file that holds the sound."""
    from jean.files import sha256

    return sha256(open_source(sound.path).sound() or sound.path)
