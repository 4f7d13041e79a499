"""Blink rate and gaze error, from the landmarks of the eyes and the irises."""

from __future__ import annotations

import numpy as np

from jean.metrics.base import Column, FramePair, Metric, MetricContext, MetricOptions, Scores, finite_mean

RIGHT, LEFT = slice(36, 42), slice(42, 48)  # the subject's eyes in the 68 landmarks
# The eyes are closed below this fraction of their median openness.
CLOSED_FRACTION = 0.6
# Longer than this, closed eyes are not a blink; blinks last 0.1 to 0.4 s.
MAX_BLINK_S = 0.6
# Radius of the eyeball as a fraction of the distance between the eye corners: 12 mm of about 30 mm.
EYEBALL_RADIUS = 0.4


def eye_openness(landmarks: np.ndarray) -> np.ndarray:
    """Height of the eye opening over its width, mean of both eyes.

    Args:
        landmarks: [..., 68, 2] px.

    Returns:
        [...].
    """
    ratios = []
    for eye in (RIGHT, LEFT):
        p = landmarks[..., eye, :]
        height = np.linalg.norm(p[..., (1, 2), :] - p[..., (5, 4), :], axis=-1).mean(-1)
        ratios.append(height / np.linalg.norm(p[..., 0, :] - p[..., 3, :], axis=-1))
    return (ratios[0] + ratios[1]) / 2


def blinks(openness: np.ndarray, fps: float) -> int:
    """Counts the blinks in a track of eye openness.

    A blink is a stretch below 60 % of the median openness, at most 0.6 s long, that begins and ends within the track. A
    stretch next to a frame without a face does not count.

    Args:
        openness: [T]; NaN for frames without a face.
        fps: frames per second.

    >>> blinks(np.array([0.3, 0.3, 0.05, 0.3, 0.3]), fps=25)
    1
    """
    known = np.isfinite(openness)
    if not known.any():
        return 0
    closed = known & (openness < CLOSED_FRACTION * np.median(openness[known]))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], closed, [False]]).astype(np.int8)))
    count = 0
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        enclosed = start > 0 and end < len(openness) and known[start - 1] and known[end]
        count += bool(enclosed and (end - start) / fps <= MAX_BLINK_S)
    return count


def gaze_direction(landmarks: np.ndarray, irises: np.ndarray) -> np.ndarray:
    """Gaze direction within the head, mean of both eyes: degrees to the right and down in the image.

    The offset of the iris from the midpoint between the eye corners, divided by the radius of the eyeball, is the sine
    of the rotation of the eye. Head rotation is not included.

    Args:
        landmarks: [..., 68, 2] px.
        irises: [..., 2, 2] px, the subject's right iris first.

    Returns:
        [..., 2] degrees.
    """
    sines = []
    for index, eye in enumerate((RIGHT, LEFT)):
        p = landmarks[..., eye, :]
        across = p[..., 3, :] - p[..., 0, :]
        width = np.linalg.norm(across, axis=-1, keepdims=True)
        x_axis = across / width
        y_axis = np.stack([-x_axis[..., 1], x_axis[..., 0]], -1)
        offset = irises[..., index, :] - (p[..., 0, :] + p[..., 3, :]) / 2
        in_eye = np.stack([(offset * x_axis).sum(-1), (offset * y_axis).sum(-1)], -1)
        sines.append(in_eye / (EYEBALL_RADIUS * width))
    return np.degrees(np.arcsin(np.clip((sines[0] + sines[1]) / 2, -1, 1)))


class Blinks(Metric):
    """Blinks per minute of the result and of the reference."""

    name = "blinks"
    needs_pictures = False
    version = "1"
    needs_partner = False
    columns = (
        Column("blinks_per_min", "Blinks", None, 1, "Blinks per minute, from the landmarks of the eyelids."),
        Column("blinks_per_min_reference", "Blinks, reference", None, 1, "Blinks per minute of the reference."),
    )

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self._result: list[float] = []
        self._reference: list[float] = []

    def update(self, pair: FramePair) -> None:
        """Adds the eye openness of both frames; NaN without a face."""
        for track, frame in ((self._result, pair.result), (self._reference, pair.reference)):
            if frame is not None:
                track.append(float("nan") if frame.face is None else float(eye_openness(frame.face.landmarks)))

    def result(self) -> Scores:
        """Blinks per minute, counting only frames with a face."""
        tracked = self.context.result_is_tracked
        result, reference = np.array(self._result if tracked else []), np.array(self._reference)
        values = {"blinks_per_min": self._rate(result), "blinks_per_min_reference": self._rate(reference)}
        notes = () if tracked else ("Blinks need a tracker on the result.",)
        return Scores(values, {"eye_openness": result, "eye_openness_reference": reference}, notes)

    def _rate(self, openness: np.ndarray) -> float:
        known = int(np.isfinite(openness).sum())
        return blinks(openness, self.context.fps) * 60 * self.context.fps / known if known else float("nan")


class Gaze(Metric):
    """Angle between the gaze directions of the result and the reference, within the head."""

    name = "gaze"
    needs_pictures = False
    version = "1"
    columns = (
        Column("gaze_error_deg", "Gaze", "lower", 1, "Angle between the gaze directions within the head, degrees."),
    )

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self._errors_deg: list[float] = []

    def update(self, pair: FramePair) -> None:
        """Adds the gaze error of one frame pair; NaN if a face is missing."""
        assert pair.reference is not None
        face, reference = pair.result.face, pair.reference.face
        if face is None or reference is None or not self.context.result_is_tracked:
            self._errors_deg.append(float("nan"))
            return
        gaze = gaze_direction(face.landmarks, face.irises)
        difference = gaze - gaze_direction(reference.landmarks, reference.irises)
        self._errors_deg.append(float(np.linalg.norm(difference)))

    def result(self) -> Scores:
        """The mean error over frames with irises in both videos."""
        errors = np.array(self._errors_deg)
        known = bool(np.isfinite(errors).any())
        notes = () if known else (f"No gaze: the tracker {self.context.tracker!r} gives no irises for both videos.",)
        return Scores({"gaze_error_deg": finite_mean(errors)}, {"gaze_error_deg": errors}, notes)
