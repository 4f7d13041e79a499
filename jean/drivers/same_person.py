"""Whether clips show the same person, by the fitted shape of the rigid head."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from jean.clips.clip import Clip
from jean.errors import InputError
from jean.geometry import similarity

# Measured with MediaPipe on pieces of 2.4 to 12 s: six pairs of pieces of one recording are 0.23 to 0.45 cm apart, 114
# pairs of pieces of eleven people 0.54 cm and more, 92 % of them more than 0.65 cm.
LARGEST_DISTANCE_CM = 0.65


def shape_distance_cm(first: np.ndarray, second: np.ndarray) -> float:
    """RMS distance of two head shapes [68, 3], cm, after the best rotation and shift."""
    source, target = np.asarray(first, np.float64), np.asarray(second, np.float64)
    _, rotation, offset = similarity(source, target, scaled=False)
    moved = source @ rotation.T + offset
    return float(np.sqrt(((moved - target) ** 2).sum(-1).mean()))


def refuse_different_people(clips: Sequence[Clip]) -> None:
    """Refuses clips whose head shapes differ more than two fits to one person do.

    People with similar heads are not told apart.

    Raises:
        InputError: names the pair of clips that differs most.
    """
    pairs = list(combinations(clips, 2))
    if not pairs:
        return
    distances = [shape_distance_cm(a.arrays["shape"], b.arrays["shape"]) for a, b in pairs]
    worst = int(np.argmax(distances))
    if distances[worst] > LARGEST_DISTANCE_CM:
        first, second = pairs[worst]
        raise InputError(
            f"{first.folder} and {second.folder} show different people: their head shapes differ by "
            f"{distances[worst]:.2f} cm, those of one person by at most {LARGEST_DISTANCE_CM} cm.",
            "Train one head per person; if it is one person, add --allow-different-people.",
        )
