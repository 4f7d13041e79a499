"""Still images and folders of numbered images, read as videos.

A folder holds ``NAME0001.png``, ``NAME0002.png``, …; its frame rate is that of a ``frames.json`` as ``FramesWriter``
writes, and its sound is ``audio.wav``. Images are read by OpenCV, which applies the orientation that a camera stored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jean.errors import InputError
from jean.files import read_json, sha256
from jean.media.container import VIDEO_SUFFIXES
from jean.media.image import read_image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
FRAMES_FILE, SOUND_FILE = "frames.json", "audio.wav"
STILL_FPS = 25.0  # of a single image, and where nothing states the rate of a sequence
NUMBERED = re.compile(r"(.*?)(\d+)")


@dataclass(frozen=True)
class ImageSequence:
    """Images that are the frames of a video.

    Attributes:
        path: the image or the folder.
        images: file of each image, in order.
        numbers: number of each image, counted from the first; numbers may be missing.
        fps: images per second; None if nothing states it.
        sound: a wav file; None without sound.
    """

    path: Path
    images: tuple[Path, ...]
    numbers: tuple[int, ...]
    fps: float | None
    sound: Path | None

    @classmethod
    def open(cls, path: Path) -> ImageSequence:
        """The sequence at ``path``, for which ``is_sequence`` is True.

        Raises:
            InputError: the folder holds several sequences.
            ArtefactError: its ``frames.json`` is damaged.
        """
        if path.is_file():
            return cls(path, (path,), (0,), STILL_FPS, None)
        groups = _groups(path)
        if len(groups) > 1:
            names = ", ".join(f"{prefix}…{suffix}" for prefix, suffix in sorted(groups)[:3])
            raise InputError(f"{path} holds several image sequences: {names}.", "Put each into a folder of its own.")
        (found,) = groups.values()
        numbers = sorted(found)
        sound = path / SOUND_FILE
        return cls(
            path,
            tuple(found[number] for number in numbers),
            tuple(number - numbers[0] for number in numbers),
            _stated_fps(path / FRAMES_FILE),
            sound if sound.is_file() else None,
        )

    def timed(self, fps: float) -> Iterator[tuple[float, float, Path]]:
        """(time in s, duration in s, file) of each image, at so many images per second where nothing else is stated."""
        rate = self.fps or fps
        for number, image in zip(self.numbers, self.images, strict=True):
            yield number / rate, 1 / rate, image

    def missing(self) -> int:
        """How many numbers between the first and the last image are missing."""
        return self.numbers[-1] + 1 - len(self.numbers)

    def digest(self) -> str:
        """Hexadecimal sha256 over names and contents of all its files."""
        total = hashlib.sha256()
        frames = self.path / FRAMES_FILE
        for file in (*self.images, *([self.sound] if self.sound else []), *([frames] if frames.is_file() else [])):
            total.update(f"{file.name} {sha256(file)}\n".encode())
        return total.hexdigest()


def is_sequence(path: str | Path) -> bool:
    """Whether ``path`` is an image, or a folder of numbered images without a video beside them."""
    path = Path(path)
    if path.is_dir():
        return bool(_groups(path)) and not any(file.suffix.lower() in VIDEO_SUFFIXES for file in path.iterdir())
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def media_digest(path: Path) -> str:
    """Hexadecimal sha256 of a media file, or over all files of an image sequence."""
    return ImageSequence.open(path).digest() if path.is_dir() else sha256(path)


def read_images(timed: Iterator[tuple[float, Path]]) -> Iterator[tuple[float, np.ndarray]]:
    """Reads the images of (time, file), scaled to the size of the first.

    Raises:
        InputError: an image is damaged, or has another shape than the first.
    """
    import cv2

    size: tuple[int, int] | None = None
    for time_s, path in timed:
        image = read_image(path)
        height, width = image.shape[:2]
        size = size or (width, height)
        if abs(width / height * size[1] / size[0] - 1) > 0.02:
            raise InputError(f"{path} has another shape than the first image.", "Give images of one shape.")
        if (width, height) != size:
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        yield time_s, image


def _groups(folder: Path) -> dict[tuple[str, str], dict[int, Path]]:
    """(prefix, suffix) → number → file, of the numbered images of a folder."""
    groups: dict[tuple[str, str], dict[int, Path]] = {}
    for path in folder.iterdir():
        match = NUMBERED.fullmatch(path.stem)
        if match and path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            groups.setdefault((match[1], path.suffix.lower()), {})[int(match[2])] = path
    return groups


def _stated_fps(path: Path) -> float | None:
    """The rate in ``frames.json``; None without the file."""
    if not path.is_file():
        return None
    try:
        above, below = read_json(path)["fps"]
        fps = float(above) / float(below)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        fps = 0.0
    if not 0 < fps <= 1000:
        raise InputError(f"{path} states no frame rate.", "Delete it, and give the rate with --fps.")
    return fps
