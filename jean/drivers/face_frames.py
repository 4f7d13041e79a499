"""Frames of many people's clips, for the landmark autoencoder and the audio encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.clip import Clip
from jean.clips.compatibility import ClipSpec
from jean.clips.corpus import CorpusClip, people
from jean.drivers.face_points import face_points
from jean.errors import InputError, UsageError


@dataclass(frozen=True)
class FaceFrames:
    """N frames that show a face, clip after clip.

    Attributes:
        points: float32 [N, 51, 2], see ``face_points``.
        clip: int [N], index into ``clips``.
        frame: int [N], the frame's number in its clip.
        first, count: int [C], where each clip's frames begin and how many they are.
        clips: the C clips.
        fps: frames a second, of all of them.
        tracker: name and version, of all of them.
        audio: float32 [N, window, D], sound of each frame; None where it was not asked for.
        audio_made: the extractor's description.
        voiced: bool [N], whether somebody speaks; None without ``audio``.
    """

    points: np.ndarray
    clip: np.ndarray
    frame: np.ndarray
    first: np.ndarray
    count: np.ndarray
    clips: tuple[CorpusClip, ...]
    fps: float
    tracker: dict[str, Any]
    audio: np.ndarray | None = None
    audio_made: dict[str, Any] | None = None
    voiced: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.points)

    def counts(self, name: str) -> dict[str, int]:
        """How many people, clips and frames there are, under ``name``_people and so on."""
        found = {"people": len(people(self.clips)), "clips": len(self.clips), "frames": len(self)}
        return {f"{name}_{kind}": count for kind, count in found.items()}

    def others_of_clip(self, chosen: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """A random frame [B] of the same clip for each of ``chosen`` [B] (section 8.1.2)."""
        clip = self.clip[chosen]
        return self.first[clip] + np.minimum(
            (random.random(len(chosen)) * self.count[clip]).astype(int), self.count[clip] - 1
        )


def split_people(
    clips: Sequence[CorpusClip], share: float, names: Sequence[str] | None, seed: int
) -> tuple[list[CorpusClip], list[CorpusClip]]:
    """Clips to train on and clips of other people to validate on.

    Args:
        clips: of everybody.
        share: of the people that are held out (the paper: 9 of 48), at least one of two or more.
        names: who is held out, instead of a draw.
        seed: of the draw.

    Returns:
        The clips of both groups. With one person alone the last clip in five is held out, and with one clip
        alone both groups are that clip; the caller says so.

    Raises:
        UsageError: a name that nobody has, or nobody left to train on.
    """
    everybody = people(clips)
    if names:
        unknown = sorted(set(names) - set(everybody))
        if unknown:
            raise UsageError(f"nobody is called {unknown[0]!r}.", f"People: {', '.join(everybody)}.")
        held = set(names)
    elif len(everybody) > 1:
        count = max(1, min(len(everybody) - 1, round(share * len(everybody))))
        order = np.random.default_rng([0x51D, seed]).permutation(len(everybody))
        held = {everybody[i] for i in order[:count]}
    else:
        count = len(clips) // 5 or (1 if len(clips) > 1 else 0)
        train, validation = list(clips[: len(clips) - count]), list(clips[len(clips) - count :])
        return train, validation or train
    train = [clip for clip in clips if clip.person not in held]
    if not train:
        raise UsageError("everybody is held out.", "Leave somebody to train on.")
    return train, [clip for clip in clips if clip.person in held]


def load_frames(
    clips: Sequence[CorpusClip],
    form: str,
    audio: str | None = None,
    sound: bool = False,
    needs: ClipSpec | None = None,
    needed_by: str | Path = "the run",
) -> FaceFrames:
    """Reads what a stage needs of every clip.

    Args:
        clips: what to read.
        form: of the points, see ``face_points``.
        audio: name of the audio features; None for the first clip's first.
        sound: whether audio features are needed at all.
        needs: what every clip must be like; needed_by: what needs it.

    Raises:
        InputError: a clip without sound, or no face at all.
        ArtefactError: clips of several trackers or frame rates, or not as needed; features that are missing.
    """
    points, windows, voices, frames, counts = [], [], [], [], []
    opened: Clip | None = None
    for each in clips:
        clip = each.open()
        opened = opened or clip
        clip.require(needs or ClipSpec(), needed_by)
        clip.require(opened.spec("tracker", "fps"), opened.folder)
        seen = clip.arrays["valid"] & np.isfinite(clip.arrays["landmarks"]).all((1, 2))
        frames.append(np.flatnonzero(seen))
        counts.append(int(seen.sum()))
        points.append(face_points(clip, form)[seen])
        if sound:
            clip.sound()
            audio = clip.audio_name(audio)
            windows.append(clip.audio_windows(audio)[seen])
            voices.append(voiced_frames(clip)[seen])
            clip.require(ClipSpec(audio={audio: opened.audio_specs[audio]}), opened.folder)
    if opened is None or not sum(counts):
        raise InputError("no frame of the clips shows a face.", "Prepare other videos.")
    return FaceFrames(
        np.concatenate(points),
        np.repeat(np.arange(len(clips)), counts),
        np.concatenate(frames),
        np.concatenate([[0], np.cumsum(counts)[:-1]]),
        np.array(counts),
        tuple(clips),
        opened.fps,
        opened.meta.tracker.to_json(),
        np.concatenate(windows) if sound else None,
        {audio: opened.audio_specs[audio].to_json()} if sound and audio else None,
        np.concatenate(voices) if sound else None,
    )


def voiced_frames(clip: Clip) -> np.ndarray:
    """bool [T]: the frames in which somebody speaks."""
    from jean.drivers.voice import voiced
    from jean.media import read_audio

    if clip.audio_path is None:
        return np.zeros(clip.frame_count, bool)
    return voiced(read_audio(clip.audio_path), clip.frame_count, clip.fps)
