"""Report of the support limit: how much it reduces the drivers of a result, and the warning about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from jean.rendering.config import RenderConfig

NOTABLE = 1 / 3  # fraction from which a warning is given; smaller reductions are hardly visible


@dataclass(frozen=True)
class Reduction:
    """How much the support limit has reduced one driver, as fractions of its distance to the person's mean.

    Attributes:
        mean: mean reduction over all frames.
        largest: largest reduction of a frame.
        frames: fraction of the frames that were reduced.
    """

    mean: float
    largest: float
    frames: float

    @classmethod
    def of(cls, remaining: np.ndarray) -> Reduction:
        """The reduction of the fractions [T] that the limit leaves of each frame's distance."""
        reduction = 1 - np.asarray(remaining)
        values = (reduction.mean(), reduction.max(), (reduction > 1e-6).mean())
        return cls(*(round(float(value), 3) for value in values))


def warn_of_reductions(reductions: Mapping[str, Reduction], config: RenderConfig, warn: Callable[[str], None]) -> None:
    """Warns of each source that was reduced by more than ``NOTABLE`` in some frame.

    That a foreign source's resting face is brought to the person (``expression_mean``) needs no warning.
    """
    own = "generated" if config.motion or config.emotion or config.emotion_timeline else "of the training clip"
    motion = "generated" if own == "generated" and config.expression is None else "of the expression source"
    sources = {
        "expression": f"the expression ({config.expression_timeline or config.expression or own})",
        "upper_offsets": f"the movement of brows and eyes ({motion})",
        "lower_offsets": f"the movement of mouth and jaw ({motion})",
        "pose": f"the head pose ({config.pose or own})",
        "lips": f"the movement of the lips ({config.audio})",
        "gaze": f"the gaze ({config.gaze or motion})",
        "blink": f"the closure of the lids ({config.blink or motion})",
    }
    for name, source in sources.items():
        reduction = reductions.get(name)
        if reduction is not None and reduction.largest > NOTABLE:
            warn(
                f"{source} exceeds the range of the training: "
                f"reduced by {reduction.largest:.0%} at most, {reduction.mean:.0%} on average."
            )
