"""The face crop that SyncNet sees: its authors' smoothed crop around a tracked face.

A track is a stretch of frames with the same face; gaps of up to 24 frames are bridged. Box centre and size are smoothed
by a median over 13 frames, with zeros beyond the ends of the track, as the authors' filter does. The crop extends the
box by 0.4 to the sides and 0.8 at the bottom, is grey beyond the edge of the image, and is resized to 224 × 224 px.
Tracks of six frames or fewer, which the authors' pipeline never crops, use one box for all frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from jean.metrics.lip_sync.sync import SIZE_PX

MARGIN = 0.40  # fraction of the box, from the authors' pipeline
MEDIAN_FRAMES = 13
MAX_STEP = 25  # frames between two detections of the same track
MIN_OVERLAP = 0.5  # intersection over union with the last box; below it, another face or another shot begins
GREY = 110
LOOKAHEAD = MEDIAN_FRAMES // 2

Box = tuple[float, float, float, float]


@dataclass
class Track:
    """One stretch of frames with a face.

    Attributes:
        first: number of its first frame.
        crops: crops that the caller has not taken yet, RGB uint8 [224, 224, 3].
    """

    first: int
    crops: list[np.ndarray] = field(default_factory=list)


class TrackCropper:
    """Turns frames and face boxes into smoothed crops; holds at most 31 frames.

    Attributes:
        tracks: all tracks so far, in order. The caller empties their ``crops``; this class only appends to them.
    """

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self._number = 0
        self._open: _OpenTrack | None = None

    def add(self, image: np.ndarray, box: Box | None) -> None:
        """Adds the next frame, RGB uint8 [H, W, 3], and its face box (left, top, right, bottom) in px, if any."""
        if self._open is not None and not self._open.continues(self._number, box):
            self.finish()
        if self._open is None and box is not None:
            self.tracks.append(Track(self._number))
            self._open = _OpenTrack(self.tracks[-1])
        if self._open is not None:
            self._open.add(self._number, image, box)
        self._number += 1

    def finish(self) -> None:
        """Ends the current track, if there is one, and crops its remaining frames."""
        if self._open is not None:
            self._open.finish()
        self._open = None


class _OpenTrack:
    """The current track; ``_squares`` are rows of (half size, centre y, centre x) in px."""

    def __init__(self, track: Track):
        self._track = track
        self._images: list[np.ndarray] = []  # frames without a crop so far
        self._squares: list[np.ndarray] = []  # of the last cropped frames, which the filter needs, and of later ones
        self._cropped = 0  # number of ``_squares`` whose frames are cropped
        self._box: Box | None = None
        self._box_number = -1  # frame number of ``_box``
        self._frames_without_box = 0

    def continues(self, number: int, box: Box | None) -> bool:
        """Whether frame ``number`` with ``box`` belongs to this track."""
        if self._box is None or box is None:
            return number - self._box_number < MAX_STEP
        return number - self._box_number <= MAX_STEP and _overlap(box, self._box) > MIN_OVERLAP

    def add(self, number: int, image: np.ndarray, box: Box | None) -> None:
        """Adds a frame and crops those frames whose filter window is complete."""
        self._images.append(image)
        if box is None:
            self._frames_without_box += 1
            return
        for n in range(1, self._frames_without_box + 1):  # interpolate linearly over the gap
            fraction = n / (self._frames_without_box + 1)
            assert self._box is not None
            between = tuple((1 - fraction) * a + fraction * b for a, b in zip(self._box, box, strict=True))
            self._squares.append(_square(between))  # type: ignore[arg-type]
        self._squares.append(_square(box))
        self._box, self._box_number, self._frames_without_box = box, number, 0
        self._crop(len(self._squares) - LOOKAHEAD)

    def finish(self) -> None:
        """Crops the remaining frames; the track ends with its last detected face."""
        if self._frames_without_box:
            del self._images[-self._frames_without_box :]
        if len(self._squares) <= LOOKAHEAD:  # the filter window would hold mostly zeros
            self._squares = [np.median(self._squares, axis=0)] * len(self._squares)
            self._track.crops += [crop(image, *self._squares[0].tolist()) for image in self._images]
            return
        self._crop(len(self._squares), np.zeros((LOOKAHEAD, 3)))

    def _crop(self, stop: int, after: np.ndarray | None = None) -> None:
        """Crops the pending frames up to ``stop``; ``after`` [n, 3] follows the last square."""
        from scipy.ndimage import median_filter

        count = stop - self._cropped
        if count <= 0:
            return
        # the filter window of the first pending frame reaches back over frames that are already cropped
        before = np.zeros((LOOKAHEAD - min(self._cropped, LOOKAHEAD), 3))
        parts = [before, np.array(self._squares[max(0, self._cropped - LOOKAHEAD) :])]
        squares = np.concatenate([*parts, after] if after is not None else parts)
        smooth = median_filter(squares, (MEDIAN_FRAMES, 1), mode="constant")[LOOKAHEAD : LOOKAHEAD + count]
        self._track.crops += [
            crop(image, *square) for image, square in zip(self._images[:count], smooth.tolist(), strict=True)
        ]
        del self._images[:count]
        self._cropped = stop
        surplus = self._cropped - LOOKAHEAD
        if surplus > 0:
            del self._squares[:surplus]
            self._cropped -= surplus


def crop(image: np.ndarray, half: float, centre_y: float, centre_x: float) -> np.ndarray:
    """The authors' crop around a square box, uint8 [224, 224, 3].

    Args:
        image: uint8 [H, W, 3].
        half: half the side of the box, px.
        centre_y, centre_x: centre of the box, px.
    """
    import cv2

    margin = int(half * (1 + 2 * MARGIN))
    y, x = centre_y + margin, centre_x + margin
    top, bottom = int(y - half), int(y + half * (1 + 2 * MARGIN))
    left, right = int(x - half * (1 + MARGIN)), int(x + half * (1 + MARGIN))
    # the authors pad the image by ``margin`` and cut off what lies beyond; a face at the very edge can reach there
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
    """The crop of the protocol ``frame``: the whole image at 224 × 224 px, ignoring its aspect ratio."""
    import cv2

    return cv2.resize(image, (SIZE_PX, SIZE_PX))


def _square(box: Box) -> np.ndarray:
    """(half of the longer side, centre y, centre x) of a box, px."""
    left, top, right, bottom = box
    return np.array([max(right - left, bottom - top) / 2, (top + bottom) / 2, (left + right) / 2])


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)
