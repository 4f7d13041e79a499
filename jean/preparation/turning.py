"""Videos that lie on their side or upside down without saying so: turning them, and finding it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from jean import landmarks as ibug
from jean.errors import InputError
from jean.features.base import Face, FaceTracker, largest

TURNS = (0, 90, 180, 270)  # degrees, clockwise
VOTERS = 4  # frames that are tracked in every turn
MAJORITY = 2  # times as many votes as the frame as it is, from which on a video counts as turned

Timed = tuple[float, np.ndarray]


def turned(frames: Iterable[Timed], turn: int) -> Iterator[Timed]:
    """Frames (time in s, RGB uint8 [H, W, 3]) turned clockwise by ``turn`` degrees, a multiple of 90."""
    for time_s, image in frames:
        yield time_s, np.ascontiguousarray(np.rot90(image, -turn // 90)) if turn else image


def needed_turn(face: Face) -> int:
    """The turn, degrees clockwise, after which the mouth lies below the eyes."""
    down = face.landmarks[ibug.MOUTH].mean(0) - face.landmarks[ibug.EYES].mean(0)
    return round(float(np.degrees(np.arctan2(down[0], down[1]))) / 90) % 4 * 90


def vote(frames: Sequence[Timed], tracker: FaceTracker) -> Counter[int]:
    """How many faces say that the frames must be turned by so many degrees to be upright.

    A tracker finds faces that lie on their side, and gives their direction. In faces that are upside down it often sees
    upright ones, whose eyes are the mouth. So the frames are tracked in every turn: most of the turns tell the truth.

    Args:
        frames: (time in s, RGB uint8 [H, W, 3]).
        tracker: finds the faces.
    """
    votes: Counter[int] = Counter()
    for turn in TURNS:
        for faces in tracker.track(turned(frames, turn)):
            face = largest(list(faces))
            if face is not None:
                votes[(needed_turn(face) + turn) % 360] += 1
    return votes


def refuse_turned(frames: Sequence[Timed], tracker: FaceTracker, rotate: int = 0) -> None:
    """Refuses a video whose faces are not upright.

    Args:
        frames: sampled frames.
        tracker: finds the faces.
        rotate: by how much the frames were turned already.

    Raises:
        InputError: names the turn that makes the faces upright.
    """
    voters = [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, VOTERS).round().astype(int))]
    votes = vote(voters, tracker)
    best = max(TURNS, key=lambda turn: votes[turn])
    if best == 0 or votes[best] < max(len(voters), MAJORITY * votes[0]):
        return
    found = sum(bool(faces) for faces in tracker.track(turned(frames, best)))
    raise InputError(
        "the faces in the video are not upright: it is turned, and its metadata do not say so.",
        f"--rotate {(rotate + best) % 360} finds the face in {found} of {len(frames)} sampled frames.",
    )
