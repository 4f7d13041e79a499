"""The marks of synthetic pictures that a render was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jean.errors import UsageError
from jean.marks.credentials import SIGNED, Signer
from jean.marks.label import draw_label
from jean.marks.watermark import embed, is_marked
from jean.rendering.config import RenderConfig


@dataclass(frozen=True)
class Marks:
    """Marks of every frame, and the signer of the video.

    Attributes:
        label: text in the corner of every frame, or None.
        watermark: whether one frame of every half second holds the invisible mark.
        signer: signs the complete video, or None.
        fps: frames per second of the result.
    """

    label: str | None
    watermark: bool
    signer: Signer | None
    fps: float

    @classmethod
    def of(cls, config: RenderConfig, output: Path, fps: float, size_px: int) -> Marks:
        """The marks of a render, tried once, so that what cannot be done is found before any frame is rendered.

        Raises:
            UsageError: an unusable text, certificate or key; frames too small for a watermark; a container that cannot
                hold credentials.
            SetupError: a package is missing.
        """
        signer = None
        if (config.certificate is None) != (config.private_key is None):
            raise UsageError("--certificate and --private-key belong together.", "Give both of them.")
        if config.certificate is not None and config.private_key is not None:
            if output.suffix.lower() not in SIGNED:
                raise UsageError(f"{output.name} cannot hold credentials.", f"Use one of {', '.join(SIGNED)}.")
            signer = Signer(config.certificate, config.private_key)
            signer.check()
        marks = cls(config.label, config.watermark, signer, fps)
        marks.apply(np.zeros((size_px, size_px, 3), np.uint8), 0)
        return marks

    def apply(self, rgb: np.ndarray, index: int) -> np.ndarray:
        """Frame ``index`` of the result with its marks, uint8 [S, S, 3]."""
        if self.label is not None:
            rgb = draw_label(rgb, self.label)
        if self.watermark and is_marked(index, self.fps):
            rgb = embed(rgb)
        return rgb
