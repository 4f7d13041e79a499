"""Context manager around MediaPipe's image segmenter, shared by the mattings that use one of its networks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from jean.errors import SetupError
from jean.features.trackers.native_log import quiet_native_log

# Converts RGB uint8 [h, w, 3] to class probabilities float32 [h, w, C].
Classify = Callable[[np.ndarray], np.ndarray]


class SegmentationNetwork:
    """A segmentation network; the context manager yields the function ``classify``.

    Args:
        weights: registered name of its weights.

    Raises:
        SetupError: MediaPipe or the weights are missing.
    """

    def __init__(self, weights: str) -> None:
        from jean.weights import store

        path = store.find(weights)
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise SetupError(f"mediapipe cannot be loaded ({error}).", "Run: pip install mediapipe") from error
        self._mediapipe: Any = mediapipe
        self._vision: Any = vision
        self._options = vision.ImageSegmenterOptions(
            base_options=BaseOptions(model_asset_path=str(path)), output_confidence_masks=True
        )

    def __enter__(self) -> Classify:
        with quiet_native_log():
            self._segmenter = self._vision.ImageSegmenter.create_from_options(self._options)
        self._first = True
        return self._classify

    def __exit__(self, *_: object) -> None:
        self._segmenter.close()

    def _classify(self, image: np.ndarray) -> np.ndarray:
        kind = self._mediapipe.ImageFormat.SRGB
        wrapped = self._mediapipe.Image(image_format=kind, data=np.ascontiguousarray(image))
        with quiet_native_log() if self._first else nullcontext():
            masks = self._segmenter.segment(wrapped).confidence_masks
        self._first = False
        return np.stack([mask.numpy_view().reshape(image.shape[:2]) for mask in masks], -1)
