"""Which face of each frame is the clip's person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.errors import InputError, UsageError
from jean.landmarks import ranges

# A second face counts from this share of the largest one's size: not a poster on the wall behind
NOTABLE_SIZE = 0.4
# A second person is there to stay from this many seconds: not a tracker's slip of some frames
PERSISTENT_S = 1.0
# Of all frames with a face, somebody who can be chosen is in at least this share (or PERSISTENT_S)
SHORT_CLIP_SHARE = 0.25


@dataclass(frozen=True)
class Choice:
    """The chosen face of each frame.

    Attributes:
        face: int32 [T], index into the tracked faces; -1 where the person is not seen.
        no_face: ranges [first, one past the last] of frames without the person.
        several: ranges of frames with more than one notable face.
        people: persons that are there for long, from the left to the right.
        successive: two of them are never seen together, and were taken for one person.
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
    """Chooses one person.

    Args:
        frame: int [N], the frame of each face, not decreasing.
        person: int [N], who it is.
        boxes: [N, 4] (left, top, right, bottom), px.
        frame_count: T.
        fps: frames a second.
        face: None (one person is expected), "largest", "left", "right", or a number counted from the
            left, 0 first.

    Raises:
        InputError: no face; or several people and ``face`` is None; or nobody has that number.
        UsageError: ``face`` is none of these words.
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
    together = _seen_together(frame, person, people, notable, fps)
    if face is None:
        if together:
            raise InputError(
                f"the video shows {len(people)} people, together in frames {_spoken(ranges(several))}.",
                "Choose one: --face largest, left, right, or a number from the left (0 first).",
            )
        wanted = notable
    else:
        wanted = person == _wanted(face, people, person, size)
    chosen = _one_a_frame(frame, person, size, wanted, frame_count)
    return Choice(
        chosen,
        ranges(chosen < 0),
        ranges(several),
        len(people),
        successive=face is None and len(people) > 1,
    )


def _persistent(frame: np.ndarray, person: np.ndarray, x: np.ndarray, notable: np.ndarray, fps: float) -> list[int]:
    """Persons seen for long enough, from the left to the right; at least the one seen longest."""
    enough = min(PERSISTENT_S * fps, SHORT_CLIP_SHARE * len(np.unique(frame)))
    numbers, counts = np.unique(person[notable], return_counts=True)
    kept = numbers[counts >= max(enough, 1)]
    if len(kept) == 0:
        kept = numbers[[counts.argmax()]]
    return sorted(kept.tolist(), key=lambda number: float(np.median(x[person == number])))


def _seen_together(frame: np.ndarray, person: np.ndarray, people: list[int], notable: np.ndarray, fps: float) -> bool:
    """Whether two of the people share frames for a while."""
    counted = notable & np.isin(person, people)
    shared = np.bincount(frame[counted]) > 1
    return bool(shared.sum() >= max(1, min(PERSISTENT_S * fps, SHORT_CLIP_SHARE * len(np.unique(frame)))))


def _wanted(face: str, people: list[int], person: np.ndarray, size: np.ndarray) -> int:
    if face == "largest":
        # size times duration: who fills the video
        return max(people, key=lambda number: float(size[person == number].sum()))
    if face in ("left", "right"):
        return people[0 if face == "left" else -1]
    if int(face) >= len(people):
        raise InputError(
            f"there is no face {face}: the video shows {len(people)}.", f"Choose 0 to {len(people) - 1}, 0 is leftmost."
        )
    return people[int(face)]


def _one_a_frame(
    frame: np.ndarray, person: np.ndarray, size: np.ndarray, wanted: np.ndarray, frame_count: int
) -> np.ndarray:
    """The wanted face of each frame; of several the person seen longest, then the largest."""
    seen = np.bincount(person)
    rows = np.flatnonzero(wanted)
    order = rows[np.lexsort((size[rows], seen[person[rows]]))]  # the best of a frame comes last and stays
    chosen = np.full(frame_count, -1, np.int32)
    chosen[frame[order]] = order
    return chosen


def _spoken(found: list[list[int]], most: int = 3) -> str:
    """``12-40, 55-60``: the first ranges, both ends included."""
    text = ", ".join(f"{start}-{end - 1}" for start, end in found[:most])
    return text + (f" and {len(found) - most} more ranges" if len(found) > most else "")
