"""Whether eyes and mouth of a rendered face stay whole when another person's expression drives it.

A torn eye or mouth looks like no real frame of the person. The distance to the nearest real frame also contains blur
and pose, so it is divided by that of a control: the same render without the foreign expression. A control may repeat
real frames almost exactly. Distances below those between real frames of the person therefore count as equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from jean.clips.sources import expand, open_source
from jean.errors import InputError
from jean.features import registry as adapters
from jean.landmarks import EYES, LEFT_EYE, MOUTH, RIGHT_EYE
from jean.metrics.base import Column, FramePair, Metric, MetricContext, MetricOptions, Scores, TrackedFrame
from jean.metrics.faces import TrackedVideo

# part → (landmarks in its middle, size of the crop (width, height) px, distance of the eyes in it, px)
CROPS = {"eyes": (EYES, (96, 40), 42.24), "mouth": (MOUTH, (72, 48), 39.6)}
# Ratio above which a part counts as torn. Doubled eyes and smeared mouths reach 3 to 6, but a blink or a wide open
# mouth that the control does not show may reach 2.5 as well: look at such frames.
TORN = 2.5
SAME_MOMENT_S = 0.5  # real frames nearer in time are no independent views of the person
REAL_FRAMES = 1000  # at most twice as many evenly spaced frames stand for the person, so that memory stays constant
NOISE_FLOOR = 4.0  # grey levels added to the contrast of a crop, so that noise of a plain crop is not amplified


def part_crop(image: np.ndarray, landmarks: np.ndarray, part: str) -> np.ndarray:
    """Standardised grey levels of a part, aligned by the eyes: float32 [pixels].

    Args:
        image: RGB uint8 [H, W, 3].
        landmarks: [68, 2] px.
        part: "eyes" or "mouth".
    """
    import cv2

    middle, (width, height), eye_distance_px = CROPS[part]
    across = landmarks[LEFT_EYE].mean(0) - landmarks[RIGHT_EYE].mean(0)
    cosine, sine = across * eye_distance_px / (across @ across)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    # cv2 has pixel centres at integers, this project at half-integers
    shift = np.array([width / 2, height / 2]) - turn @ (landmarks[middle].mean(0) - 0.5) - 0.5
    crop = cv2.warpAffine(np.ascontiguousarray(image), np.c_[turn, shift], (width, height), flags=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1)
    return ((grey - grey.mean()) / (grey.std() + NOISE_FLOOR)).ravel().astype(np.float32)


def part_crops(image: np.ndarray, landmarks: np.ndarray) -> dict[str, np.ndarray]:
    """``part_crop`` of every part."""
    return {part: part_crop(image, landmarks, part) for part in CROPS}


@dataclass(frozen=True)
class RealFaces:
    """Crops of the person's real frames.

    Attributes:
        crops: part → [N, pixels].
        floor: part → median distance of a real frame to the nearest one of another moment; 0 if there is none.
    """

    crops: dict[str, np.ndarray]
    floor: dict[str, float]

    @classmethod
    def of(cls, crops: dict[str, np.ndarray], times_s: np.ndarray) -> RealFaces:
        """From crops [N, pixels] by part and their times [N]."""
        other = np.abs(times_s[:, None] - times_s) > SAME_MOMENT_S
        return cls(crops, {part: _median_nearest(rows, other) for part, rows in crops.items()})

    def distances(self, frame: TrackedFrame) -> dict[str, float]:
        """Mean squared difference of a frame's crops to the most similar real ones by part; NaN without a face."""
        if frame.face is None:
            return dict.fromkeys(CROPS, float("nan"))
        crops = part_crops(frame.image, frame.face.landmarks)
        return {part: float(np.square(self.crops[part] - crop).mean(1).min()) for part, crop in crops.items()}


def _median_nearest(rows: np.ndarray, other: np.ndarray) -> float:
    """Median over rows [N, D] of the mean squared difference to the nearest row that ``other`` [N, N] allows."""
    square = np.square(rows).sum(1)
    distance = np.where(other, (square[:, None] + square - 2 * rows @ rows.T) / rows.shape[1], np.inf).min(1)
    return max(0.0, float(np.median(distance))) if np.isfinite(distance).all() else 0.0


class FaceIntegrityOptions(MetricOptions):
    """Videos that the result is compared with."""

    real: Path = Field(description="a clip or video of the person whose head was rendered, such as the training clip")
    control: Path = Field(
        description="the same render without the expression source (same voice, same poses); "
        "or a folder of them, paired with the results by name"
    )


