"""Prepares one video: from a file to a clip folder, step by step.

inspect some frames → track faces → choose the person and the crop → cut the frames → fit the head → collect the arrays
→ mattes → background → emotion features → sound → audio features → ``clip.json``.

Each step is stored under a key of everything that decides its result (``jean.preparation.store``). So the same options
do nothing, a changed option repeats only the steps that depend on it, and an interrupted preparation continues after
its last finished step.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips import mead
from jean.clips.meta import (
    ARRAYS_FILE,
    AUDIO_FILE,
    BACKGROUND,
    EMOTION_FILE,
    FORMAT,
    FRAMES,
    MATTE,
    META,
    SOUND,
    AudioSpec,
    Crop,
    EmotionSpec,
    ExtractorSpec,
    FileFacts,
    MatteFacts,
)
from jean.clips.writer import ClipWriter, audio_spec, emotion_spec
from jean.errors import InputError
from jean.features.base import Matting
from jean.files import sha256
from jean.lips.prior import BUILTIN
from jean.lips.sync import TRUSTED_S
from jean.preparation import steps
from jean.preparation.config import PrepareConfig
from jean.preparation.crop import centre_crop
from jean.preparation.extractors import FALLBACK, PERSON_WEIGHTS, Extractors
from jean.preparation.matte_quality import matte_warnings
from jean.preparation.store import Step, StepStore
from jean.preparation.sync_check import measure_sync, sync_warnings
from jean.preparation.tracking.tracks import Tracks
from jean.preparation.video_check import choice_warnings
from jean.progress import Progress

NO_SOUND = "the video has no sound."  # or only digital silence
VERSION = 1  # of the steps; raised when the same input gives another clip


class VideoPreparation:
    """The preparation of one video.

    Args:
        video: the file.
        digest: hex sha256 of the file.
        folder: the clip folder, locked by the caller.
        config: what to do.
        options: the options that ``clip.json`` records.
        extractors: those that ``config`` names.
        progress: receives progress and warnings.

    Raises:
        InputError: the file is not a video.
        SetupError: a package or weights are missing. This is found out before any work.
    """

    def __init__(
        self,
        video: Path,
        digest: str,
        folder: Path,
        config: PrepareConfig,
        options: dict[str, Any],
        extractors: Extractors,
        progress: Progress,
    ):
        from jean.media import probe

        self.video, self.digest, self.folder, self.progress = video, digest, folder, progress
        self.config, self.options = config, options
        info = probe(video, progress.warn, config.fps)
        if config.rotate in (90, 270):
            info = replace(info, width_px=info.height_px, height_px=info.width_px)
        self.info = info
        self.sound_source = video if info.audio_duration_s > 0 else mead.sound(video)
        if config.need_sound and self.sound_source is None:
            raise InputError(NO_SOUND)
        self.size_px = config.size if config.size != "auto" else (512 if extractors.device == "cuda" else 256)
        self.tracker = extractors.tracker(video)
        self.matting, self.emotion, self.audio = extractors.matting, extractors.emotion, extractors.audio
        self.store = StepStore(folder, on_change=lambda: (folder / META).unlink(missing_ok=True))
        self.source = {"version": VERSION, "sha256": digest, "fps": config.fps}
        self.source |= {"rotate": config.rotate} if config.rotate else {}

    def run(self) -> list[Step]:
        """Runs every step that is not finished, and writes ``clip.json``.

        Returns:
            All steps, including those that were finished before.

        Raises:
            InputError: the video cannot be used.
        """
        inspected = self._inspect()
        tracked = self._track()
        tracks = Tracks.open(tracked.folder, tracked.info)
        choice = self._choose(tracked, tracks)
        chosen = np.fromfile(choice.folder / steps.CHOSEN, np.int32)
        self._require_valid(choice.info["valid"], len(chosen))
        crop = Crop(**choice.info["crop"])
        if self.config.crop == "centre":
            crop = centre_crop(tracks.width_px, tracks.height_px)
        self._warn(choice_warnings(choice.info, tracks, chosen, crop))
        cut = self._cut(crop, len(chosen))
        frames = self._map(FRAMES, len(chosen), 3)
        fitted = self._fit(choice, cut, tracks, chosen, crop, frames)
        collected = self.store.run(
            "arrays",
            {"head": fitted.key},
            lambda out: steps.collect_arrays(
                out, fitted.folder / steps.HEAD, tracks, chosen, crop, self.size_px, self.tracker
            ),
            publish=[ARRAYS_FILE],
        )
        landmarks = crop.points(tracks.values("landmarks", chosen), self.size_px)
        mattes: dict[str, float] | None = None
        if self.matting is not None:
            mattes = self._matte(self.matting, choice, cut, frames, landmarks)
        emotion = self._emotion_features(choice, cut, frames, landmarks)
        audio = self._sound(len(chosen))
        sync = self._sync(choice, landmarks) if audio else None
        self.store.remove_others()
        if self.config.tracks_only:  # the fit and the emotion features needed the frames
            self._drop_pictures()
        self._finish(
            frames=len(chosen),
            crop=crop,
            camera=fitted.info["camera"],
            expression=collected.info["expression"],
            audio=audio,
            emotion=emotion or None,
            look=inspected.info["look"],
            mattes=mattes,
            sync=sync,
            fit=fitted.info["report"],
            **{name: choice.info[name] for name in ("valid", "no_face", "several_faces")},
        )
        return self.store.steps

    def _require_valid(self, valid: int, total: int) -> None:
        """Refuses a video that shows the person too rarely.

        Raises:
            InputError: the face is missing in too many frames.
        """
        if valid < self.config.min_valid * total:
            raise InputError(
                f"the face is found in only {valid} of {total} frames ({valid / total:.0%}).",
                "Give a video that shows it throughout, or accept this one: --set min_valid=FRACTION.",
            )

    def _inspect(self) -> Step:
        step = self.store.run(
            "inspect",
            {**self.source, **self._tracker_facts(), "face": self.config.face},
            lambda _: steps.inspect_video(self.video, self.info, self.config, self.tracker),
        )
        self._warn(step.info["warnings"])
        return step

    def _track(self) -> Step:
        from jean.media import count_frames

        total = count_frames(self.info.duration_s, self.config.fps)
        return self.store.run(
            "track",
            {**self.source, **self._tracker_facts()},
            lambda out: steps.track_faces(out, self.video, self.config, self.tracker, total, self.progress),
        )

    def _choose(self, tracked: Step, tracks: Tracks) -> Step:
        return self.store.run(
            "choose",
            {"track": tracked.key, "face": self.config.face},
            lambda out: steps.choose_face(out, tracks, self.config.fps, self.config.face),
        )

    def _cut(self, crop: Crop, count: int) -> Step:
        return self.store.run(
            "crop",
            {**self.source, "crop": crop.to_json(), "size": self.size_px, "frames": count},
            lambda out: steps.crop_frames(out, self.video, self.config, crop, self.size_px, count, self.progress),
            publish=[FRAMES],
        )

    def _fit(self, choice: Step, cut: Step, tracks: Tracks, chosen: np.ndarray, crop: Crop, frames: np.ndarray) -> Step:
        config = self.config
        self.progress.say("fitting the camera")
        return self.store.run(
            "head",
            {"crop": cut.key, "choose": choice.key, "size": self.size_px, "seed": config.seed, "refine": config.refine},
            lambda out: steps.fit_head(out, tracks, chosen, crop, frames, config, self.tracker, self.progress),
        )

    def _matte(
        self, matting: Matting, choice: Step, cut: Step, frames: np.ndarray, landmarks: np.ndarray
    ) -> dict[str, float]:
        """Mattes, and the background that follows from them; returns the quality of the mattes."""
        if self.config.matting == "auto" and matting.name == FALLBACK:
            self.progress.say(f"matting: {FALLBACK}. Better separated: jean models pull {PERSON_WEIGHTS}")
        facts = {"matting": matting.name, "matting_version": matting.version, "quality": 1}
        matted = self.store.run(
            "matte",
            {"crop": cut.key, "choose": choice.key, **facts},
            lambda out: steps.matte_frames(out, frames, landmarks, matting, self.progress),
            publish=[MATTE],
        )
        mattes = self._map(MATTE, len(frames), 2)
        self.store.run(
            "background",
            {"matte": matted.key},
            lambda out: steps.write_background(out, frames, mattes),
            publish=[BACKGROUND],
        )
        facts_of_mattes: dict[str, float] = matted.info["mattes"]
        self._warn(matte_warnings(MatteFacts(**facts_of_mattes)))
        return facts_of_mattes

    def _emotion_features(
        self, choice: Step, cut: Step, frames: np.ndarray, landmarks: np.ndarray
    ) -> dict[str, EmotionSpec]:
        """Emotion features of the requested extractors; returns their specifications."""
        specs = {extractor.name: emotion_spec(extractor) for extractor in self.emotion}
        if not specs:
            self.store.drop("emotion_features", EMOTION_FILE)
            return specs
        self.store.run(
            "emotion_features",
            {"crop": cut.key, "choose": choice.key, "emotion": {name: spec.to_json() for name, spec in specs.items()}},
            lambda out: steps.extract_emotion_features(out, frames, landmarks, self.emotion, self.progress),
            publish=[EMOTION_FILE],
        )
        return specs

    def _sound(self, frame_count: int) -> dict[str, AudioSpec] | None:
        """The sound and its features; returns the specifications of the features, None without sound.

        A silent video in MEAD's layout takes the sound file that belongs to it.
        """
        source = self.sound_source
        digest = self.digest
        if source not in (self.video, None):
            self.progress.say(f"{self.video.name}: the sound comes from {source}")
            digest = sha256(Path(str(source)))
        late_s = self.config.sound_offset
        sound = self.store.run(
            "sound",
            {"version": VERSION, "sha256": digest} | ({"late_s": late_s} if late_s else {}),
            lambda out: steps.extract_sound(out, source, late_s, self.progress),
            publish=[SOUND],
        )
        if self.config.need_sound and not sound.info.get("peak", 1.0):
            raise InputError(NO_SOUND)
        if not sound.info["samples"]:
            self.store.drop("audio_features", AUDIO_FILE)
            return None
        specs = {extractor.name: audio_spec(extractor) for extractor in self.audio}
        facts = {name: spec.to_json() for name, spec in specs.items()}
        self.store.run(
            "audio_features",
            {"sound": sound.key, "fps": self.config.fps, "frames": frame_count, "audio": facts, "format": FORMAT},
            lambda out: steps.extract_audio_features(
                out, self.folder / SOUND, self.audio, frame_count, self.config.fps, self.progress
            ),
            publish=[AUDIO_FILE],
        )
        return specs

    def _sync(self, choice: Step, landmarks: np.ndarray) -> dict[str, float] | None:
        """How sound and lips go together, with a warning where they do not."""
        times_s = np.arange(len(landmarks)) / self.config.fps
        sound = next(step for step in self.store.steps if step.name == "sound")
        step = self.store.run(
            "sync",
            {
                "sound": sound.key,
                "choose": choice.key,
                "fps": self.config.fps,
                "prior": sha256(BUILTIN),
            },
            lambda _: measure_sync(self.folder / SOUND, times_s, landmarks, self.progress),
        )
        facts: dict[str, float] | None = step.info["sync"]
        if facts is not None and len(landmarks) >= TRUSTED_S * self.config.fps:
            self._warn(sync_warnings(facts))
        return facts

    def _drop_pictures(self) -> None:
        (self.folder / META).unlink(missing_ok=True)
        for name, file in (("background", BACKGROUND), ("matte", MATTE), ("crop", FRAMES)):
            self.store.drop(name, file)

    def _finish(self, **meta: Any) -> None:
        """Writes ``clip.json``; ``meta`` are the fields that the steps decided."""
        facts = {name: FileFacts(**facts) for step in self.store.steps for name, facts in step.files.items()}
        source = {
            "name": self.video.name,
            "sha256": self.digest,
            "width": self.info.width_px,
            "height": self.info.height_px,
            "fps": float(self.info.fps),
            "duration_s": float(self.info.duration_s),
            "audio_duration_s": float(self.info.audio_duration_s),
        }
        ClipWriter(self.folder, keep=True).finish(
            facts,
            prepare_version=VERSION,
            source=source,
            fps=self.config.fps,
            size_px=self.size_px,
            tracker=ExtractorSpec(name=self.tracker.name, version=self.tracker.version),
            matting=ExtractorSpec(name=self.matting.name, version=self.matting.version) if self.matting else None,
            pictures=self.matting is not None,
            options=self.options,
            **meta,
        )

    def _tracker_facts(self) -> dict[str, str]:
        facts = {"tracker": self.tracker.name, "tracker_version": self.tracker.version}
        variant = getattr(self.tracker, "variant", "")
        return facts | ({"tracker_variant": variant} if variant else {})

    def _map(self, name: str, count: int, channels: int) -> np.ndarray:
        return np.memmap(self.folder / name, np.uint8, "r", shape=(count, self.size_px, self.size_px, channels))

    def _warn(self, warnings: list[str]) -> None:
        for warning in warnings:
            self.progress.warn(f"{self.video.name}: {warning}")
