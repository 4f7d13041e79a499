"""Writing a clip folder: the one place that creates clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from jean.clips.arrays import array_shapes, first_of
from jean.clips.audio_track import AudioTrack
from jean.clips.clip import Clip
from jean.clips.meta import (
    ARRAYS_FILE,
    AUDIO_FILE,
    BACKGROUND,
    CONTENT_FILES,
    EMOTION_FILE,
    FRAMES,
    MATTE,
    META,
    SOUND,
    AudioSpec,
    ClipMeta,
    EmotionSpec,
    FileFacts,
)
from jean.features.base import AudioFeatures, EmotionFeatures
from jean.files import atomic_path, sha256, write_error, write_json, write_safetensors
from jean.integrity import HashCache
from jean.media.rates import RATE_HZ
from jean.tensor_file import TensorFile, tensor_file


class ClipWriter:
    """Writes one clip folder.

    Each method writes one file atomically. ``finish`` writes ``clip.json`` last; until then the folder is not a clip.
    Files get normal permissions, as the umask says.

    Args:
        folder: the clip folder; created if needed. A clip in it stops being one.
        keep: keep content files that are in the folder. By default they are deleted, so that the finished clip
            contains only what this writer wrote.

    Raises:
        SetupError: the folder cannot be written.
    """

    def __init__(self, folder: str | Path, keep: bool = False):
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in (META,) if keep else (META, *CONTENT_FILES):
                (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise write_error(self.folder, error) from error

    def arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes the per-frame arrays, see ``jean.clips.arrays.ARRAYS``."""
        write_safetensors(self.folder / ARRAYS_FILE, arrays)

    @contextmanager
    def array_rows(self, frames: int, coefficients: int) -> Iterator[TensorFile]:
        """Opens the file of the per-frame arrays, whose rows are then written piece by piece.

        Args:
            frames: T; coefficients: E, see ``jean.clips.arrays.ARRAYS``.
        """
        with tensor_file(self.folder / ARRAYS_FILE, array_shapes(frames, coefficients)) as file:
            yield file

    def audio_features(self, tracks: Mapping[str, AudioTrack]) -> None:
        """Writes the audio features of each extractor."""
        write_audio_features(self.folder / AUDIO_FILE, tracks)

    def emotion_features(self, features: Mapping[str, np.ndarray]) -> None:
        """Writes emotion features [T, D] by extractor."""
        write_safetensors(self.folder / EMOTION_FILE, features)

    def sound(self, wave: np.ndarray) -> None:
        """Writes the sound: float [S] in [-1, 1], 16 kHz mono."""
        from jean.media import write_wav

        write_wav(self.folder / SOUND, wave, RATE_HZ)

    def background(self, image: np.ndarray) -> None:
        """Writes the background, uint8 [H, W, 3], RGB."""
        from jean.media import write_png

        write_png(self.folder / BACKGROUND, image)

    @contextmanager
    def pictures(self) -> Iterator[PictureStream]:
        """Opens the files of frames and mattes; both are complete or absent afterwards."""
        with (
            atomic_path(self.folder / FRAMES) as frames_path,
            atomic_path(self.folder / MATTE) as matte_path,
            open(frames_path, "wb") as frames,
            open(matte_path, "wb") as mattes,
        ):
            yield PictureStream(frames, mattes)

    def finish(self, facts: Mapping[str, FileFacts] | None = None, **meta: Any) -> Clip:
        """Writes ``clip.json`` and opens the finished clip, which checks it.

        Args:
            facts: size and sha256 of content files that are known already; the others are read and hashed.
            meta: fields of ``ClipMeta`` other than ``files``.

        Raises:
            ValueError: wrong metadata.
            ArtefactError: a file or an array is not as the format demands; ``clip.json`` is removed again.
            SetupError: ``clip.json`` cannot be written.
        """
        present = [name for name in CONTENT_FILES if (self.folder / name).is_file()]
        files = {name: (facts or {}).get(name) or file_facts(self.folder / name) for name in present}
        try:
            document = ClipMeta(files=files, **meta)
        except ValidationError as error:
            raise ValueError(f"wrong metadata for {self.folder}: {error}") from error
        hashes = HashCache(self.folder)
        for name, file in files.items():  # of these bytes, so that opening the clip does not read them again
            hashes.put(name, file.sha256)
        hashes.save()
        write_json(self.folder / META, document.to_json())
        try:
            return Clip.open(self.folder, pictures=document.pictures)
        except BaseException:
            (self.folder / META).unlink(missing_ok=True)
            raise


class PictureStream:
    """Takes the frames of a clip in order.

    Args:
        frames: open file of the frames.
        mattes: open file of the mattes.
    """

    def __init__(self, frames: Any, mattes: Any):
        self._frames, self._mattes = frames, mattes

    def write(self, image: np.ndarray, matte: np.ndarray) -> None:
        """Adds one frame.

        Args:
            image: uint8 [H, W, 3], RGB.
            matte: uint8 [H, W, 2], opacity of head and torso.
        """
        self._frames.write(np.ascontiguousarray(image, np.uint8).tobytes())
        self._mattes.write(np.ascontiguousarray(matte, np.uint8).tobytes())


def write_audio_features(path: Path, tracks: Mapping[str, AudioTrack]) -> None:
    """Writes the rows of audio features, and the first row of each frame's window."""
    arrays = {name: track.rows for name, track in tracks.items()}
    arrays |= {first_of(name): track.first.astype(np.int32) for name, track in tracks.items()}
    write_safetensors(path, arrays)


def file_facts(path: Path) -> FileFacts:
    """Size and sha256 of a file."""
    return FileFacts(bytes=path.stat().st_size, sha256=sha256(path))


def audio_spec(extractor: AudioFeatures) -> AudioSpec:
    """The specification of an audio extractor for ``clip.json``."""
    return AudioSpec(
        version=extractor.version, width=extractor.width, window=extractor.window, rate_hz=float(extractor.rate_hz)
    )


def emotion_spec(extractor: EmotionFeatures) -> EmotionSpec:
    """The specification of an emotion extractor for ``clip.json``."""
    return EmotionSpec(version=extractor.version, width=extractor.width, network=extractor.network)