class FaceIntegrity(Metric):
    """Fraction of frames with torn eyes or a torn mouth.

    A frame in which the control shows a face and the result shows none counts as torn. Frames in which the control
    shows none do not count.
    """

    name = "face_integrity"
    version = "1"
    role = None
    needs_partner = False
    Options = FaceIntegrityOptions
    columns = (
        Column("eyes_torn", "Eyes torn", "lower", 3, f"Fraction of frames whose eyes have a ratio above {TORN}."),
        Column("mouth_torn", "Mouth torn", "lower", 3, f"Fraction of frames whose mouth has a ratio above {TORN}."),
        Column(
            "eyes_ratio",
            "Eyes",
            "lower",
            2,
            "Distance of the eyes to the nearest real frame over the control's, median.",
        ),
        Column("mouth_ratio", "Mouth", "lower", 2, "Distance of the mouth to the nearest real frame, likewise."),
    )
    options: FaceIntegrityOptions

    def __init__(self, context: MetricContext, options: FaceIntegrityOptions):
        super().__init__(context, options)
        self._distances: dict[str, list[float]] = {part: [] for part in CROPS}

    @classmethod
    def facts(cls, context: MetricContext, options: FaceIntegrityOptions) -> dict[str, Any]:
        """Contents of the person's frames and of the control."""
        control = control_of(context.result_path, options.control)
        digest = None if control is None else open_source(control).digest()
        return {"real": open_source(options.real).digest(), "control": digest}

    def update(self, pair: FramePair) -> None:
        """Adds the distances of one frame."""
        if not self.context.result_is_tracked:
            return
        real = real_faces(self.options.real, self.context.tracker, self.context.device)
        for part, distance in real.distances(pair.result).items():
            self._distances[part].append(distance)

    def result(self) -> Scores:
        """Fractions of torn frames, and medians of the ratios."""
        unknown = {column.name: float("nan") for column in self.columns}
        if not self.context.result_is_tracked:
            return Scores(unknown, notes=("Face integrity needs a tracker on the result.",))
        context, control_path = self.context, control_of(self.context.result_path, self.options.control)
        if control_path is None:
            return Scores(unknown, notes=(f"Face integrity: {self.options.control} has no control of this name.",))
        real = real_faces(self.options.real, context.tracker, context.device)
        control = control_distances(control_path, real, context)
        values, series, notes = dict(unknown), {}, []
        for part, distances in self._distances.items():
            count = min(len(distances), len(control[part]))
            ratios, torn = integrity(np.array(distances[:count]), control[part][:count], real.floor[part])
            known = np.isfinite(ratios)
            values[f"{part}_torn"] = torn
            values[f"{part}_ratio"] = float(np.median(ratios[known])) if known.any() else float("nan")
            series[f"{part}_ratio"] = ratios
        if len(self._distances["eyes"]) != len(control["eyes"]):
            notes.append(
                f"Face integrity: {control_path.name} has {len(control['eyes'])} frames; the rest is left out."
            )
        return Scores(values, series, tuple(notes))


def integrity(distances: np.ndarray, control: np.ndarray, floor: float) -> tuple[np.ndarray, float]:
    """Ratios of distances [T] to those of the control [T], and the fraction of torn frames.

    Args:
        distances: to the nearest real frame; NaN for a frame without a face.
        control: likewise; frames that are NaN here do not count.
        floor: distance between real frames; smaller distances of the control count as this.

    >>> ratios, torn = integrity(np.array([0.3, np.nan, 0.1, 9.0]), np.array([0.1, 0.1, 0.02, np.nan]), 0.05)
    >>> ratios.round(1).tolist(), round(torn, 2)
    ([3.0, nan, 2.0, nan], 0.67)
    """
    ratios = distances / np.maximum(control, floor)
    counted = np.isfinite(control)
    if not counted.any():
        return ratios, float("nan")
    return ratios, float((~(ratios[counted] <= TORN)).mean())


def control_of(result: Path, control: Path) -> Path | None:
    """The control of a result: ``control`` itself, or the source of the result's name in that folder, if any."""
    sources, is_folder = expand(control)
    if not is_folder:
        return sources[0].path
    stem = open_source(result).stem
    return next((source.path for source in sources if source.stem == stem), None)


@lru_cache(maxsize=4)
def real_faces(path: Path, tracker: str, device: str) -> RealFaces:
    """The real faces of a video or clip. Cached for later results.

    Raises:
        InputError: it shows no face.
    """
    source = open_source(path)
    found: list[tuple[float, dict[str, np.ndarray]]] = []
    stride = 1
    face_tracker = adapters.create("tracker", tracker, video=path, device=device)
    for number, (time_s, frame) in enumerate(TrackedVideo(source.frames(source.fps(), warn=_ignore), face_tracker)):
        if number % stride == 0 and frame.face is not None:
            found.append((time_s, part_crops(frame.image, frame.face.landmarks)))
        if len(found) == 2 * REAL_FRAMES:
            found, stride = found[::2], 2 * stride
    if not found:
        raise InputError(f"{path} shows no face.", "Give face_integrity.real a clip of the person.")
    crops = {part: np.stack([crops[part] for _, crops in found]) for part in CROPS}
    return RealFaces.of(crops, np.array([time_s for time_s, _ in found]))


def control_distances(path: Path, real: RealFaces, context: MetricContext) -> dict[str, np.ndarray]:
    """Distances [T] of the control's frames by part."""
    face_tracker = adapters.create("tracker", context.tracker, video=path, device=context.device)
    video = TrackedVideo(open_source(path).frames(context.fps, warn=_ignore), face_tracker)
    rows = [real.distances(frame) for _, frame in video]
    return {part: np.array([row[part] for row in rows]) for part in CROPS}


def _ignore(message: str) -> None:
    """Drops messages about damage: the result's own pass reports those of the result."""
