"""The clip folder: what ``jean prepare`` writes and every later stage reads.

================================  =========================================================================
``clip.json``                     ``ClipMeta``; written last, so that its presence means a complete clip
``frames.u8``                     raw uint8 [T, H, W, 3], RGB: the upright square crop
``matte.u8``                      raw uint8 [T, H, W, 2]: opacity of head and torso, 0 to 255
``background.png``                the background without the person, RGB
``arrays.safetensors``            per-frame arrays, see ``ARRAYS``
``audio_features.safetensors``    rows [N, D] of each extractor, first row of each window [T]; absent without sound
``emotion_features.safetensors``  one array [T, D] per extractor; absent if none was requested
``audio.wav``                     16 kHz mono PCM of the whole sound; absent without sound
================================  =========================================================================

``frames.u8``, ``matte.u8`` and ``background.png`` are absent from a clip without pictures. Hidden files, such as
``.verified.json`` with the hashes that were compared, are not part of the clip.

Head space ("world") has OpenCV axes of a camera that the head looks at: x to the image's right, y down, z away from
the camera. Its unit is the centimetre of a mean head: the outer eye corners are 8.89 apart and their midpoint is at
(0, -2.66, -3.17), as in MediaPipe's canonical face.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.arrays import ARRAYS, check_arrays, check_audio, check_features, first_of, map_arrays
from jean.clips.audio_track import AudioTrack
from jean.clips.compatibility import ClipSpec, Difference, differences
from jean.clips.content import check_files, check_hashes
from jean.clips.meta import (
    ARRAYS_FILE,
    AUDIO_FILE,
    BACKGROUND,
    BLENDSHAPES,
    CONTENT_FILES,
    EMOTION_FILE,
    FORMAT,
    FRAMES,
    MATTE,
    META,
    SOUND,
    AudioSpec,
    ClipMeta,
    EmotionSpec,
)
from jean.errors import ArtefactError, InputError
from jean.geometry import Camera
from jean.integrity import HashCache
from jean.lips.sync import TRUSTED_S, late_s

__all__ = ["ARRAYS", "FORMAT", "Clip", "is_clip"]

# Keys of clip.json that say how content is read: of all files, and of single files. Other keys report its origin.
_DECISIVE = ("format", "frames", "size_px", "fps")
_DECISIVE_OF = {ARRAYS_FILE: ("camera", "tracker", "expression"), AUDIO_FILE: ("audio",), EMOTION_FILE: ("emotion",)}


def is_clip(folder: str | Path) -> bool:
    """Whether ``folder`` holds a finished clip; ``Clip.open`` also checks it."""
    return (Path(folder) / META).is_file()


@dataclass(frozen=True)
class Clip:
    """A prepared clip. Frames, mattes and features are read on first use.

    Attributes:
        folder: the clip folder.
        meta: the content of ``clip.json``.
    """

    folder: Path
    meta: ClipMeta

    @classmethod
    def open(cls, folder: str | Path, pictures: bool = True) -> Clip:
        """Opens a clip and checks it.

        Checked are the metadata, presence, size and sha256 of every file, shape and type of every array, and that the
        values of ``arrays`` are usable. A file's sha256 is computed once, about a second per GB, see ``HashCache``.

        Args:
            folder: the clip folder.
            pictures: whether frames, mattes and background are needed. A stage that reads only tracks and sound also
                accepts a clip without pictures, and the content of pictures is not verified.

        Raises:
            InputError: ``folder`` is not a finished clip, or has no pictures where they are needed.
            ArtefactError: another format, malformed metadata, files or arrays, or a file that was changed.
        """
        folder = Path(folder)
        if not is_clip(folder):
            raise InputError(f"{folder} is not a prepared clip.", "Run: jean prepare VIDEO -o DIR")
        clip = cls(folder, ClipMeta.read(folder / META))
        if pictures and not clip.meta.pictures:
            raise InputError(f"{folder} was prepared without pictures.", "Prepare it again without --tracks-only.")
        check_files(folder, clip.meta)
        check_hashes(folder, clip.meta, pictures)
        check_arrays(folder / ARRAYS_FILE, clip.arrays, clip.meta)
        windows = {name: (spec.window, spec.width) for name, spec in clip.audio_specs.items()}
        check = check_features if clip.meta.format == 1 else check_audio
        check(folder / AUDIO_FILE, windows, clip.frame_count)
        features = {name: (spec.width,) for name, spec in (clip.meta.emotion or {}).items()}
        check_features(folder / EMOTION_FILE, features, clip.frame_count)
        return clip

    @property
    def frame_count(self) -> int:
        """Number of frames T."""
        return self.meta.frames

    @property
    def size_px(self) -> int:
        """Side of the square frames."""
        return self.meta.size_px

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.meta.fps

    @property
    def camera(self) -> Camera:
        """Intrinsics of the frames, the same for all of them."""
        return self.meta.pinhole()

    @property
    def audio_specs(self) -> Mapping[str, AudioSpec]:
        """Specification of the audio features by extractor; empty without sound."""
        return self.meta.audio or {}

    @property
    def emotion_specs(self) -> Mapping[str, EmotionSpec]:
        """Specification of the emotion features by extractor, ``blendshapes`` included."""
        return self.meta.emotion_specs()

    @cached_property
    def frames(self) -> np.ndarray:
        """RGB frames, uint8 [T, H, W, 3], memory-mapped."""
        return self._map(FRAMES, 3)

    @cached_property
    def matte(self) -> np.ndarray:
        """Opacity of head and torso, uint8 [T, H, W, 2], memory-mapped."""
        return self._map(MATTE, 2)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The per-frame arrays listed in ``ARRAYS``, memory-mapped."""
        return map_arrays(self.folder / ARRAYS_FILE)

    @cached_property
    def audio_features(self) -> dict[str, AudioTrack]:
        """Audio features by extractor, memory-mapped; empty without sound."""
        path = self.folder / AUDIO_FILE
        arrays = map_arrays(path) if path.is_file() else {}
        if self.meta.format == 1:
            return {name: AudioTrack.of_windows(windows) for name, windows in arrays.items()}
        return {
            name: AudioTrack(arrays[name], np.asarray(arrays[first_of(name)], np.int64), spec.window)
            for name, spec in self.audio_specs.items()
        }

    @cached_property
    def emotion_features(self) -> dict[str, np.ndarray]:
        """Emotion features by extractor, float32 [T, D], memory-mapped; empty if none were extracted."""
        path = self.folder / EMOTION_FILE
        return map_arrays(path) if path.is_file() else {}

    @cached_property
    def background(self) -> np.ndarray:
        """The background without the person, uint8 [H, W, 3], RGB.

        Raises:
            ArtefactError: missing, unreadable or of another size.
        """
        import cv2

        path = self.folder / BACKGROUND
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.is_file() else None
        if image is None or image.shape[:2] != (self.size_px, self.size_px):
            raise ArtefactError(f"{path} is missing or damaged.", "Prepare it again.")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    @property
    def audio_path(self) -> Path | None:
        """The clip's sound, 16 kHz mono; None without sound."""
        path = self.folder / SOUND
        return path if path.is_file() else None

    def sound(self) -> Path:
        """The clip's sound, for a stage that needs it.

        Raises:
            InputError: the clip has none.
        """
        if self.audio_path is None:
            raise InputError(f"{self.folder} has no sound.", "Leave it out, or prepare a video with sound.")
        return self.audio_path

    @property
    def sound_late_s(self) -> float:
        """How late the sound is by the sync check of ``prepare``, s; 0 where that was not done or is not certain."""
        sync = self.meta.sync
        if sync is None or self.frame_count < TRUSTED_S * self.fps:
            return 0.0
        return late_s(sync.lag_s, sync.r, sync.chance_r, sync.rank)

    def audio_name(self, name: str | None = None) -> str:
        """Name of the audio features to use: ``name``, or the clip's first.

        Raises:
            InputError: the clip has no sound.
            ArtefactError: it has sound, but no such features.
        """
        chosen = name or next(iter(self.audio_specs), "")
        if chosen not in self.audio_specs:
            self.sound()
            raise Difference("audio features", None, None, chosen).error(self.folder)
        return chosen

    def audio_track(self, name: str) -> AudioTrack:
        """Audio features of one extractor, of which windows are cut on reading; raises errors as ``audio_name``."""
        return self.audio_features[self.audio_name(name)]

    def audio_windows(self, name: str) -> np.ndarray:
        """All audio windows float32 [T, window, D] of one extractor; raises errors as ``audio_name``."""
        return self.audio_track(name).windows()

    def emotion_track(self, name: str) -> np.ndarray:
        """Emotion features float32 [T, D] of one extractor; ``blendshapes``: the expression coefficients.

        Raises:
            ArtefactError: the clip has no such features.
        """
        if name == BLENDSHAPES:
            return self.arrays["expression"]
        if name not in self.emotion_specs:
            raise Difference("emotion features", None, None, name).error(self.folder)
        return self.emotion_features[name]

    def upper_face(self) -> np.ndarray:
        """bool [E]: which expression coefficients belong to the upper face (no jaw, mouth, tongue).

        Raises:
            ArtefactError: the metadata describes other coefficients than the clip has.
        """
        upper = np.asarray(self.meta.expression.upper, bool)
        if len(upper) != self.arrays["expression"].shape[1]:
            raise ArtefactError(f"{self.folder} describes other expression coefficients than it has.", "Write it anew.")
        return upper

    def spec(self, *properties: str) -> ClipSpec:
        """This clip's values of the named properties, for another clip to match.

        Args:
            properties: names of fields of ``ClipSpec``; for ``audio`` and ``emotion``: every extractor.
        """
        fields = {name: "expression" if name == "coefficients" else name for name in properties}
        values: dict[str, Any] = {name: getattr(self.meta, field) or {} for name, field in fields.items()}
        return ClipSpec(**values)

    def differences(self, spec: ClipSpec) -> list[Difference]:
        """The properties in which the clip is not as ``spec`` demands; empty for a clip that fits."""
        return list(differences(self.meta, spec))

    def require(self, spec: ClipSpec, needed_by: str | Path = "the run") -> None:
        """Refuses a clip that does not fit.

        Args:
            spec: the properties that are needed.
            needed_by: what needs them, for the message: a run, a command, or another clip's folder.

        Raises:
            ArtefactError: names the first property that differs, both values, and what to do.
        """
        for difference in differences(self.meta, spec):
            raise difference.error(self.folder, needed_by)

    def digest(self, *files: str) -> str:
        """Hex sha256 that identifies the clip's content, wherever the folder lies.

        It covers the metadata that decides how the content is read, and the sha256 of the content files, which
        ``open`` has compared with the files.

        Args:
            files: names of the content files to cover; all that exist by default.

        Raises:
            ArtefactError: a named file does not exist.
        """
        names = sorted(files or (name for name in CONTENT_FILES if (self.folder / name).is_file()))
        keys = [*_DECISIVE, *(key for name in names for key in _DECISIVE_OF.get(name, ()))]
        decisive = {key: value for key, value in self.meta.to_json().items() if key in keys}
        content = [decisive, {name: self._file_hash(name) for name in names}]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _file_hash(self, name: str) -> str:
        if name in self.meta.files:
            return self.meta.files[name].sha256
        try:
            return HashCache(self.folder).sha256(name)
        except OSError as error:
            raise ArtefactError(f"{self.folder / name} is missing or damaged.", "Prepare it again.") from error

    def _map(self, name: str, channels: int) -> np.ndarray:
        shape = (self.frame_count, self.size_px, self.size_px, channels)
        return np.memmap(self.folder / name, np.uint8, "r", shape=shape)
