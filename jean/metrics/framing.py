"""Whether two videos frame the face alike, so that positions in them can be compared."""

from __future__ import annotations

import numpy as np

from jean import landmarks as ibug
from jean.metrics.base import TrackedFrame

# Between videos framed alike, the median size of the face differs by a few per cent. An uncropped source video shows it
# several times smaller than a result.
LARGEST_RATIO = 1.25


class Framing:
    """Collects the size of the face in the frame, for both videos."""

    def __init__(self) -> None:
        self._sizes: tuple[list[float], list[float]] = ([], [])

    def add(self, result: TrackedFrame, reference: TrackedFrame) -> None:
        """Adds one pair of frames; pairs without both faces do not count."""
        if result.face is None or reference.face is None:
            return
        for frame, sizes in zip((result, reference), self._sizes, strict=True):
            assert frame.face is not None
            sizes.append(float(ibug.inter_ocular(frame.face.landmarks)) / max(frame.image.shape[:2]))

    def problem(self) -> str:
        """Why positions cannot be compared, as one line; empty if they can."""
        if not self._sizes[0]:
            return ""
        result, reference = (float(np.median(sizes)) for sizes in self._sizes)
        ratio = max(result, reference) / max(min(result, reference), 1e-9)
        if ratio <= LARGEST_RATIO:
            return ""
        return (
            f"Positions are not compared: the eyes are {result:.3f} of the result's larger side apart and "
            f"{reference:.3f} of the reference's. Compare with a reference that is cropped like the result."
        )
