"""Backgrounds behind the person: white, the training clip without its person, an image or a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jean.clips.clip import Clip, is_clip
from jean.drivers.person import Person
from jean.media.image import central_square, read_image
from jean.media.image_sequence import IMAGE_SUFFIXES
from jean.rendering.background_video import BackgroundVideo
from jean.rendering.drive import Drive


class Backgrounds:
    """Backgrounds of a result, per frame.

    Args:
        background: "white", "source", or the path of an image, a video or a folder of numbered images.
        person: the person of the run: training clip and clean plate.
        drive: the drivers of the result: its size, rate and length, and the frame of the training clip of each pose.

    Raises:
        InputError: the file cannot be read.
    """

    def __init__(self, background: str, person: Person, drive: Drive):
        size, positions = drive.size_px, drive.own_frames
        self.size, self.positions = size, positions
        self.clip: Clip | None = None
        self.video: BackgroundVideo | None = None
        if background == "white":
            self.still = np.full((size, size, 3), 255, np.uint8)
        elif background == "source":
            self.plate = person.background
            self.still = _resized(self.plate, size)
            if positions is not None and is_clip(person.clip):
                self.clip = Clip.open(person.clip)
        elif Path(background).suffix.lower() in IMAGE_SUFFIXES:
            self.still = central_square(read_image(background), size)
        else:
            self.video = BackgroundVideo(Path(background), size, drive.fps, len(drive), drive.repeat)

    def at(self, index: int) -> np.ndarray:
        """Background of one frame, uint8 [size, size, 3], RGB.

        With "source" and poses of the training clip, this is the clip's frame with the clean plate in place of the
        person; with a video, its frame; otherwise a constant image.

        Args:
            index: number of the frame in the result.
        """
        if self.video is not None:
            return self.video.at(index)
        if self.clip is None or self.positions is None:
            return self.still
        import cv2

        source = min(int(self.positions[index]), self.clip.frame_count - 1)
        frame = np.asarray(self.clip.frames[source])
        matte = np.asarray(self.clip.matte[source]).sum(-1, dtype=np.uint16).clip(0, 255).astype(np.uint8)
        # dilated and blurred, so that no edge of the recorded person remains beside the rendered one
        reach = max(3, self.clip.size_px // 40) | 1
        matte = cv2.GaussianBlur(cv2.dilate(matte, np.ones((reach, reach), np.uint8)), (0, 0), reach / 4)
        opacity = matte.astype(np.float32)[..., None] / 255
        return _resized((frame * (1 - opacity) + self.plate * opacity + 0.5).astype(np.uint8), self.size)


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    """A square image scaled to ``size`` x ``size`` pixels."""
    import cv2

    if image.shape[0] == size and image.shape[1] == size:
        return image
    method = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=method)
