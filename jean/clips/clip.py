"""The clip folder: what ``jean prepare`` writes and every later stage reads.

===========================  ==========================================================
``clip.json``                written last, so its presence means that the clip is whole
``frames.u8``                raw uint8 [T, H, W, 3], RGB: the upright square crop
``matte.u8``                 raw uint8 [T, H, W, 2]: head and torso opacity, 0 to 255
``arrays.safetensors``       per-frame arrays, see ``ARRAYS``
``audio_features.safetensors``  one array [T, window, D] for each extractor (absent: silent)
``emotion_features.safetensors``  one array [T, D] for each extractor (absent: none was asked for)
``audio.wav``                16 kHz mono PCM of the whole sound (absent: silent)
``background.png``           the clean background plate, RGB
===========================  ==========================================================

Head space ("world"): OpenCV axes of a camera that the head looks at (x to the image's right,
y down, z away from the camera), in centimetres of a mean head: the outer eye corners lie
8.89 apart with their midpoint at (0, -2.66, -3.17), as in MediaPipe's canonical face.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import ArtefactError, InputError
from jean.files import read_json
from jean.geometry import Camera

FORMAT = 1

# name: (shape with T frames and E expression coefficients, meaning)
ARRAYS = {
    "times_s": ("T", "presentation time of each frame, seconds from the start of the video"),
    "valid": ("T", "bool: exactly one (or the chosen) face was found in this frame"),
    "landmarks": ("T,68,2", "iBUG-68 points, px of the crop, (x, y); NaN where not valid"),
    "irises": ("T,2,2", "iris centres (subject's right, left), px of the crop; NaN where unknown"),
    "camera_to_world": ("T,4,4", "fitted head pose; interpolated where not valid"),
    "tracker_camera_to_world": ("T,4,4", "the tracker's own pose; NaN where it gives none"),
    "shape": ("68,3", "the fitted rigid head shape, head space, cm"),
    "expression": ("T,E", "expression coefficients; interpolated where not valid"),
}


@dataclass(frozen=True)
class Clip:
    """A prepared clip, read lazily.

    Attributes:
        folder: where it lies.
        meta: the content of ``clip.json``.
    """

    folder: Path
    meta: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path, pictures: bool = True) -> Clip:
        """Opens a whole clip.

        Args:
            folder: where it lies.
            pictures: whether frames and mattes are needed; a stage that reads tracks and sound alone takes
                a clip without them too (they are most of its size).

        Raises:
            InputError: ``folder`` is no clip folder or was not finished.
            ArtefactError: its format is another, or a file is missing or has another size.
        """
        folder = Path(folder)
        if not (folder / "clip.json").is_file():
            raise InputError(f"{folder} is not a prepared clip.", "Run: jean prepare VIDEO -o DIR")
        meta = read_json(folder / "clip.json")
        if meta.get("kind") != "clip" or meta.get("format") != FORMAT:
            raise ArtefactError(
                f"{folder} has clip format {meta.get('format')}, this version reads {FORMAT}.", "Prepare it again."
            )
        clip = cls(folder, meta)
        if pictures and meta.get("pictures") is False:
            raise InputError(f"{folder} was prepared without pictures.", "Prepare it with them for this command.")
        for name, channels in (("frames.u8", 3), ("matte.u8", 2)) if pictures else ():
            path = folder / name
            want = clip.frame_count * clip.size_px**2 * channels
            if not path.is_file() or path.stat().st_size != want:
                raise ArtefactError(f"{path} is missing or damaged.", "Prepare it again.")
        return clip

    @property
    def frame_count(self) -> int:
        """Number of frames T."""
        return int(self.meta["frames"])

    @property
    def size_px(self) -> int:
        """Side of the square frames."""
        return int(self.meta["size_px"])

    @property
    def fps(self) -> float:
        """Frames a second."""
        return float(self.meta["fps"])

    @property
    def camera(self) -> Camera:
        """Intrinsics of the crop, one for the whole clip."""
        intrinsics = self.meta["camera"]
        return Camera(intrinsics["focal_px"], tuple(intrinsics["center_px"]), self.size_px, self.size_px)

    @cached_property
    def frames(self) -> np.ndarray:
        """RGB frames, uint8 [T, H, W, 3], memory-mapped."""
        return self._map("frames.u8", 3)

    @cached_property
    def matte(self) -> np.ndarray:
        """Head and torso opacity, uint8 [T, H, W, 2], memory-mapped."""
        return self._map("matte.u8", 2)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The per-frame arrays named in ``ARRAYS``."""
        return _load_arrays(self.folder / "arrays.safetensors")

    @cached_property
    def audio_features(self) -> dict[str, np.ndarray]:
        """Audio windows by extractor, float32 [T, window, D]; empty for a silent clip."""
        path = self.folder / "audio_features.safetensors"
        return _load_arrays(path) if path.is_file() else {}

    @cached_property
    def background(self) -> np.ndarray:
        """The clean background plate, uint8 [H, W, 3], RGB."""
        import cv2

        image = cv2.imread(str(self.folder / "background.png"), cv2.IMREAD_COLOR)
        if image is None:
            raise ArtefactError(f"{self.folder / 'background.png'} is missing or damaged.", "Prepare it again.")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    @property
    def audio_path(self) -> Path | None:
        """The clip's sound, or None for a silent clip."""
        path = self.folder / "audio.wav"
        return path if path.is_file() else None

    @cached_property
    def emotion_features(self) -> dict[str, np.ndarray]:
        """Emotion features by extractor, float32 [T, D]; empty where none were made."""
        path = self.folder / "emotion_features.safetensors"
        return _load_arrays(path) if path.is_file() else {}

    def upper_face(self) -> np.ndarray:
        """bool [E]: which expression coefficients belong to the upper face (no jaw, mouth, tongue)."""
        return np.asarray(self.meta["expression"]["upper"], bool)

    def _map(self, name: str, channels: int) -> np.ndarray:
        shape = (self.frame_count, self.size_px, self.size_px, channels)
        return np.memmap(self.folder / name, np.uint8, "r", shape=shape)


def _load_arrays(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise ArtefactError(f"{path} is missing or damaged.", "Prepare it again.") from error
