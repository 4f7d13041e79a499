"""Negatives of the contrastive loss: audio of the same person at another moment (section 8.2.2)."""

from __future__ import annotations

import numpy as np

from jean.drivers.face_frames import FaceFrames

# Least distance in seconds between a mouth and a negative from its own clip. An audio window of the default features is
# 0.32 s long, so the windows of the two hardly overlap.
MIN_DISTANCE_S = 0.3

# Random draws of a negative from the own clip, of which the first one outside the minimum distance counts.
_ATTEMPTS = 8


def sample_negatives(
    frames: FaceFrames, anchors: np.ndarray, count: int, own_clip: bool, random: np.random.Generator
) -> np.ndarray:
    """Draws frames whose audio serves as negatives, int [B, count], all of the anchor's person.

    Args:
        frames: the data set.
        anchors: int [B], frames whose mouths need negatives.
        count: negatives per anchor.
        own_clip: draw from all clips of the person, at least ``MIN_DISTANCE_S`` from the anchor; otherwise from the
            person's other clips. For a person with a single clip, negatives always come from that clip. A clip that
            is too short may give closer negatives.
        random: source of every draw.
    """
    result = np.empty((len(anchors), count), int)
    min_distance = MIN_DISTANCE_S * frames.fps
    for row, anchor in enumerate(anchors):
        begin, end, clips = frames.person_spans[frames.clip[anchor]]
        first, size = frames.first[frames.clip[anchor]], frames.count[frames.clip[anchor]]
        if own_clip or clips == 1:
            candidates = random.integers(begin, end, (_ATTEMPTS, count))
            near = (candidates >= first) & (candidates < first + size)
            near &= np.abs(frames.frame[candidates] - frames.frame[anchor]) < min_distance
            attempt = np.where(near.all(0), _ATTEMPTS - 1, near.argmin(0))
            result[row] = candidates[attempt, np.arange(count)]
        else:
            candidates = random.integers(begin, end - size, count)  # the range without the own clip
            result[row] = candidates + np.where(candidates >= first, size, 0)
    return result


def negative_mask(frames: FaceFrames, batch: np.ndarray) -> np.ndarray:
    """Which audio of a batch is a negative of which mouth, bool [B, B].

    Entry (i, j) is true where frame j shows the person of frame i and lies in another clip or at least
    ``MIN_DISTANCE_S`` away.

    Args:
        frames: the data set.
        batch: int [B], frames of the batch.
    """
    person = frames.person[frames.clip[batch]]
    clip, frame = frames.clip[batch], frames.frame[batch]
    far = (clip[:, None] != clip) | (np.abs(frame[:, None] - frame) >= max(MIN_DISTANCE_S * frames.fps, 1))
    mask: np.ndarray = (person[:, None] == person) & far
    return mask


def people_with_one_clip(frames: FaceFrames) -> int:
    """Number of people with a single clip."""
    return int((frames.person_spans[:, 2] == 1).sum())
