"""Assigns the faces of successive frames to people.

A face is assigned to the person whose predicted position, size and appearance fit best. The appearance is a
small upright thumbnail of the face. It decides when two people cross, and when a person comes back later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jean import landmarks as ibug
from jean.features.base import Face

FLAT = 1.0  # standard deviation of grey levels below which a face has one colour
THUMB_PX = 16
# Outer eye corners and middle of the mouth in the thumbnail, as fractions of its side
THUMB_POINTS = np.array([[0.2, 0.3], [0.8, 0.3], [0.5, 0.8]], np.float32)
MAX_MOVE = 0.8  # largest motion and log of the size ratio between neighbouring frames, in face sizes
MAX_COST = 1.2  # a face that fits no person better than this is a new person
APPEARANCE_WEIGHT = 1.5
SAME_APPEARANCE = 0.45  # largest distance of appearances at which a person who comes back is recognised
RECENT_S = 0.5  # a position older than this predicts nothing
MEMORY = 0.95  # decay of the running mean of appearances
_FORBIDDEN = 10.0  # cost above MAX_COST


def appearance(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Descriptor of a face: an upright thumbnail without brightness and contrast, float32 [768], unit length.

    Args:
        image: uint8 RGB [H, W, 3].
        landmarks: [68, 2], px.

    Returns:
        Zeros if the landmarks are degenerate or outside the image, or if the face has one colour only.
    """
    import cv2

    eyes = landmarks[[ibug.RIGHT_EYE_OUTER, ibug.LEFT_EYE_OUTER]]
    mouth = landmarks[[ibug.MOUTH_RIGHT, ibug.MOUTH_LEFT]].mean(axis=0)
    source = np.vstack([eyes, mouth]).astype(np.float32)
    if np.linalg.matrix_rank(source[1:] - source[0], tol=1.0) < 2:
        return np.zeros(THUMB_PX**2 * 3, np.float32)
    # shrink in two steps: bilinear sampling alone would skip most pixels of a large face
    step = max(1, int(np.linalg.norm(eyes[1] - eyes[0]) / (THUMB_PX * 1.2)))
    left, top = np.maximum(np.floor(landmarks.min(axis=0)) - 2 * step, 0).astype(int)
    right, bottom = np.ceil(landmarks.max(axis=0)).astype(int) + 2 * step
    region = image[top:bottom, left:right]
    if min(region.shape[:2]) < step:
        return np.zeros(THUMB_PX**2 * 3, np.float32)
    height, width = max(region.shape[0] // step, 1), max(region.shape[1] // step, 1)
    small = cv2.resize(region, (width, height), interpolation=cv2.INTER_AREA)
    scale = np.array([width / region.shape[1], height / region.shape[0]], np.float32)
    matrix = cv2.getAffineTransform((source - (left, top)).astype(np.float32) * scale, THUMB_POINTS * THUMB_PX)
    thumb = cv2.warpAffine(small, matrix, (THUMB_PX, THUMB_PX), borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    # one mean over all channels removes the exposure and keeps the colour of the skin
    thumb = (thumb - thumb.mean()).reshape(-1)
    if thumb.std() < FLAT:
        return np.zeros_like(thumb)
    return thumb / np.linalg.norm(thumb)


@dataclass
class _Person:
    """Last known state of a person, or a face of the current frame."""

    center: np.ndarray  # px
    velocity: np.ndarray  # px per second
    size: float  # px
    appearance: np.ndarray
    time_s: float


class Identities:
    """Numbers the people of a video 0, 1, 2, … in the order in which they appear."""

    def __init__(self) -> None:
        self._people: list[_Person] = []

    def assign(self, time_s: float, image: np.ndarray, faces: Sequence[Face]) -> list[int]:
        """Returns the person's number of each face of a frame; call it once per frame, in order.

        Args:
            time_s: time of the frame.
            image: the frame, uint8 RGB [H, W, 3].
            faces: its faces.
        """
        from scipy.optimize import linear_sum_assignment

        if not faces:
            return []
        observations = [self._observe(time_s, image, face) for face in faces]
        numbers = [-1] * len(observations)
        if self._people:
            cost = np.array([[self._cost(person, new) for person in self._people] for new in observations])
            # the assignment may contain forbidden pairs, which the cost excludes
            for row, column in zip(*linear_sum_assignment(cost), strict=True):
                if cost[row, column] <= MAX_COST:
                    numbers[row] = int(column)
        for n, new in enumerate(observations):
            if numbers[n] < 0:
                numbers[n] = len(self._people)
                self._people.append(new)
            else:
                self._update(numbers[n], new)
        return numbers

    @staticmethod
    def _observe(time_s: float, image: np.ndarray, face: Face) -> _Person:
        """The state of a face, with unknown velocity."""
        box = ibug.bounding_box(face.landmarks)
        size = float(np.sqrt(max((box[2] - box[0]) * (box[3] - box[1]), 1.0)))
        return _Person((box[:2] + box[2:]) / 2, np.zeros(2), size, appearance(image, face.landmarks), time_s)

    @staticmethod
    def _cost(person: _Person, new: _Person) -> float:
        """Cost of taking a face for a person; above ``MAX_COST`` they differ."""
        gap_s = new.time_s - person.time_s
        known = person.appearance.any() and new.appearance.any()
        difference = (1.0 - float(person.appearance @ new.appearance)) * APPEARANCE_WEIGHT if known else 0.0
        if gap_s > RECENT_S:
            return difference if known and difference <= SAME_APPEARANCE * APPEARANCE_WEIGHT else _FORBIDDEN
        motion = np.linalg.norm(new.center - person.center - person.velocity * gap_s) / max(person.size, new.size)
        scaling = abs(np.log(new.size / person.size))
        if motion > MAX_MOVE or scaling > MAX_MOVE:
            return _FORBIDDEN
        return float(motion + scaling + difference)

    def _update(self, number: int, new: _Person) -> None:
        """Updates a person with a face of the current frame."""
        old = self._people[number]
        gap_s = max(new.time_s - old.time_s, 1e-3)
        if gap_s <= RECENT_S:
            # averaged, so that one noisy frame does not spoil the prediction
            new.velocity = 0.5 * old.velocity + 0.5 * (new.center - old.center) / gap_s
        mean = MEMORY * old.appearance + (1.0 - MEMORY) * new.appearance
        new.appearance = mean / max(float(np.linalg.norm(mean)), 1e-6)
        self._people[number] = new
