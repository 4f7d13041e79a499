"""Backgrounds behind the person: white, the training clip without its person, or an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jean.clips.clip import Clip, is_clip
from jean.drivers.person import Person
from jean.errors import InputError
from jean.rendering.config import RenderConfig


class Backgrounds:
    """Backgrounds of a result, per frame.

    Args:
        config: the configuration; ``background`` is "white", "source" or an image file.
        person: the person of the run: training clip and clean plate.
        size: side of the result's frames, px.
        positions: frame of the training clip [T] that each pose belongs to; None where the poses come from elsewhere.

    Raises:
        InputError: the image file cannot be read.
    """

    def __init__(self, config: RenderConfig, person: Person, size: int, positions: np.ndarray | None):
        self.size, self.positions = size, positions
        self.clip: Clip | None = None
        if config.background == "white":
            self.still = np.full((size, size, 3), 255, np.uint8)
        elif config.background == "source":
            self.still = _resized(person.background, size)
            if positions is not None and is_clip(person.clip):
                self.clip = Clip.open(person.clip)
        else:
            self.still = _read_image(Path(config.background), size)

    def at(self, index: int) -> np.ndarray:
        """Background of one frame, uint8 [size, size, 3], RGB.

        With "source" and poses of the training clip, this is the clip's frame with the clean plate in place of the
        person; otherwise a constant image.

        Args:
            index: number of the frame in the result.
        """
        if self.clip is None or self.positions is None:
            return self.still
        import cv2

        source = min(int(self.positions[index]), self.clip.frame_count - 1)
        frame = _resized(np.asarray(self.clip.frames[source]), self.size)
        matte = np.asarray(self.clip.matte[source]).sum(-1, dtype=np.uint16).clip(0, 255).astype(np.uint8)
        # dilated and blurred, so that no edge of the recorded person remains beside the rendered one
        reach = max(3, self.clip.size_px // 40) | 1
        matte = cv2.GaussianBlur(cv2.dilate(matte, np.ones((reach, reach), np.uint8)), (0, 0), reach / 4)
        opacity = _resized(matte, self.size).astype(np.float32)[..., None] / 255
        return (frame * (1 - opacity) + self.still * opacity + 0.5).astype(np.uint8)


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    """A square image scaled to ``size`` x ``size`` pixels."""
    import cv2

    if image.shape[0] == size and image.shape[1] == size:
        return image
    method = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=method)


def _read_image(path: Path, size: int) -> np.ndarray:
    """The central square of an image file, uint8 [size, size, 3], RGB."""
    import cv2

    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.is_file() else None
    if image is None:
        raise InputError(f"{path} is not an image.", "Name white, source, or a PNG or JPEG for --background.")
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return _resized(image[top : top + side, left : left + side, ::-1], size)
