"""Chooses the face of the clip's person in each frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.errors import InputError, UsageError
from jean.landmarks import ranges

# Smaller faces, as a fraction of the largest one's size, are ignored: posters on the wall, people in the background
NOTABLE_SIZE = 0.4
# A person must be visible for this many seconds: shorter appearances are errors of the tracker
PERSISTENT_S = 1.0
# In short clips, this fraction of the frames with a face is enough instead
PERSISTENT_FRACTION = 0.25


@dataclass(frozen=True)
class Choice:
    """The chosen face of each frame.

    Attributes:
        face: int32 [T], index into the tracked faces; -1 in frames without the person.
        no_face: ranges [first, one past the last] of frames without the person.
        several: ranges of frames with more than one notable face.
        people: number of people that are visible for long enough.
        successive: whether several people who are never visible together were taken for one person.
    """

    face: np.ndarray
    no_face: list[list[int]]
    several: list[list[int]]
    people: int
    successive: bool


def choose(
    frame: np.ndarray,
    person: np.ndarray,
    boxes: np.ndarray,
    frame_count: int,
    fps: float,
    face: str | None = None,
) -> Choice:
    """Chooses the face of one person in each frame.

    Args:
        frame: int [N], frame of each tracked face, not decreasing.
        person: int [N], person of each face.
        boxes: [N, 4] (left, top, right, bottom), px.
        frame_count: number of frames T.
        fps: frames per second.
        face: "largest", "left", "right", or a number from the left, 0 first; None: the video shows one person.

    Raises:
        InputError: no face; several people and ``face`` is None; or no person has that number.
        UsageError: ``face`` is anything else.
    """
    if face is not None and face not in ("largest", "left", "right") and not face.isdecimal():
        raise UsageError(f"--face {face}: unknown.", "Choose largest, left, right or a number from the left, 0 first.")
    if len(frame) == 0:
        raise InputError("no face was found in the video.", "Give a video that shows a face from the front.")
    size = np.sqrt(np.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 0.0))
    largest = np.zeros(frame_count)
    np.maximum.at(largest, frame, size)
    notable = size >= NOTABLE_SIZE * largest[frame]
    several = np.bincount(frame[notable], minlength=frame_count) > 1
    people = _persistent(frame, person, (boxes[:, 0] + boxes[:, 2]) / 2, notable, fps)
    together = _appear_together(frame, person, people, notable, fps)
    if face is None:
        if together:
            raise InputError(
                f"the video shows {len(people)} people, together in frames {_as_text(ranges(several))}.",
                "Choose one: --face largest, left, right, or a number from the left (0 first).",
            )
        candidates = notable
    else:
        candidates = person == _named_person(face, people, person, size)
    selection = _one_per_frame(frame, person, size, candidates, frame_count)
    return Choice(
        selection,
        ranges(selection < 0),
        ranges(several),
        len(people),
        successive=face is None and len(people) > 1,
    )


def _persistent(frame: np.ndarray, person: np.ndarray, x: np.ndarray, notable: np.ndarray, fps: float) -> list[int]:
    """People who are visible for long enough, from left to right; at least the one visible longest."""
    required = _persistent_frames(frame, fps)
    numbers, counts = np.unique(person[notable], return_counts=True)
    persistent = numbers[counts >= max(required, 1)]
    if len(persistent) == 0:
        persistent = numbers[[counts.argmax()]]
    return sorted(persistent.tolist(), key=lambda number: float(np.median(x[person == number])))


def _appear_together(frame: np.ndarray, person: np.ndarray, people: list[int], notable: np.ndarray, fps: float) -> bool:
    """Whether two of the people are visible in the same frames for long enough."""
    counted = notable & np.isin(person, people)
    shared = np.bincount(frame[counted]) > 1
    return bool(shared.sum() >= max(1, _persistent_frames(frame, fps)))


def _persistent_frames(frame: np.ndarray, fps: float) -> float:
    """Number of frames that count as long enough."""
    return min(PERSISTENT_S * fps, PERSISTENT_FRACTION * len(np.unique(frame)))


def _named_person(face: str, people: list[int], person: np.ndarray, size: np.ndarray) -> int:
    """The person that ``--face`` names."""
    if face == "largest":
        # size times duration
        return max(people, key=lambda number: float(size[person == number].sum()))
    if face in ("left", "right"):
        return people[0 if face == "left" else -1]
    if int(face) >= len(people):
        raise InputError(
            f"there is no face {face}: the video shows {len(people)}.", f"Choose 0 to {len(people) - 1}, 0 is leftmost."
        )
    return people[int(face)]


def _one_per_frame(
    frame: np.ndarray, person: np.ndarray, size: np.ndarray, candidates: np.ndarray, frame_count: int
) -> np.ndarray:
    """One candidate per frame, int32 [T]: of several the person visible longest, then the largest face."""
    appearances = np.bincount(person)
    rows = np.flatnonzero(candidates)
    order = rows[np.lexsort((size[rows], appearances[person[rows]]))]
    selection = np.full(frame_count, -1, np.int32)
    selection[frame[order]] = order  # the last assignment of a frame, its best candidate, stays
    return selection


def _as_text(frame_ranges: list[list[int]], most: int = 3) -> str:
    """The first ranges as text, both ends included: ``12-40, 55-60``."""
    text = ", ".join(f"{start}-{end - 1}" for start, end in frame_ranges[:most])
    return text + (f" and {len(frame_ranges) - most} more ranges" if len(frame_ranges) > most else "")
