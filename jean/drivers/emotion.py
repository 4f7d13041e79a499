"""Emotion features of clips, and aligned windows of pairs of clips with the same sentence (sections 3.2 and 8.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jean.clips.clip import Clip
from jean.clips.compatibility import ClipSpec
from jean.clips.corpus import CorpusClip
from jean.errors import InputError

Warp = Callable[[np.ndarray, np.ndarray], np.ndarray]


def emotion_track(clip: Clip, name: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Emotion features of a clip, and their description.

    Args:
        clip: a prepared clip.
        name: name of the emotion features.

    Returns:
        Features float32 [T, D], and a description with ``name``, ``version``, ``width`` and ``network`` (whether a
        network computed them).

    Raises:
        ArtefactError: the clip has no such features.
    """
    return clip.emotion_track(name), {"name": name, **clip.emotion_specs[name].to_json()}


@dataclass(frozen=True)
class PairWindows:
    """Windows of ω aligned frames of pairs of clips.

    Attributes:
        features: float32 [T, D] of each clip.
        pairs: (index of clip A, index of clip B, path [N, 2]) of each pair; see ``jean.drivers.time_warp`` for paths.
        starts: int [W, 2], (index of the pair, first row of its path) of each window.
        window: ω.
    """

    features: tuple[np.ndarray, ...]
    pairs: tuple[tuple[int, int, np.ndarray], ...]
    starts: np.ndarray
    window: int

    def __len__(self) -> int:
        return len(self.starts)

    def at(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A† and B†, float32 [B, ω, D] each, of the windows ``indices`` [B]."""
        sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for pair, start in self.starts[indices]:
            first, second, path = self.pairs[pair]
            rows = path[start : start + self.window]
            sides[0].append(self.features[first][rows[:, 0]])
            sides[1].append(self.features[second][rows[:, 1]])
        return np.stack(sides[0]), np.stack(sides[1])


def pair_windows(
    pairs: Sequence[tuple[CorpusClip, CorpusClip]],
    name: str,
    window: int,
    warp: Warp,
    description: dict[str, Any] | None = None,
    rows_of: Callable[[Clip], np.ndarray] | None = None,
) -> tuple[PairWindows, dict[str, Any]]:
    """Aligns each pair (Eq. 3) and cuts every window of ``window`` frames from it.

    Args:
        pairs: clips of one person with the same sentence in two emotions.
        name: name of the emotion features.
        window: ω.
        warp: computes the path that aligns two feature sequences.
        description: description that the features must have; None takes that of the first clip.
        rows_of: gives the rows [T, K] of a clip that are aligned; None aligns the features, as in Eq. 3.

    Returns:
        The windows and the features' description.

    Raises:
        InputError: no pair, or none that is long enough for a window.
        ArtefactError: a clip lacks the features, or has others than the first clip.
    """
    indices: dict[str, int] = {}
    features: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    for clip in [clip for pair in pairs for clip in pair]:
        if clip.name not in indices:
            opened = clip.open()
            values, clip_description = emotion_track(opened, name)
            description = description or clip_description
            opened.require(ClipSpec.of_run({"emotion": description}, "emotion"), "the training data")
            indices[clip.name] = len(features)
            features.append(np.asarray(values, np.float32))
            rows.append(features[-1] if rows_of is None else rows_of(opened))
    aligned, starts = [], []
    for number, (a, b) in enumerate(pairs):
        first, second = indices[a.name], indices[b.name]
        path = warp(rows[first], rows[second])
        aligned.append((first, second, path))
        starts += [(number, start) for start in range(len(path) - window + 1)]
    if description is None or not starts:
        raise InputError(
            "no sentence was found in two emotions.",
            "Give clips of one person with the same sentences in two emotions.",
        )
    return PairWindows(tuple(features), tuple(aligned), np.array(starts), window), description


def sound_rows(clip: Clip) -> np.ndarray:
    """Rows of the clip's first audio features at its frames, [T, D], to align clips by what is heard.

    The mean of the clip is taken out: voices differ in level and colour from emotion to emotion.

    Raises:
        InputError: the clip has no sound.
    """
    windows = clip.audio_windows(clip.audio_name())
    rows = windows[:, windows.shape[1] // 2].astype(np.float64)
    return np.asarray(rows - rows.mean(0))


def centred_windows(track: np.ndarray, window: int) -> np.ndarray:
    """Windows [T, ω, D] around each frame of a track [T, D], so that element ω/2 is the frame itself (section 8.4.2).

    Beyond the ends the first and the last frame are repeated; the paper leaves this open.
    """
    index = np.arange(len(track))[:, None] + np.arange(window) - window // 2
    return track[np.clip(index, 0, len(track) - 1)]
