"""Media sources: a video file or a clip folder, and folders of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

from jean.clips.clip import Clip, is_clip
from jean.clips.meta import ARRAYS_FILE, FRAMES, MATTE, META, ClipMeta
from jean.errors import InputError, UsageError
from jean.files import refuse_url
from jean.media.container import VIDEO_SUFFIXES
from jean.media.image_sequence import is_sequence, media_digest

# Files that are recognised in a folder, beside videos
SOUND_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus"})


@dataclass(frozen=True)
class Source:
    """One video file or one clip folder.

    Attributes:
        path: the file or folder.
        clip: the opened clip; None for a file.
    """

    path: Path
    clip: Clip | None

    @property
    def stem(self) -> str:
        """The name for pairing: without parent folders, and without a file's suffix."""
        return self.path.name if self.clip is not None else self.path.stem

    @property
    def has_pictures(self) -> bool:
        """Whether there is anything to see; a clip of tracks has none."""
        return self.clip is None or self.clip.meta.pictures

    def fps(self) -> float:
        """Frames per second; the mean for a variable frame rate."""
        if self.clip is not None:
            return self.clip.fps
        from jean.media import probe

        return float(probe(self.path).fps)

    def frames(
        self, fps: float, start_s: float = 0.0, warn: Callable[[str], None] = warnings.warn
    ) -> Iterator[tuple[float, np.ndarray, np.ndarray | None]]:
        """Yields the frames at a given rate.

        Frame n is the source frame whose time is nearest to ``start_s`` + n / ``fps``.

        Args:
            fps: frames per second to yield.
            start_s: time of the first frame, seconds.
            warn: called with each message about skipped damage.

        Yields:
            Seconds since ``start_s``, RGB uint8 [H, W, 3], and the matte uint8 [H, W, 2] (None for a video file). The
            frames of a clip without pictures are black, and have no matte.
        """
        if self.clip is not None:
            yield from _clip_frames(self.clip, fps, start_s)
            return
        from jean.media import read_frames

        for time_s, image in read_frames(self.path, fps, start_s, warn=warn):
            yield time_s - start_s, image, None

    def sound(self) -> Path | None:
        """The file that holds the sound; None without sound."""
        if self.clip is not None:
            return self.clip.audio_path
        if self.path.suffix.lower() in SOUND_SUFFIXES:
            return self.path
        from jean.media import probe

        return self.path if probe(self.path).has_audio else None

    def digest(self) -> str:
        """Hex sha256 of everything that evaluation reads; the sound has its own hash."""
        if self.clip is None:
            return media_digest(self.path)
        return self.clip.digest(*([FRAMES, MATTE] if self.has_pictures else []), ARRAYS_FILE)


def clip_index(clip: Clip, time_s: float) -> int:
    """Index of the frame nearest to ``time_s``; of two equally near frames the earlier, as ``jean.media.read_frames``.

    After the end of the last frame it is ``clip.frame_count``.
    """
    position = time_s * clip.fps
    # A thousandth of a frame absorbs rounding of times that are computed from other rates.
    if position >= clip.frame_count - 1e-3:
        return clip.frame_count
    return min(ceil(position - 0.5 - 1e-6), clip.frame_count - 1)


def _clip_frames(clip: Clip, fps: float, start_s: float) -> Iterator[tuple[float, np.ndarray, np.ndarray | None]]:
    number, black = 0, np.broadcast_to(np.uint8(0), (clip.size_px, clip.size_px, 3))
    while (index := clip_index(clip, start_s + number / fps)) < clip.frame_count:
        if clip.meta.pictures:
            yield number / fps, np.array(clip.frames[index]), np.array(clip.matte[index])
        else:
            yield number / fps, black, None
        number += 1


def open_source(path: Path) -> Source:
    """Opens one video file or clip folder.

    Raises:
        InputError: ``path`` does not exist or is a folder without a clip.
        ArtefactError: a malformed clip.
    """
    if is_clip(path):
        return Source(path, Clip.open(path, pictures=ClipMeta.read(path / META).pictures))
    refuse_url(path)
    if path.is_file() or is_sequence(path):
        return Source(path, None)
    raise InputError(f"{path} is neither a video nor a prepared clip.", "Give an mp4, a clip folder, or a folder.")


def expand(path: Path, sound: bool = False) -> tuple[list[Source], bool]:
    """Finds the sources at ``path``.

    Args:
        path: a file, a clip folder, or a folder of either.
        sound: accept files that hold only sound.

    Returns:
        The sources, sorted by path, and whether ``path`` is a folder of sources.

    Raises:
        InputError: no source was found.
        UsageError: two sources of a folder have the same stem.
    """
    if not path.is_dir() or is_clip(path) or is_sequence(path):
        return [open_source(path)], False
    suffixes = VIDEO_SUFFIXES | SOUND_SUFFIXES if sound else VIDEO_SUFFIXES
    children = sorted(
        child
        for child in path.iterdir()
        if not child.name.startswith(".") and ((child.is_file() and child.suffix.lower() in suffixes) or is_clip(child))
    )
    if not children:
        raise InputError(f"{path} holds no video and no prepared clip.", "Give an mp4, a clip folder, or a folder.")
    sources = [open_source(child) for child in children]
    by_stem: dict[str, Source] = {}
    for source in sources:
        first = by_stem.setdefault(source.stem, source)
        if first is not source:
            raise UsageError(f"{first.path} and {source.path} have the same name.", "Pairs are matched by name.")
    return sources, True
