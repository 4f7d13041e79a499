"""Other sounds by the same person: what a mouth is told apart from (section 8.2.2)."""

from __future__ import annotations

import numpy as np

from jean.clips.corpus import people
from jean.drivers.face_frames import FaceFrames


def other_sounds(
    frames: FaceFrames, chosen: np.ndarray, count: int, own_clip: bool, apart_s: float, random: np.random.Generator
) -> np.ndarray:
    """Frames [B, count] of other sounds by the same person, for each of ``chosen`` [B].

    Args:
        frames: the data set.
        own_clip: take frames of the same clip too, at least ``apart_s`` away. A person with one clip alone
            has no others: there it is so in any case.
        random: source of every draw.
    """
    pools = _pools(frames)
    result = np.empty((len(chosen), count), int)
    reach = apart_s * frames.fps
    for row, index in enumerate(chosen):
        begin, end, alone = pools[frames.clip[index]]
        first, size = frames.first[frames.clip[index]], frames.count[frames.clip[index]]
        if own_clip or alone:
            drawn = random.integers(begin, end, (8, count))
            near = (drawn >= first) & (drawn < first + size)
            near &= np.abs(frames.frame[drawn] - frames.frame[index]) < reach
            # the first of eight draws that is far enough; a clip shorter than that keeps the last
            result[row] = drawn[np.where(near.all(0), 7, near.argmin(0)), np.arange(count)]
        else:
            drawn = random.integers(begin, end - size, count)  # the own clip is left out of the range
            result[row] = drawn + np.where(drawn >= first, size, 0)
    return result


def apart(frames: FaceFrames, chosen: np.ndarray, apart_s: float) -> np.ndarray:
    """bool [B, B]: sounds j by the person of mouth i, in another clip or at least ``apart_s`` away."""
    names = people(frames.clips)
    person = np.array([names.index(clip.person) for clip in frames.clips])[frames.clip[chosen]]
    clip, frame = frames.clip[chosen], frames.frame[chosen]
    far = (clip[:, None] != clip) | (np.abs(frame[:, None] - frame) >= max(apart_s * frames.fps, 1))
    return (person[:, None] == person) & far


def without_other_clip(frames: FaceFrames) -> int:
    """How many people have one clip alone."""
    return sum(alone for _, _, alone in _pools(frames))


def _pools(frames: FaceFrames) -> list[tuple[int, int, bool]]:
    """For each clip: first and last frame of its person, and whether it is the person's only clip."""
    found = []
    for clip in frames.clips:
        mine = [i for i, other in enumerate(frames.clips) if other.person == clip.person]
        found.append((int(frames.first[mine[0]]), int(frames.first[mine[-1]] + frames.count[mine[-1]]), len(mine) == 1))
    return found
