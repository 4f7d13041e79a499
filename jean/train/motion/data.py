"""Data of the motion model: cues, blinks and sound of a corpus of track clips, and windows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jean.clips.clip import Clip
from jean.clips.corpus import CorpusClip, people
from jean.cluster.calls import map_in_processes
from jean.drivers.blinks import BlinkModel, blink_inputs
from jean.drivers.eyes import CLOSURE, GAZE, measure_eyes, standardised
from jean.drivers.motion_sampling import NEW, PAST, WINDOW
from jean.drivers.motion_sound import FPS, sound_features
from jean.drivers.motion_vector import CueTracks, MotionBasis, Neutral, cue_tracks, expression_inputs
from jean.drivers.named_expression import NEUTRAL
from jean.drivers.resampling import interpolate_rows
from jean.errors import InputError
from jean.media import read_audio
from jean.models.motion_network import CONTEXT
from jean.progress import Progress
from jean.synthetic_speaker.video_corpus import LEVELS

_FEW = 50  # clips that are read sooner than other processes start


@dataclass(frozen=True)
class MotionClip:
    """One clip of T frames at 25 frames per second.

    Attributes:
        name, person: of the clip.
        emotion: name of its emotion; None if unknown.
        strength: of the emotion, 0 to 1.
        track: its cues.
        sound: features [T, F].
        eyes: gaze and closure [T, 4] as measured, for the map to expression coefficients.
        expression: expression coefficients [T, E].
    """

    name: str
    person: str
    emotion: str | None
    strength: float
    track: CueTracks
    sound: np.ndarray
    eyes: np.ndarray
    expression: np.ndarray


def read_corpus(clips: Sequence[CorpusClip], eyes: bool, progress: Progress) -> list[MotionClip]:
    """Reads the clips of a corpus, person by person.

    Args:
        clips: the clips, with sound.
        eyes: whether irises are needed; without, the gaze is zero.
        progress: counts people.

    Raises:
        InputError: a clip without sound, face or irises; or no clip is long enough.
        ArtefactError: clips of different trackers.
    """
    groups = [(name, [clip for clip in clips if clip.person == name], eyes) for name in people(clips)]
    first = clips[0].open()
    for clip in clips:
        clip.open().require(first.spec("tracker", "expression"), first.folder)
    workers = 1 if len(clips) < _FEW else None
    parts = map_in_processes(_read_person, groups, "read people", progress, workers)
    found = [clip for part in parts for clip in part]
    if max(len(clip.track) for clip in found) < WINDOW:
        raise InputError(
            f"no clip has {WINDOW} frames ({WINDOW / FPS:.1f} s).", "Give longer clips, or join them: prepare --concat."
        )
    return found


def _read_person(job: tuple[str, list[CorpusClip], bool]) -> list[MotionClip]:
    _, clips, eyes = job
    opened = [clip.open() for clip in clips]
    neutral_clips = [clip for clip, each in zip(opened, clips, strict=True) if each.emotion == NEUTRAL]
    # without neutral clips, what an emotion changes for good cannot be told from the face at rest
    neutral = Neutral.fit(neutral_clips or opened, opened)
    return [
        _read_clip(clip, each, neutral, eyes, bool(neutral_clips))
        for clip, each in zip(opened, clips, strict=True)
    ]  # fmt: skip


def _read_clip(clip: Clip, described: CorpusClip, neutral: Neutral, eyes: bool, labelled: bool) -> MotionClip:
    track = cue_tracks(clip, neutral, gaze=eyes)
    count = len(track)
    sound = sound_features(read_audio(clip.sound()))
    sound = np.concatenate([sound, np.repeat(sound[-1:], max(0, count - len(sound)), 0)])[:count]
    positions = np.clip((np.arange(count) + 0.5) / FPS * clip.fps - 0.5, 0, clip.frame_count - 1)
    measured = standardised(measure_eyes(clip), neutral.eyes, clip.fps).values
    if not eyes:
        measured = np.concatenate([0 * measured[:, GAZE], measured[:, CLOSURE]], 1)
    emotion = described.emotion if labelled else None
    strength = 0.0 if emotion == NEUTRAL else LEVELS.get(described.level, 1.0)
    expression = interpolate_rows(np.asarray(clip.arrays["expression"], np.float64), positions)
    eyes_at = interpolate_rows(measured, positions)
    return MotionClip(described.name, described.person, emotion, strength, track, sound, eyes_at, expression)


@dataclass(frozen=True)
class Batch:
    """B windows of L frames.

    Attributes:
        vectors: [B, L, D]; lips: [B, L, 8]; sound: [B, L + 2 · CONTEXT, F].
        emotion: strengths [B, L, E + 1], the last column for an unknown emotion.
        label: index of the emotion [B]: 0 neutral, -1 unknown; strength: [B].
        inside: 1 for frames with a measured face, [B, L].
        begins: whether the window's past lies in the clip, [B].
    """

    vectors: np.ndarray
    lips: np.ndarray
    sound: np.ndarray
    emotion: np.ndarray
    label: np.ndarray
    strength: np.ndarray
    inside: np.ndarray
    begins: np.ndarray


class Windows:
    """Windows of clips, drawn at random or by number.

    Args:
        clips: the clips.
        basis: makes motion vectors.
        emotions: names of the emotions besides neutral.
    """

    def __init__(self, clips: Sequence[MotionClip], basis: MotionBasis, emotions: Sequence[str]):
        self.clips, self.emotions = list(clips), list(emotions)
        self._rows: list[dict[str, np.ndarray]] = []
        for clip in clips:
            track = clip.track
            rows = {"vectors": basis.vectors(track), "lips": basis.lips(track), "inside": track.known.astype(float)}
            padded = {
                name: np.pad(value, [(PAST, NEW), *[(0, 0)] * (value.ndim - 1)]).astype(np.float32)
                for name, value in rows.items()
            }
            around = (PAST + CONTEXT, NEW + CONTEXT)
            padded["sound"] = np.pad(clip.sound, [around, (0, 0)], mode="edge")
            self._rows.append(padded)
        self.starts = [max(1, len(clip.track) - NEW // 2) for clip in clips]  # windows may reach beyond a clip's end

    def __len__(self) -> int:
        """Windows that do not overlap in their new frames."""
        return sum(-(-len(clip.track) // NEW) for clip in self.clips)

    def draw(self, size: int, random: np.random.Generator, among: np.ndarray | None = None) -> Batch:
        """Random windows.

        Args:
            size: B.
            random: draws.
            among: indices of the clips to draw from; None for all.
        """
        chosen = np.arange(len(self.clips)) if among is None else among
        weight = np.array([self.starts[index] for index in chosen], float)
        picks = chosen[np.searchsorted(np.cumsum(weight) / weight.sum(), random.random(size))]
        return self.take([(int(index), int(random.integers(self.starts[index]))) for index in picks])

    def take(self, places: Sequence[tuple[int, int]]) -> Batch:
        """The windows whose new frames begin at (clip, frame)."""
        columns = {
            name: np.stack([self._rows[clip][name][start : start + WINDOW] for clip, start in places])
            for name in ("vectors", "lips", "inside")
        }
        sound = np.stack([self._rows[clip]["sound"][start : start + WINDOW + 2 * CONTEXT] for clip, start in places])
        described = [self.clips[clip] for clip, _ in places]
        label = np.array([self._label(clip.emotion) for clip in described])
        strength = np.array([clip.strength for clip in described], np.float32)
        emotion = np.zeros((len(places), len(self.emotions) + 1), np.float32)
        emotion[label > 0, label[label > 0] - 1] = strength[label > 0]
        emotion[label < 0, -1] = 1.0
        emotion = np.repeat(emotion[:, None], WINDOW, 1)
        begins = np.array([start >= PAST for _, start in places])
        return Batch(sound=sound, emotion=emotion, label=label, strength=strength, begins=begins, **columns)

    def _label(self, emotion: str | None) -> int:
        if emotion is None:
            return -1
        return 0 if emotion == NEUTRAL else 1 + self.emotions.index(emotion)


def fit_blinks(clips: Sequence[MotionClip], basis: MotionBasis, emotions: Sequence[str]) -> BlinkModel:
    """The blinks of a corpus.

    Args:
        clips: the training clips.
        basis: makes motion vectors.
        emotions: names of the emotions besides neutral.
    """
    inputs = []
    for clip in clips:
        strengths = np.tile([clip.strength * (clip.emotion == name) for name in emotions], (len(clip.track), 1))
        inputs.append(blink_inputs(clip.sound, basis.vectors(clip.track), strengths.reshape(len(clip.track), -1)))
    return BlinkModel.fit(inputs, [clip.track.onsets for clip in clips], [clip.track.lengths_s for clip in clips])


def expression_map(clips: Sequence[MotionClip], basis: MotionBasis, ridge: float = 1.0) -> np.ndarray:
    """Ridge regression of expression coefficients on vector, lips, both closures and one: [D + 8 + 3, E]."""
    inputs = np.concatenate(
        [expression_inputs(basis.vectors(c.track), basis.lips(c.track), c.eyes[:, CLOSURE]) for c in clips]
    )
    values = np.concatenate([clip.expression for clip in clips])
    known = np.concatenate([clip.track.known for clip in clips])
    inputs, values = inputs[known], values[known]
    penalty = ridge * np.eye(inputs.shape[1])
    penalty[-1, -1] = 0.0
    return np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ values)
