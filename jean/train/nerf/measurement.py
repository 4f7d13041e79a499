"""What measurements of a trained head's response share: its pictures, the clips' tracker, and curves.

Faces are tracked by the clips' own tracker, once in real frames and once in rendered ones, so that its errors cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from jean.drivers.person_frames import PersonFrames
from jean.drivers.response import Curve
from jean.errors import JeanError
from jean.features import registry
from jean.features.base import Face, largest
from jean.models.frame import render_frame
from jean.models.talking_head import Frames, TalkingHead
from jean.progress import Progress

REAL_FRAMES = 60
LEAST_R = 0.6  # correlation with the truth below which a measurement is no measurement


@dataclass
class Measurement:
    """A finished head, its person's frames, and the tracker of the clips.

    Attributes:
        model: the trained head.
        frames_of: gives the model's inputs for frame indices [F].
        data: the person's frames.
        tracker: sees faces in pictures.
        tracker_name: its name and version.
        progress: receives progress and messages.
    """

    model: TalkingHead
    frames_of: Callable[[np.ndarray], Frames]
    data: PersonFrames
    tracker: Any
    tracker_name: str
    progress: Progress

    @classmethod
    def prepare(
        cls,
        model: TalkingHead,
        frames_of: Callable[[np.ndarray], Frames],
        data: PersonFrames,
        progress: Progress,
    ) -> Measurement | None:
        """Opens the clips' tracker; None, with a message, where there is none."""
        name = data.clips[0].meta.tracker.name
        tracker, reason = find_tracker(name)
        if tracker is None:
            progress.say(f"response of the head: not measured, because {reason}.")
            return None
        return cls(model, frames_of, data, tracker, f"{name} {tracker.version}", progress)

    @cached_property
    def real_rows(self) -> np.ndarray:
        """Training frames that are tracked again."""
        return spaced(self.data.train, REAL_FRAMES)

    @cached_property
    def real_faces(self) -> list[Face | None]:
        """The faces of ``real_rows``, tracked as rendered frames are."""
        return self.faces("track real frames", [self.data.image(int(row)) for row in self.real_rows])

    def faces(self, task: str, images: Sequence[np.ndarray]) -> list[Face | None]:
        """The largest face of each picture; None where there is none.

        Args:
            task: for the progress.
            images: of one person in one place, uint8 [H, W, 3].
        """
        fps, found = self.data.clips[0].fps, []
        with self.progress.task(task, len(images)) as advance:
            for faces in self.tracker.track((t / fps, image) for t, image in enumerate(images)):
                found.append(largest(faces))
                advance(1)
        return found

    def picture(self, inputs: Frames, base: int) -> np.ndarray:
        """One rendered frame over the background of the frame ``base``, uint8 [H, W, 3]."""
        return render_frame(self.model, inputs, self.data.plate(base)).rgb


def find_tracker(name: str) -> tuple[Any, str]:
    """A tracker that sees pictures, or None and the reason why there is none."""
    try:
        return registry.create("tracker", name), ""
    except JeanError as error:
        return None, str(error).rstrip(".")
    except TypeError:  # a tracker of one video's ground truth
        return None, f"tracker {name} sees no pictures"


def spaced(indices: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of ``indices``, evenly spaced."""
    return indices[np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)]


def rising_curve(asked: np.ndarray, rendered: np.ndarray) -> Curve | None:
    """The curve of rendered [K] over asked values [K]; None where it does not rise."""
    if len(asked) < 4 or rendered.std() < 1e-6 or np.corrcoef(asked, rendered)[0, 1] < LEAST_R:
        return None
    return Curve(asked=asked.tolist(), rendered=rendered.tolist())
