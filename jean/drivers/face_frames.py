"""Frames of many people's clips, for training the landmark autoencoder and the audio encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.audio_track import AudioTrack
from jean.clips.clip import Clip
from jean.clips.compatibility import ClipSpec
from jean.clips.corpus import CorpusClip, people
from jean.drivers.face_points import face_points
from jean.errors import InputError, UsageError
from jean.row_file import RowFile


@dataclass(frozen=True)
class FaceFrames:
    """N frames with a face, clip after clip.

    Attributes:
        points: landmarks, float32 [N, 51, 2], see ``face_points``; memory-mapped.
        clip: index of each frame's clip in ``clips``, int [N].
        frame: number of each frame in its clip, int [N].
        first: index of each clip's first frame, int [C].
        count: number of frames of each clip, int [C].
        clips: the C clips.
        fps: frames per second of all clips.
        tracker: name and version of the tracker of all clips.
        audio: audio windows of the N frames, memory-mapped; None where they were not requested.
        audio_description: description of the audio features by name; None without ``audio``.
        voiced: whether somebody speaks, bool [N]; None without ``audio``.
        silent: names of the clips that were left out, because they have no sound.
    """

    points: np.ndarray
    clip: np.ndarray
    frame: np.ndarray
    first: np.ndarray
    count: np.ndarray
    clips: tuple[CorpusClip, ...]
    fps: float
    tracker: dict[str, Any]
    audio: AudioTrack | None = None
    audio_description: dict[str, Any] | None = None
    voiced: np.ndarray | None = None
    silent: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.points)

    @cached_property
    def person(self) -> np.ndarray:
        """Number of each clip's person among the sorted names, int [C]."""
        numbers = {name: number for number, name in enumerate(people(self.clips))}
        return np.array([numbers[clip.person] for clip in self.clips], int)

    @cached_property
    def person_spans(self) -> np.ndarray:
        """First frame and end of the frames of each clip's person, and the number of the person's clips, int [C, 3].

        The clips of a person must be neighbours.
        """
        starts = np.flatnonzero(np.diff(self.person, prepend=-1))
        clips = np.diff(starts, append=len(self.person))
        ends = starts + clips - 1
        spans = np.stack([self.first[starts], self.first[ends] + self.count[ends], clips], 1)
        return np.repeat(spans, clips, 0)

    def counts(self, prefix: str) -> dict[str, int]:
        """Numbers of people, clips and frames, named ``prefix``_people, ``prefix``_clips and ``prefix``_frames."""
        counts = {"people": len(people(self.clips)), "clips": len(self.clips), "frames": len(self)}
        return {f"{prefix}_{name}": count for name, count in counts.items()}

    def draw_from_same_clip(self, indices: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Draws for each frame of ``indices`` [B] a random frame [B] of the same clip (section 8.1.2)."""
        clip = self.clip[indices]
        return self.first[clip] + np.minimum(
            (random.random(len(indices)) * self.count[clip]).astype(int), self.count[clip] - 1
        )


def split_people(
    clips: Sequence[CorpusClip], fraction: float, names: Sequence[str] | None, seed: int
) -> tuple[list[CorpusClip], list[CorpusClip]]:
    """Splits clips into training and validation clips of different people.

    With one person alone, the last clip in five is held out. With one clip alone, both groups are that clip; callers
    report this.

    Args:
        clips: the clips of all people.
        fraction: fraction of the people to hold out (the paper: 9 of 48); at least one person of two or more.
        names: people to hold out, instead of a random draw; None or empty for a draw.
        seed: seed of the draw.

    Returns:
        Training clips and validation clips.

    Raises:
        UsageError: an unknown person in ``names``, or no person remains for training.
    """
    everybody = people(clips)
    if names:
        unknown = sorted(set(names) - set(everybody))
        if unknown:
            raise UsageError(f"there is no person {unknown[0]!r}.", f"People: {', '.join(everybody)}.")
        held_out = set(names)
    elif len(everybody) > 1:
        count = max(1, min(len(everybody) - 1, round(fraction * len(everybody))))
        order = np.random.default_rng([0x51D, seed]).permutation(len(everybody))
        held_out = {everybody[i] for i in order[:count]}
    else:
        count = len(clips) // 5 or (1 if len(clips) > 1 else 0)
        train, validation = list(clips[: len(clips) - count]), list(clips[len(clips) - count :])
        return train, validation or train
    train = [clip for clip in clips if clip.person not in held_out]
    if not train:
        raise UsageError("all people are held out for validation.", "Leave at least one person for training.")
    return train, [clip for clip in clips if clip.person in held_out]


def load_frames(
    clips: Sequence[CorpusClip],
    form: str,
    audio: str | None = None,
    sound: bool = False,
    needs: ClipSpec | None = None,
    needed_by: str | Path = "the run",
    scratch: Path | None = None,
) -> FaceFrames:
    """Reads the frames with a face of all clips.

    Points and audio features are copied into unnamed files, so memory hardly grows with the corpus. Clips without sound
    are left out where sound is needed; callers report them.

    Args:
        clips: the clips to read.
        form: form of the points, see ``face_points``.
        audio: name of the audio features; None takes the first that the first clip has.
        sound: whether to read audio windows.
        needs: properties that every clip must have.
        needed_by: what needs them, for the error message.
        scratch: a folder on the disk that takes the unnamed files.

    Raises:
        InputError: no frame with a face, or no clip with sound where sound is needed.
        ArtefactError: clips with different trackers or frame rates, clips that do not meet ``needs``, or missing
            features.
    """
    points, rows = RowFile(scratch), RowFile(scratch)
    first, voices, frames, counts, kept, silent = [], [], [], [], [], []
    reference: Clip | None = None
    for corpus_clip in clips:
        clip = corpus_clip.open()
        if sound and clip.audio_path is None:
            silent.append(corpus_clip.name)
            continue
        kept.append(corpus_clip)
        reference = reference or clip
        clip.require(needs or ClipSpec(), needed_by)
        clip.require(reference.spec("tracker", "fps"), reference.folder)
        visible = clip.arrays["valid"] & np.isfinite(clip.arrays["landmarks"]).all((1, 2))
        frames.append(np.flatnonzero(visible))
        counts.append(int(visible.sum()))
        points.append(face_points(clip, form)[visible])
        if sound:
            audio = clip.audio_name(audio)
            track = clip.audio_track(audio).padded()
            first.append(rows.append(track.rows) + track.first[visible])
            voices.append(voiced_frames(clip)[visible])
            window = track.window
            clip.require(ClipSpec(audio={audio: reference.audio_specs[audio]}), reference.folder)
    if sound and clips and not kept:
        raise InputError(f"none of the {len(silent)} clips has sound.", "Prepare videos with sound.")
    if reference is None or not sum(counts):
        raise InputError("no frame of the clips shows a face.", "Prepare other videos.")
    return FaceFrames(
        points.map(),
        np.repeat(np.arange(len(kept)), counts),
        np.concatenate(frames),
        np.concatenate([[0], np.cumsum(counts)[:-1]]),
        np.array(counts),
        tuple(kept),
        reference.fps,
        reference.meta.tracker.to_json(),
        AudioTrack(rows.map(), np.concatenate(first), window) if sound else None,
        {audio: reference.audio_specs[audio].to_json()} if sound and audio else None,
        np.concatenate(voices) if sound else None,
        tuple(silent),
    )


def voiced_frames(clip: Clip) -> np.ndarray:
    """Frames in which somebody speaks, bool [T]; none in a clip without sound."""
    from jean.drivers.voice import voiced
    from jean.media import read_audio

    if clip.audio_path is None:
        return np.zeros(clip.frame_count, bool)
    return voiced(read_audio(clip.audio_path), clip.frame_count, clip.fps)
