"""Head and torso by MediaPipe's selfie-multiclass network, steadied along the motion, drawn to the edges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from jean.errors import ArtefactError, SetupError
from jean.features.matting.common import Frame, in_blocks, shrink, to_bytes, work_size
from jean.features.matting.edges import ColourGuide, enlarge
from jean.features.matting.motion import Steadier

WEIGHTS = "selfie_multiclass_256x256.tflite"
# its classes: 0 background, 1 hair, 2 body skin, 3 face skin, 4 clothes, 5 others (glasses, scarves)
CLASSES = 6
HEAD_CLASSES = (1, 3)
TORSO_CLASSES = (2, 4, 5)
# The network is unsure in a seam wider than hair is fine: below and above, opacity is 0 and 1.
UNSURE = (0.3, 0.7)
GUIDE_PX, GUIDE_SMOOTHNESS = 2, 4e-4  # of the guided filter, at 256 px

Classify = Callable[[np.ndarray], np.ndarray]


class SelfieMatting:
    """Matting by a network that knows hair, skin and clothes; landmarks are not needed.

    Args:
        classify: RGB uint8 [h, w, 3] → class probabilities [h, w, 6]; None loads MediaPipe's network.

    Raises:
        SetupError: MediaPipe or the weights are missing.
    """

    name = "selfie"
    version = "2"

    def __init__(self, classify: Classify | None = None):
        self._classify: AbstractContextManager[Classify] = nullcontext(classify) if classify else _Network()

    def segment(self, frames: Iterable[Frame]) -> Iterator[np.ndarray]:
        """Yields uint8 [H, W, 2] (head, torso) a frame, in order; looks up to a block (100 frames) ahead."""
        with self._classify as classify:
            yield from in_blocks(frames, lambda block: _segment_block([rgb for rgb, _ in block], classify))


def _segment_block(full: list[np.ndarray], classify: Classify) -> np.ndarray:
    side = full[0].shape[0]
    small = np.stack([shrink(rgb, work_size(side)) for rgb in full])
    parts = np.stack([_parts(classify(rgb), small.shape[1]) for rgb in small])
    steadier = Steadier(small)
    parts = np.stack([steadier.steady(np.ascontiguousarray(parts[..., i])) for i in range(2)], -1)
    mattes = np.empty((len(full), side, side, 2), np.uint8)
    for i, rgb in enumerate(full):
        mattes[i] = opacity(parts[i], small[i], rgb)
    return mattes


def _parts(probabilities: np.ndarray, size: int) -> np.ndarray:
    """float32 [size, size, 2]: probability of head and of torso."""
    if probabilities.shape != (size, size, CLASSES):
        raise ArtefactError(
            f"{WEIGHTS} gave {probabilities.shape} where {(size, size, CLASSES)} was expected.",
            f"Run: jean models pull {WEIGHTS}",
        )
    return np.stack([probabilities[..., list(c)].sum(-1) for c in (HEAD_CLASSES, TORSO_CLASSES)], -1).astype(np.float32)


def opacity(parts: np.ndarray, small: np.ndarray, full: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 2] from probabilities: a soft step where the person gets likelier than not.

    Args:
        parts: float32 [h, w, 2], probability of head and of torso.
        small: uint8 [h, w, 3], the frame at that size.
        full: uint8 [H, W, 3].
    """
    import cv2

    low, high = UNSURE
    person = np.ascontiguousarray(parts.sum(-1), np.float32)
    drawn = ColourGuide(small, max(1, round(GUIDE_PX * small.shape[0] / 256)), GUIDE_SMOOTHNESS).filter(person)
    alpha = enlarge(np.clip((drawn - low) / (high - low), 0, 1), small, full)
    small_share = np.clip(parts[..., 0] / np.maximum(person, 1e-6), 0, 1)
    share = cv2.resize(small_share, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return to_bytes(alpha * share, alpha * (1 - share))


class _Network:
    """MediaPipe's segmenter on single images, as a context manager that gives the function."""

    def __init__(self) -> None:
        from jean.weights import store as weights

        path = weights.find(WEIGHTS)
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise SetupError("mediapipe is missing.", "Run: pip install mediapipe") from error
        self._mediapipe: Any = mediapipe
        self._vision: Any = vision
        self._options = vision.ImageSegmenterOptions(
            base_options=BaseOptions(model_asset_path=str(path)), output_confidence_masks=True
        )

    def __enter__(self) -> Classify:
        self._segmenter = self._vision.ImageSegmenter.create_from_options(self._options)
        return self._classify

    def __exit__(self, *_: object) -> None:
        self._segmenter.close()

    def _classify(self, image: np.ndarray) -> np.ndarray:
        kind = self._mediapipe.ImageFormat.SRGB
        shown = self._mediapipe.Image(image_format=kind, data=np.ascontiguousarray(image))
        masks = self._segmenter.segment(shown).confidence_masks
        return np.stack([mask.numpy_view().reshape(image.shape[:2]) for mask in masks], -1)
