"""How much the support limit takes from the drivers of a video, and the message that says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from jean.rendering.config import RenderConfig

NOTABLE = 1 / 3  # a smaller reduction is hardly visible


@dataclass(frozen=True)
class Reduction:
    """What the support limit has taken from one driver; fractions of its distance to the person's mean.

    Attributes:
        mean: over all frames.
        largest: in any frame.
        frames: fraction of the frames that were changed.
    """

    mean: float
    largest: float
    frames: float

    @classmethod
    def of(cls, left: np.ndarray) -> Reduction:
        """From the fractions [T] that are left."""
        taken = 1 - np.asarray(left)
        return cls(*(round(float(value), 3) for value in (taken.mean(), taken.max(), (taken > 1e-6).mean())))


def warn_of_reductions(reductions: Mapping[str, Reduction], config: RenderConfig, warn: Callable[[str], None]) -> None:
    """One line for each source of which more than a third was taken in some frame."""
    sources = {
        "expression": f"the expression ({config.expression_timeline or config.expression or 'of the training clip'})",
        "upper_offsets": "the movement of brows and eyes in the expression source",
        "lower_offsets": "the movement of mouth and jaw in the expression source",
        "pose": f"the head pose ({config.pose or 'of the training clip'})",
        "lips": f"the lips' movement ({config.audio})",
    }
    for name, reduction in reductions.items():
        if reduction.largest > NOTABLE:
            warn(
                f"{sources[name]} goes beyond what training has shown: "
                f"reduced by {reduction.largest:.0%} at most, {reduction.mean:.0%} on average."
            )
