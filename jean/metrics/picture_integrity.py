"""Whether the neck stays closed and the background untouched, from the layers of the renderer.

The layers are the opacities of head and torso, which ``jean render --layers`` writes. A pixel whose opacity is 0 shows
the background exactly, so opacities tell what was painted without knowing the background.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from jean.clips.clip import Clip
from jean.clips.sources import open_source
from jean.errors import InputError, UsageError
from jean.landmarks import CHIN, inter_ocular
from jean.media import read_opacity
from jean.metrics.base import Column, FramePair, Metric, MetricContext, MetricOptions, Scores, finite_mean

CLOSED = 0.98  # opacity of head and torso from chin to collar
# The region from chin to collar, in distances between the outer eye corners; narrower than any neck. It lies below the
# middle of the jaw's corners, since the chin of a turned head stands beside the neck.
NECK_HALF_WIDTH, NECK_ABOVE, NECK_BELOW = 0.2, 0.15, 0.35
JAW_CORNERS = [3, 13]
PAINTED = 0.05  # opacity from which a pixel outside the person counts: 13 of 255 grey levels at most
REACH = 0.04  # fraction of the frame's width around the person that hair and soft edges may fill
STRAY = 1e-3  # fraction of the frame from which the picture counts as changed outside the person
MATTES = 64  # evenly spaced frames of the real clip that show where the torso may be


def neck_opacity(opacity: np.ndarray, landmarks: np.ndarray) -> float:
    """Smallest opacity from chin to collar, averaged over 3 × 3 pixels; NaN where that region is outside the frame.

    Args:
        opacity: of head and torso together, float [H, W] in [0, 1].
        landmarks: [68, 2] px.
    """
    import cv2

    unit, x, y = float(inter_ocular(landmarks)), landmarks[JAW_CORNERS, 0].mean(), landmarks[CHIN, 1]
    top, bottom = round(y - NECK_ABOVE * unit), round(y + NECK_BELOW * unit)
    left, right = round(x - NECK_HALF_WIDTH * unit), round(x + NECK_HALF_WIDTH * unit)
    region = cv2.blur(opacity.astype(np.float32), (3, 3))[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    return float(region.min()) if region.size else float("nan")


def painted_outside(head: np.ndarray, torso: np.ndarray, torso_region: np.ndarray) -> float:
    """Fraction of the frame's pixels that are painted although neither head nor torso may be there.

    The head is the largest connected area of the head layer, the torso lies where a real frame shows it.

    Args:
        head, torso: opacities, float [H, W] in [0, 1]; the torso's where the head does not cover it.
        torso_region: bool [H, W], from ``torso_region``.
    """
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats((head > 0.5).astype(np.uint8))
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()) if len(stats) > 1 else -1
    allowed = _grown(labels == largest, REACH) | torso_region
    return float(((head + torso > PAINTED) & ~allowed).mean())


def torso_region(mattes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where the torso may be, bool [H, W]: pixels that any of the mattes shows, and their surroundings.

    Args:
        mattes: uint8 [T, h, w, 2], opacity of head and torso in real frames.
        size: (H, W) of the result.
    """
    import cv2

    seen = np.asarray(mattes)[..., 1].max(0)
    return _grown(cv2.resize(seen, (size[1], size[0]), interpolation=cv2.INTER_NEAREST) > 127, REACH)


def _grown(mask: np.ndarray, reach: float) -> np.ndarray:
    """A mask [H, W] grown by ``reach``, a fraction of its width."""
    import cv2

    radius = max(1, round(reach * mask.shape[1]))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc)) > 0


class PictureIntegrityOptions(MetricOptions):
    """Real frames of the person."""

    real: Path = Field(description="the training clip, whose mattes show where the torso may be")


class PictureIntegrity(Metric):
    """Opacity from chin to collar, and painted pixels outside the person.

    Layers come from the folder ``NAME_layers`` beside the result, or from the mattes of a clip folder.
    """

    name = "picture_integrity"
    version = "1"
    role = None
    needs_partner = False
    Options = PictureIntegrityOptions
    columns = (
        Column("neck_opacity", "Neck", "higher", 3, "Smallest opacity from chin to collar, mean over the frames."),
        Column("neck_open", "Neck open", "lower", 3, f"Fraction of frames in which it is below {CLOSED}."),
        Column("painted_outside", "Painted outside", "lower", 4, "Fraction of the pixels painted outside the person."),
        Column("picture_changed", "Picture changed", "lower", 3, f"Fraction of frames in which it exceeds {STRAY:g}."),
    )
    options: PictureIntegrityOptions

    def __init__(self, context: MetricContext, options: PictureIntegrityOptions):
        super().__init__(context, options)
        self._neck: list[float] = []
        self._painted: list[float] = []
        self._layers = layer_files(context.result_path)
        self._own_fps = open_source(context.result_path).fps() if self._layers else 0.0

    @classmethod
    def facts(cls, context: MetricContext, options: PictureIntegrityOptions) -> dict[str, Any]:
        """Content of the real clip, and number of the layers, which belong to the content of the result."""
        return {"real": open_source(options.real).digest(), "layers": len(layer_files(context.result_path))}

    def update(self, pair: FramePair) -> None:
        """Adds one frame."""
        opacity = pair.result.matte
        if self._layers:
            index = min(round(pair.time_s * self._own_fps), len(self._layers) - 1)
            opacity = read_opacity(self._layers[index])
        if opacity is None:
            return
        head, torso = np.moveaxis(opacity.astype(np.float32) / 255, -1, 0)
        self._painted.append(painted_outside(head, torso, _torso_region_of(self.options.real, head.shape)))
        face = pair.result.face if self.context.result_is_tracked else None
        self._neck.append(float("nan") if face is None else neck_opacity(head + torso, face.landmarks))

    def result(self) -> Scores:
        """Means, and fractions of frames beyond the limits."""
        if not self._painted:
            unknown = {column.name: float("nan") for column in self.columns}
            return Scores(unknown, notes=("Picture integrity needs layers: render with --layers.",))
        neck, painted = np.array(self._neck), np.array(self._painted)
        known = neck[np.isfinite(neck)]
        values = {
            "neck_opacity": finite_mean(neck),
            "neck_open": float((known < CLOSED).mean()) if known.size else float("nan"),
            "painted_outside": float(painted.mean()),
            "picture_changed": float((painted > STRAY).mean()),
        }
        return Scores(values, {"neck_opacity": neck, "painted_outside": painted})


def layer_files(result: Path) -> list[Path]:
    """Files that ``jean render --layers`` wrote beside a video, in order; empty if there are none."""
    folder = result.with_name(f"{result.stem}_layers")
    return sorted(folder.glob("*.png")) if result.is_file() and folder.is_dir() else []


@lru_cache(maxsize=4)
def _torso_region_of(path: Path, size: tuple[int, int]) -> np.ndarray:
    clip = open_source(path).clip
    if clip is None:
        raise UsageError(f"{path} has no mattes.", "Give picture_integrity.real a prepared clip of the person.")
    return torso_region(sampled_mattes(clip), size)


def sampled_mattes(clip: Clip) -> np.ndarray:
    """At most ``MATTES`` evenly spaced mattes of a clip, uint8 [T, H, W, 2]."""
    if not clip.frame_count:
        raise InputError(f"{clip.folder} has no frames.", "Prepare it again.")
    chosen = np.unique(np.linspace(0, clip.frame_count - 1, min(clip.frame_count, MATTES)).round().astype(int))
    return np.stack([np.asarray(clip.matte[index]) for index in chosen])
