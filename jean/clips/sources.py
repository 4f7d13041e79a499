"""What can be evaluated: a video file or a clip folder; folders of them; which belongs to which."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

from jean.clips.clip import Clip
from jean.errors import InputError, UsageError
from jean.files import sha256

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"})
SOUND_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus"})


@dataclass(frozen=True)
class Source:
    """One video file or one clip folder.

    Attributes:
        path: where it lies.
        clip: the opened clip, None for a video file.
    """

    path: Path
    clip: Clip | None

    @property
    def stem(self) -> str:
        """The name by which it is paired: without folder, without suffix of a file."""
        return self.path.name if self.clip is not None else self.path.stem

    def fps(self) -> float:
        """Its own frame rate (the mean for a variable one)."""
        if self.clip is not None:
            return self.clip.fps
        from jean.media import probe

        return float(probe(self.path).fps)

    def frames(
        self, fps: float, start_s: float = 0.0, warn: Callable[[str], None] = warnings.warn
    ) -> Iterator[tuple[float, np.ndarray, np.ndarray | None]]:
        """(seconds since ``start_s``, RGB uint8 [H, W, 3], matte uint8 [H, W, 2] or None), one at a time.

        Frame n is the picture whose time stamp is nearest to ``start_s`` + n / ``fps``; ``warn`` is
        told about damage that was passed over.
        """
        if self.clip is not None:
            yield from _clip_frames(self.clip, fps, start_s)
            return
        from jean.media import read_frames

        for time_s, image in read_frames(self.path, fps, start_s, warn=warn):
            yield time_s - start_s, image, None

    def sound(self) -> Path | None:
        """The file with its sound; None if it is silent."""
        if self.clip is not None:
            return self.clip.audio_path
        if self.path.suffix.lower() in SOUND_SUFFIXES:
            return self.path
        from jean.media import probe

        return self.path if probe(self.path).has_audio else None

    def digest(self) -> str:
        """Hex sha256 of everything in it that evaluation reads."""
        if self.clip is None:
            return sha256(self.path)
        names = ("clip.json", "frames.u8", "matte.u8", "arrays.safetensors")
        whole = hashlib.sha256()
        for name in names:
            whole.update(sha256(self.path / name).encode())
        return whole.hexdigest()


def clip_index(clip: Clip, time_s: float) -> int:
    """The frame of ``clip`` nearest to ``time_s``, of two the earlier (as ``jean.media.read_frames``).

    It is ``clip.frame_count`` or more after the last frame's end.
    """
    at = time_s * clip.fps
    if at >= clip.frame_count - 1e-3:
        return clip.frame_count
    return min(ceil(at - 0.5 - 1e-6), clip.frame_count - 1)


def _clip_frames(clip: Clip, fps: float, start_s: float) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    number = 0
    while (index := clip_index(clip, start_s + number / fps)) < clip.frame_count:
        yield number / fps, np.array(clip.frames[index]), np.array(clip.matte[index])
        number += 1


def open_source(path: Path) -> Source:
    """One video file or clip folder.

    Raises:
        InputError: there is nothing, or it is neither.
        ArtefactError: a damaged clip.
    """
    if (path / "clip.json").is_file():
        return Source(path, Clip.open(path))
    if path.is_file():
        return Source(path, None)
    raise InputError(f"{path} is neither a video nor a prepared clip.", "Give an mp4, a clip folder, or a folder.")


def expand(path: Path, sound: bool = False) -> tuple[list[Source], bool]:
    """The sources at ``path`` and whether it is a collection (a folder of videos or clips).

    Args:
        sound: files with sound alone count too.

    Raises:
        InputError: there is nothing to evaluate.
        UsageError: two of a collection have the same stem.
    """
    if not path.is_dir() or (path / "clip.json").is_file():
        return [open_source(path)], False
    suffixes = VIDEO_SUFFIXES | SOUND_SUFFIXES if sound else VIDEO_SUFFIXES
    found = sorted(
        child
        for child in path.iterdir()
        if not child.name.startswith(".")
        and ((child.is_file() and child.suffix.lower() in suffixes) or (child / "clip.json").is_file())
    )
    if not found:
        raise InputError(f"{path} holds no video and no prepared clip.", "Give an mp4, a clip folder, or a folder.")
    sources = [open_source(child) for child in found]
    seen: dict[str, Source] = {}
    for source in sources:
        other = seen.setdefault(source.stem, source)
        if other is not source:
            raise UsageError(f"{other.path} and {source.path} have the same name.", "Pairs are found by name.")
    return sources, True
