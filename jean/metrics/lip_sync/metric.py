"""The metric ``sync``: LSE-C and LSE-D of a video, averaged over face tracks and sounds."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from jean.errors import InputError
from jean.metrics.base import Column, FramePair, Metric, MetricContext, MetricOptions, Scores
from jean.metrics.crops import face_box
from jean.metrics.lip_sync.crop import TrackCropper, whole_frame
from jean.metrics.lip_sync.sound import load_sound, sound_digest
from jean.metrics.lip_sync.sync import FPS, MIN_FRAMES, SAMPLES_PER_FRAME, LipSync, SyncScorer, load_syncnet

WEIGHTS = "syncnet_v2.model"
PROTOCOL_NOTES = {
    "track": "LSE: protocol track: tracked, median-filtered and padded crop; boxes from the tracker's landmarks.",
    "frame": "LSE: protocol frame: the whole frame resized to 224 × 224 px.",
}


class LipSyncOptions(MetricOptions):
    """How the face is cropped."""

    protocol: Literal["track", "frame"] = Field(
        "track", description="face crop that SyncNet sees: track (tracked and smoothed) or frame (the whole frame)"
    )


class LipSyncError(Metric):
    """LSE-C, LSE-D and offset against the audio source, or against the result's own sound."""

    name = "sync"
    version = "1"
    role = None
    needs_partner = False
    rate_hz = FPS
    uses_torch = True
    Options = LipSyncOptions
    options: LipSyncOptions
    columns = (
        Column("lse_c", "LSE-C", "higher", 3, "SyncNet's confidence that lips and sound belong together."),
        Column("lse_d", "LSE-D", "lower", 3, "SyncNet's distance between lips and sound at the best shift."),
        Column("sync_offset", "Sync offset", None, 0, "Delay of the lips against the sound, in frames of 1/25 s."),
    )

    def __init__(self, context: MetricContext, options: LipSyncOptions | None = None):
        from jean.weights import store as weights

        super().__init__(context, options)
        self._net = load_syncnet(weights.as_safetensors(WEIGHTS), context.device)
        self._sounds = [load_sound(sound) for sound in context.sounds]
        self._cropper = TrackCropper()
        self._scorers: list[SyncScorer] = []
        self._first_frames: list[int] = []  # of each scorer's track

    @classmethod
    def facts(cls, context: MetricContext, options: LipSyncOptions) -> dict[str, Any]:
        """Weights, protocol, tracker and sounds."""
        from jean.weights import store as weights

        return {
            "weights": weights.digest(weights.find(WEIGHTS)),
            "protocol": options.protocol,
            "tracker": [context.tracker, context.tracker_version],
            "sounds": [[sound_digest(sound), sound.start_s] for sound in context.sounds],
        }

    def update(self, pair: FramePair) -> None:
        """Adds one frame of the result."""
        if not self._sounds:
            return
        if self.options.protocol == "frame":
            if not self._scorers:
                self._add_scorer(0)
            self._scorers[0].add(whole_frame(pair.result.image))
            return
        face = pair.result.face
        self._cropper.add(pair.result.image, None if face is None else face_box(face.landmarks))
        self._score_crops()

    def result(self) -> Scores:
        """The mean over tracks, weighted by their length, and over sounds."""
        nan = float("nan")
        unknown = {"lse_c": nan, "lse_d": nan, "sync_offset": nan}
        if not self._sounds:
            return Scores(unknown, notes=("LSE: no sound; give --audio-source.",))
        self._cropper.finish()
        self._score_crops()
        notes = [PROTOCOL_NOTES[self.options.protocol]]
        tracks: list[list[LipSync]] = []
        for first, scorer in zip(self._first_frames, self._scorers, strict=True):
            try:
                tracks.append(scorer.result())
            except InputError as error:
                notes.append(f"LSE: the track from frame {first} on is left out: {error.message}")
        if not tracks:
            reason = "no face was found" if not self._scorers else f"no track has {MIN_FRAMES} frames with sound"
            return Scores(unknown, notes=(*notes, f"LSE: {reason}."))
        if len(self._scorers) > 1:
            notes.append(f"LSE: {len(self._scorers)} face tracks, averaged by length.")
        if len(self._sounds) > 1:
            notes.append(f"LSE: mean over {len(self._sounds)} sounds, as this system takes no audio (section 8.5).")
        elif (owner := self.context.sounds[0].owner) != "audio source":
            notes.append(f"LSE: against the {owner}'s own sound.")
        notes += dict.fromkeys(note for track in tracks for score in track for note in score.notes)
        lengths = np.array([len(track[0].frame_confidence) for track in tracks], float)
        weights = lengths / lengths.sum()
        longest = max(tracks, key=lambda track: len(track[0].frame_confidence))[0]
        values = {
            "lse_c": float(weights @ [np.mean([score.confidence for score in track]) for track in tracks]),
            "lse_d": float(weights @ [np.mean([score.distance for score in track]) for track in tracks]),
            "sync_offset": float(longest.offset) if len(self._sounds) == 1 else nan,
        }
        return Scores(values, {"lse_c": longest.frame_confidence}, tuple(notes))

    def _add_scorer(self, first_frame: int) -> None:
        start = first_frame * SAMPLES_PER_FRAME
        self._first_frames.append(first_frame)
        self._scorers.append(SyncScorer(self._net, [audio[start:] for audio in self._sounds]))

    def _score_crops(self) -> None:
        """Passes finished crops to the scorer of their track."""
        for number, track in enumerate(self._cropper.tracks):
            if number == len(self._scorers):
                self._add_scorer(track.first)
            for image in track.crops:
                self._scorers[number].add(image)
            track.crops.clear()
