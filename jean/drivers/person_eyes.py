"""The eyes of a trained head's person: their course in training, their range, and how the lids follow them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jean.drivers.eyes import CLOSURE, GAZE, EyeRest, measure_eyes, standardised
from jean.drivers.support import Support
from jean.landmarks import EYES

if TYPE_CHECKING:
    from jean.clips.clip import Clip

EYE_WIDTH = 4  # values per frame, see ``jean.drivers.eyes.EYE_VALUES``
STD_FLOOR = np.array([1.5, 1.5, 0.1, 0.1])  # of eye values: noise of the tracker, degrees and fraction
SHOWN = 0.5  # fraction of a clip's frames in which irises must be known
GAZE_ROOM = 1.2  # factor on the radius of gaze: an iris that moves further is still the same disc
RIDGE = 1e-3  # of the lids' regression, per frame
LID_POINTS = 2 * (EYES.stop - EYES.start)  # coordinates of the lids' landmarks


def shows_eyes(clip: Clip) -> bool:
    """Whether a clip's tracker found irises in at least half of the frames."""
    return bool(np.isfinite(clip.arrays["irises"]).all((1, 2)).mean() >= SHOWN)


def person_eyes(clips: Sequence[Clip]) -> np.ndarray:
    """Eye values of all frames of a person's clips in sequence, float32 [T, 4], relative to one rest."""
    measured = [measure_eyes(clip) for clip in clips]
    rest = EyeRest.fit(measured)
    tracks = [standardised(each, rest, clip.fps) for each, clip in zip(measured, clips, strict=True)]
    return np.concatenate([track.values for track in tracks])


def gaze_concepts(values: np.ndarray) -> np.ndarray:
    """What an expression vector shall not tell beside the eyes' own inputs, [T, 6].

    Trackers give gaze to either side its own coefficient, so each side is a concept of its own.

    Args:
        values: eye values [T, 4].
    """
    gaze = values[:, GAZE]
    return np.concatenate([np.maximum(gaze, 0), np.maximum(-gaze, 0), values[:, CLOSURE]], 1)


def fit_lids(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Ridge regression of the lids on the eyes.

    Args:
        values: eye values [T, 4].
        offsets: landmark offsets [T, 68, 2], cm.

    Returns:
        [5, 24]: slopes of the landmarks of both eyes, cm per unit, and the intercept; see ``lid_offsets``.
    """
    values, lids = np.asarray(values, np.float64), offsets[:, EYES].reshape(len(offsets), -1).astype(np.float64)
    mean, scale = values.mean(0), np.maximum(values.std(0), STD_FLOOR)
    standard = (values - mean) / scale
    normal = standard.T @ standard + RIDGE * len(values) * np.eye(EYE_WIDTH)
    slopes = np.linalg.solve(normal, standard.T @ (lids - lids.mean(0))) / scale[:, None]
    return np.concatenate([slopes, (lids.mean(0) - mean @ slopes)[None]])


def lid_offsets(coefficients: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Offsets [T, 12, 2], cm, of the landmarks of both eyes, for eye values [T, 4]."""
    return (values @ coefficients[:-1] + coefficients[-1]).reshape(len(values), -1, 2)


@dataclass(frozen=True)
class PersonEyes:
    """The eyes of one person, as a run stores them.

    Attributes:
        values: eye values of the first training clip, [T, 4].
        lids: the lids' regression [5, 24], see ``fit_lids``.
        from_expression: regression [E + 1, 4] of the eyes on expression vectors, for sources without irises.
        gaze: range of the gaze in training.
        closed: largest closure of the right and the left eye in training, [2].
    """

    values: np.ndarray
    lids: np.ndarray
    from_expression: np.ndarray
    gaze: Support
    closed: np.ndarray

    @classmethod
    def fit(
        cls, values: np.ndarray, offsets: np.ndarray, expression: np.ndarray, train: np.ndarray, count: int
    ) -> PersonEyes:
        """The eyes of a person.

        Args:
            values: eye values of all frames [T, 4].
            offsets: measured landmark offsets of all frames [T, 68, 2], cm.
            expression: expression vectors of all frames [T, E].
            train: indices of the training frames.
            count: frames of the first clip.
        """
        seen, vectors = values[train].astype(np.float64), expression[train].astype(np.float64)
        inputs = np.concatenate([vectors, np.ones((len(train), 1))], 1)
        ridge = np.diag([*(RIDGE * len(train) * np.maximum(vectors.var(0), 4e-4)), 0.0])
        told = np.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ seen)
        gaze = Support.fit(seen[:, GAZE], scale_floor=float(STD_FLOOR[0]), room=GAZE_ROOM)
        return cls(values[:count], fit_lids(seen, offsets[train]), told, gaze, seen[:, CLOSURE].max(0))

    @property
    def mean(self) -> np.ndarray:
        """Mean eye values of the first clip, [4]."""
        return np.asarray(self.values.mean(0, dtype=np.float64))

    def told_by(self, expression: np.ndarray) -> np.ndarray:
        """Eye values [T, 4] that go with expression vectors [T, E] of this person."""
        values = np.concatenate([expression, np.ones((len(expression), 1))], 1) @ self.from_expression
        return np.concatenate([values[:, GAZE], values[:, CLOSURE].clip(0, 1)], 1)

    def limit(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Limits eye values [T, 4] to the range of the training.

        Returns:
            Limited values [T, 4], the remaining fraction of the gaze's distance, and 1 less what is missing of a
            closure, [T] each.
        """
        gaze, gaze_left = self.gaze.limit(values[:, GAZE])
        wanted = values[:, CLOSURE].clip(0, 1)
        closure = np.minimum(wanted, self.closed)
        return np.concatenate([gaze, closure], 1), gaze_left, 1 - (wanted - closure).max(1)

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays for storage, by name."""
        own = {name: getattr(self, name) for name in ("values", "lids", "from_expression", "closed")}
        return own | {f"gaze/{name}": array for name, array in self.gaze.arrays().items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> PersonEyes:
        """The inverse of ``arrays``."""
        gaze = {name.removeprefix("gaze/"): array for name, array in arrays.items() if name.startswith("gaze/")}
        own = {name: arrays[name] for name in ("values", "lids", "from_expression", "closed")}
        return cls(**own, gaze=Support.from_arrays(gaze))
