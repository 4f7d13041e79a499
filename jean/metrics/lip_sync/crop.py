"""The face that SyncNet sees: its authors' steadied crop of a tracked face, frame by frame.

A track is a stretch in which one face is found; gaps of up to 24 frames are bridged. Box centre and size are
steadied by a median over 13 frames (zeros beyond the track's ends, as the authors' filter has it), the crop
reaches 0.4 of the box beyond it to the sides and 0.8 below, grey lies beyond the picture's edge, and the
result is 224 × 224 px. Tracks of six frames or fewer, which the authors' pipeline never crops, have one box.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from jean.metrics.lip_sync.sync import SIZE_PX, median_filter

SCALE = 0.40
MEDIAN_FRAMES = 13
BRIDGED = 25  # frames from one found face to the next that still are one track
OVERLAP = 0.5  # of a box with the last one, below which it is another face or another shot
GREY = 110
AHEAD = MEDIAN_FRAMES // 2

Box = tuple[float, float, float, float]


@dataclass
class Track:
    """One stretch of frames with a face.

    Attributes:
        first: number of its first frame.
        crops: RGB uint8 [224, 224, 3], those that were not taken yet.
    """

    first: int
    crops: list[np.ndarray] = field(default_factory=list)


class TrackCropper:
    """Turns frames and boxes into steadied crops; holds at most 31 frames.

    Attributes:
        tracks: all tracks so far, in order; take their ``crops`` after each call, they are only appended to.
    """

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self._number = 0
        self._open: _OpenTrack | None = None

    def add(self, image: np.ndarray, box: Box | None) -> None:
        """Takes the next frame, RGB uint8 [H, W, 3], and its face (left, top, right, bottom) in px."""
        if self._open is not None and not self._open.goes_on(self._number, box):
            self.finish()
        if self._open is None and box is not None:
            self.tracks.append(Track(self._number))
            self._open = _OpenTrack(self.tracks[-1])
        if self._open is not None:
            self._open.add(self._number, image, box)
        self._number += 1

    def finish(self) -> None:
        """Ends the open track, if there is one."""
        if self._open is not None:
            self._open.finish()
        self._open = None


class _OpenTrack:
    """The track that the face is in; ``_shapes`` are rows of (half size, centre y, centre x)."""

    def __init__(self, track: Track):
        self._track = track
        self._images: list[np.ndarray] = []  # frames that have no crop yet
        self._shapes: list[np.ndarray] = []  # of the last frames with a crop, and of those that have none
        self._cropped = 0  # how many of ``_shapes`` have their crop
        self._box: Box | None = None
        self._seen = -1  # number of the frame with the last box
        self._blank = 0  # frames since then

    def goes_on(self, number: int, box: Box | None) -> bool:
        if self._box is None or box is None:
            return number - self._seen < BRIDGED
        return number - self._seen <= BRIDGED and _overlap(box, self._box) > OVERLAP

    def add(self, number: int, image: np.ndarray, box: Box | None) -> None:
        self._images.append(image)
        if box is None:
            self._blank += 1
            return
        for n in range(1, self._blank + 1):  # a gap lies on the line between its ends
            share = n / (self._blank + 1)
            assert self._box is not None
            between = tuple((1 - share) * a + share * b for a, b in zip(self._box, box, strict=True))
            self._shapes.append(_shape(between))  # type: ignore[arg-type]
        self._shapes.append(_shape(box))
        self._box, self._seen, self._blank = box, number, 0
        self._crop(len(self._shapes) - AHEAD)

    def finish(self) -> None:
        if self._blank:  # the track ended with its last face
            del self._images[-self._blank :]
        if len(self._shapes) <= AHEAD:  # the filter would meet mostly zeros; the authors have no such tracks
            self._shapes = [np.median(self._shapes, axis=0)] * len(self._shapes)
            self._track.crops += [crop(image, *self._shapes[0].tolist()) for image in self._images]
            return
        self._crop(len(self._shapes), np.zeros((AHEAD, 3)))

    def _crop(self, stop: int, after: np.ndarray | None = None) -> None:
        """Crops the waiting frames up to ``stop``; ``after``: what follows the last one."""
        count = stop - self._cropped
        if count <= 0:
            return
        # the window of the first waiting frame reaches over those that came before
        before = np.zeros((AHEAD - min(self._cropped, AHEAD), 3))
        parts = [before, np.array(self._shapes[max(0, self._cropped - AHEAD) :])]
        known = np.concatenate([*parts, after] if after is not None else parts)
        steady = median_filter(known, MEDIAN_FRAMES)[AHEAD : AHEAD + count]
        self._track.crops += [
            crop(image, *shape) for image, shape in zip(self._images[:count], steady.tolist(), strict=True)
        ]
        del self._images[:count]
        self._cropped = stop
        surplus = self._cropped - AHEAD
        if surplus > 0:
            del self._shapes[:surplus]
            self._cropped -= surplus


def crop(image: np.ndarray, half: float, centre_y: float, centre_x: float) -> np.ndarray:
    """The authors' crop, uint8 [224, 224, 3].

    Args:
        image: uint8 [H, W, 3].
        half: half the side of the box, px.
        centre_y, centre_x: its centre, px.
    """
    import cv2

    margin = int(half * (1 + 2 * SCALE))
    y, x = centre_y + margin, centre_x + margin
    top, bottom = int(y - half), int(y + half * (1 + 2 * SCALE))
    left, right = int(x - half * (1 + SCALE)), int(x + half * (1 + SCALE))
    # a face at the very edge can reach beyond the authors' margin, which they cut off; so is it here
    rows, columns = np.arange(max(top, 0), bottom) - margin, np.arange(max(left, 0), right) - margin
    height, width = image.shape[:2]
    rows, columns = rows[rows < height + margin], columns[columns < width + margin]
    if not rows.size or not columns.size:
        return np.full((SIZE_PX, SIZE_PX, 3), GREY, np.uint8)
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None, :]
    face = image[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)[None, :]]
    face = np.where(inside[..., None], face, np.uint8(GREY))
    return cv2.resize(face, (SIZE_PX, SIZE_PX))


def whole_frame(image: np.ndarray) -> np.ndarray:
    """The other common protocol: the whole frame at 224 × 224 px, whatever its proportions."""
    import cv2

    return cv2.resize(image, (SIZE_PX, SIZE_PX))


def _shape(box: Box) -> np.ndarray:
    left, top, right, bottom = box
    return np.array([max(right - left, bottom - top) / 2, (top + bottom) / 2, (left + right) / 2])


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)
