"""Blinks and gaze: how often the eyes close, and whether they look where they should."""

from __future__ import annotations

import numpy as np

from jean.metrics.base import Column, Compared, FramePair, PairContext, Scores, known_mean

RIGHT, LEFT = slice(36, 42), slice(42, 48)
# A blink: the eyes are open by less than this share of their usual opening …
CLOSED_SHARE = 0.6
# … for at most this long; longer is a closed eye (blinks last 0.1 to 0.4 s).
LONGEST_S = 0.6
# Half an eyeball, as a share of the distance between the eye's corners: 12 mm of about 30 mm.
EYEBALL_RADIUS = 0.4


def eye_openness(landmarks: np.ndarray) -> np.ndarray:
    """Height of the lids' opening over the eye's width, mean of both eyes: [..., 68, 2] px → [...]."""
    found = []
    for eye in (RIGHT, LEFT):
        p = landmarks[..., eye, :]
        height = np.linalg.norm(p[..., (1, 2), :] - p[..., (5, 4), :], axis=-1).mean(-1)
        found.append(height / np.linalg.norm(p[..., 0, :] - p[..., 3, :], axis=-1))
    return (found[0] + found[1]) / 2


def blinks(openness: np.ndarray, fps: float) -> int:
    """How many blinks a track [T] of openness has; frames without a face (NaN) end a blink unseen.

    A blink is a stretch below 60 % of the track's median that begins and ends within it and lasts at
    most 0.6 s.
    """
    known = np.isfinite(openness)
    if not known.any():
        return 0
    closed = known & (openness < CLOSED_SHARE * np.median(openness[known]))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], closed, [False]]).astype(np.int8)))
    count = 0
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        whole = start > 0 and end < len(openness) and known[start - 1] and known[end]
        count += bool(whole and (end - start) / fps <= LONGEST_S)
    return count


def gaze_direction(landmarks: np.ndarray, irises: np.ndarray) -> np.ndarray:
    """Where the eyes look within the head, mean of both: [..., 2], degrees to the image's right and down.

    The iris's way from the middle between the eye's corners, over the radius of an eyeball, is the sine of
    its turn. The head's own turn is not in it.

    Args:
        landmarks: [..., 68, 2] px.
        irises: [..., 2, 2] px, subject's right first.
    """
    found = []
    for index, eye in enumerate((RIGHT, LEFT)):
        p = landmarks[..., eye, :]
        across = p[..., 3, :] - p[..., 0, :]
        width = np.linalg.norm(across, axis=-1, keepdims=True)
        x_axis = across / width
        y_axis = np.stack([-x_axis[..., 1], x_axis[..., 0]], -1)
        offset = irises[..., index, :] - (p[..., 0, :] + p[..., 3, :]) / 2
        turned = np.stack([(offset * x_axis).sum(-1), (offset * y_axis).sum(-1)], -1)
        found.append(turned / (EYEBALL_RADIUS * width))
    return np.degrees(np.arcsin(np.clip((found[0] + found[1]) / 2, -1, 1)))


class Blinks(Compared):
    """Blinks a minute, beside the reference's own."""

    name = "blinks"
    version = "1"
    needs_partner = False
    columns = (
        Column("blinks_per_min", "Blinks", None, 1, "Blinks a minute, from the lids' landmarks."),
        Column("blinks_per_min_reference", "Blinks, reference", None, 1, "The same of the reference."),
    )

    def __init__(self, context: PairContext):
        self._context = context
        self._ours: list[float] = []
        self._theirs: list[float] = []

    def update(self, pair: FramePair) -> None:
        """Adds one pair of frames."""
        for track, side in ((self._ours, pair.result), (self._theirs, pair.reference)):
            if side is not None:
                track.append(float("nan") if side.face is None else float(eye_openness(side.face.landmarks)))

    def result(self) -> Scores:
        """The scores over all pairs."""
        tracked = self._context.tracker != "reference"
        ours, theirs = np.array(self._ours if tracked else []), np.array(self._theirs)
        values = {"blinks_per_min": self._rate(ours), "blinks_per_min_reference": self._rate(theirs)}
        notes = () if tracked else ("Blinks need a tracker on the result.",)
        return Scores(values, {"eye_openness": ours, "eye_openness_reference": theirs}, notes)

    def _rate(self, openness: np.ndarray) -> float:
        known = int(np.isfinite(openness).sum())
        return blinks(openness, self._context.fps) * 60 * self._context.fps / known if known else float("nan")


class Gaze(Compared):
    """Angle between where the eyes look and where the reference's look."""

    name = "gaze"
    version = "1"
    columns = (
        Column("gaze_error_deg", "Gaze", "lower", 1, "Angle between the eyes' directions within the head, degrees."),
    )

    def __init__(self, context: PairContext):
        self._tracker = context.tracker
        self._errors: list[float] = []

    def update(self, pair: FramePair) -> None:
        """Adds one pair of frames."""
        assert pair.reference is not None
        ours, theirs = pair.result.face, pair.reference.face
        if ours is None or theirs is None or self._tracker == "reference":
            self._errors.append(float("nan"))
            return
        apart = gaze_direction(ours.landmarks, ours.irises) - gaze_direction(theirs.landmarks, theirs.irises)
        self._errors.append(float(np.linalg.norm(apart)))

    def result(self) -> Scores:
        """The scores over all pairs."""
        errors = np.array(self._errors)
        known = bool(np.isfinite(errors).any())
        notes = () if known else (f"No gaze: the tracker {self._tracker!r} gives no irises for both.",)
        return Scores({"gaze_error_deg": known_mean(errors)}, {"gaze_error_deg": errors}, notes)
