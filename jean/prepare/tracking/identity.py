"""Keeps people apart over time: which face of this frame is which face of the frames before.

A face goes to the identity whose place (moved on at its own speed), size and looks fit best. Looks are a
small picture of the face, upright and of one size; they decide when two people cross and stand at one
place, and when somebody comes back after a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jean import landmarks as ibug
from jean.features.base import Face

THUMB_PX = 16
# Where the outer eye corners and the mouth's middle come to lie in the thumbnail, shares of its side
THUMB_POINTS = np.array([[0.2, 0.3], [0.8, 0.3], [0.5, 0.8]], np.float32)
MAX_MOVE = 0.8  # of the face's size, between neighbouring frames
MAX_COST = 1.2
LOOKS_WEIGHT = 1.5
SAME_LOOKS = 0.45  # distance of looks under which somebody who comes back elsewhere is recognised
RECENT_S = 0.5  # a place is worth something only so long after it was seen
MEMORY = 0.95  # share of the old looks kept at each sighting


def looks(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """float32 [768]: an upright thumbnail of the face, brightness and contrast taken out, unit length.

    Args:
        image: uint8 RGB [H, W, 3].
        landmarks: [68, 2], px.
    """
    import cv2

    eyes = landmarks[[ibug.RIGHT_EYE_OUTER, ibug.LEFT_EYE_OUTER]]
    mouth = landmarks[[ibug.MOUTH_RIGHT, ibug.MOUTH_LEFT]].mean(axis=0)
    source = np.vstack([eyes, mouth]).astype(np.float32)
    if np.linalg.matrix_rank(source[1:] - source[0], tol=1.0) < 2:
        return np.zeros(THUMB_PX**2 * 3, np.float32)
    # shrunk in one step, bilinear taps would miss most pixels of a large face
    step = max(1, int(np.linalg.norm(eyes[1] - eyes[0]) / (THUMB_PX * 1.2)))
    left, top = np.maximum(np.floor(landmarks.min(axis=0)) - 2 * step, 0).astype(int)
    right, bottom = np.ceil(landmarks.max(axis=0)).astype(int) + 2 * step
    piece = image[top:bottom, left:right]
    if min(piece.shape[:2]) < step:
        return np.zeros(THUMB_PX**2 * 3, np.float32)
    height, width = max(piece.shape[0] // step, 1), max(piece.shape[1] // step, 1)
    small = cv2.resize(piece, (width, height), interpolation=cv2.INTER_AREA)
    scale = np.array([width / piece.shape[1], height / piece.shape[0]], np.float32)
    matrix = cv2.getAffineTransform((source - (left, top)).astype(np.float32) * scale, THUMB_POINTS * THUMB_PX)
    thumb = cv2.warpAffine(small, matrix, (THUMB_PX, THUMB_PX), borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    # the mean of all channels together: the colour of the skin stays, the exposure goes
    thumb = (thumb - thumb.mean()).reshape(-1)
    return thumb / max(float(np.linalg.norm(thumb)), 1e-6)


@dataclass
class _Person:
    center: np.ndarray
    speed: np.ndarray  # px a second
    size: float
    looks: np.ndarray
    seen_s: float


class Identities:
    """Gives every face of a video the number of its person: 0, 1, 2, … in order of appearance."""

    def __init__(self) -> None:
        self._people: list[_Person] = []

    def assign(self, time_s: float, image: np.ndarray, faces: Sequence[Face]) -> list[int]:
        """The person of each face of one frame; call once a frame, in order.

        Args:
            time_s: of the frame.
            image: uint8 RGB [H, W, 3].
            faces: of that frame.
        """
        from scipy.optimize import linear_sum_assignment

        if not faces:
            return []
        seen = [self._sighting(time_s, image, face) for face in faces]
        numbers = [-1] * len(seen)
        if self._people:
            cost = np.array([[self._cost(person, new) for person in self._people] for new in seen])
            # a forbidden pair may still come out of the assignment; it is refused below
            for row, column in zip(*linear_sum_assignment(cost), strict=True):
                if cost[row, column] <= MAX_COST:
                    numbers[row] = int(column)
        for n, new in enumerate(seen):
            if numbers[n] < 0:
                numbers[n] = len(self._people)
                self._people.append(new)
            else:
                self._update(numbers[n], new)
        return numbers

    @staticmethod
    def _sighting(time_s: float, image: np.ndarray, face: Face) -> _Person:
        box = ibug.bounding_box(face.landmarks)
        size = float(np.sqrt(max((box[2] - box[0]) * (box[3] - box[1]), 1.0)))
        return _Person((box[:2] + box[2:]) / 2, np.zeros(2), size, looks(image, face.landmarks), time_s)

    @staticmethod
    def _cost(person: _Person, new: _Person) -> float:
        gap_s = new.seen_s - person.seen_s
        unlike = (1.0 - float(person.looks @ new.looks)) * LOOKS_WEIGHT
        if gap_s > RECENT_S:
            return unlike if unlike <= SAME_LOOKS * LOOKS_WEIGHT else 10.0
        move = np.linalg.norm(new.center - person.center - person.speed * gap_s) / max(person.size, new.size)
        stretch = abs(np.log(new.size / person.size))
        if move > MAX_MOVE or stretch > MAX_MOVE:
            return 10.0
        return float(move + stretch + unlike)

    def _update(self, number: int, new: _Person) -> None:
        old = self._people[number]
        gap_s = max(new.seen_s - old.seen_s, 1e-3)
        if gap_s <= RECENT_S:
            # half of the new speed: one noisy frame must not throw the prediction
            new.speed = 0.5 * old.speed + 0.5 * (new.center - old.center) / gap_s
        mixed = MEMORY * old.looks + (1.0 - MEMORY) * new.looks
        new.looks = mixed / max(float(np.linalg.norm(mixed)), 1e-6)
        self._people[number] = new
