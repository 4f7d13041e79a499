"""MediaPipe's image segmenter, and the base of the mattings that use one of its networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Any, ClassVar

import numpy as np

from jean.errors import ArtefactError, SetupError
from jean.features.matting.common import Frame, process_blocks
from jean.features.trackers.native_log import quiet_native_log
from jean.threads import thread_count

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
        self._one_at_a_time = Lock()
        return self._classify

    def __exit__(self, *_: object) -> None:
        self._segmenter.close()

    def _classify(self, image: np.ndarray) -> np.ndarray:
        kind = self._mediapipe.ImageFormat.SRGB
        wrapped = self._mediapipe.Image(image_format=kind, data=np.ascontiguousarray(image))
        with self._one_at_a_time, quiet_native_log() if self._first else nullcontext():
            masks = self._segmenter.segment(wrapped).confidence_masks
            self._first = False
        return np.stack([mask.numpy_view().reshape(image.shape[:2]) for mask in masks], -1)


class NetworkMatting:
    """A matting by a network. See ``Matting``. A subclass names the weights and makes the mattes of a block of frames.

    Args:
        classify: converts RGB uint8 [h, w, 3] to class probabilities [h, w, C]; None loads MediaPipe's network.

    Attributes:
        weights: the registered name of the network's weights.
        classes: number of its classes C.

    Raises:
        SetupError: MediaPipe or the weights are missing.
    """

    weights: ClassVar[tuple[str]]
    classes: ClassVar[int]

    def __init__(self, classify: Classify | None = None):
        self._network: AbstractContextManager[Classify] = (
            nullcontext(classify) if classify else SegmentationNetwork(self.weights[0])
        )

    def segment(self, frames: Iterable[Frame]) -> Iterator[np.ndarray]:
        """Yields uint8 [H, W, 2] (head, torso) for each frame; reads up to one block (100 frames) ahead."""
        with self._network as classify:

            def probabilities(rgb: np.ndarray) -> np.ndarray:
                found, expected = classify(rgb), (*rgb.shape[:2], self.classes)
                if found.shape != expected:
                    raise ArtefactError(
                        f"{self.weights[0]} returned an array of shape {found.shape}, not {expected}.",
                        f"Run: jean models pull {self.weights[0]}",
                    )
                return found

            yield from process_blocks(frames, lambda block: self.mattes(block, probabilities), threads=thread_count())

    def mattes(self, block: list[Frame], probabilities: Classify) -> np.ndarray:
        """The mattes of a block of frames, uint8 [N, H, W, 2]; several blocks may be in work at once.

        Args:
            block: frames and their landmarks.
            probabilities: the network, whose output has the shape [h, w, C].
        """
        raise NotImplementedError
