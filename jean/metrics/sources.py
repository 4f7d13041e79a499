"""What can be evaluated: a video file or a clip folder; folders of them; which belongs to which."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import numpy as np

from jean.data.clip import Clip
from jean.errors import InputError, UsageError
from jean.files import sha256

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"})


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


def expand(path: Path) -> tuple[list[Source], bool]:
    """The sources at ``path`` and whether it is a collection (a folder of videos or clips).

    Raises:
        InputError: there is nothing to evaluate.
        UsageError: two of a collection have the same stem.
    """
    if not path.is_dir() or (path / "clip.json").is_file():
        return [open_source(path)], False
    found = sorted(
        child
        for child in path.iterdir()
        if not child.name.startswith(".")
        and ((child.is_file() and child.suffix.lower() in VIDEO_SUFFIXES) or (child / "clip.json").is_file())
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


@dataclass
class Pairs:
    """What is compared with what.

    Attributes:
        pairs: (name, result, reference).
        without_reference: results whose partner is missing.
        without_result: references whose partner is missing.
    """

    pairs: list[tuple[str, Source, Source]] = field(default_factory=list)
    without_reference: list[str] = field(default_factory=list)
    without_result: list[str] = field(default_factory=list)


def pair_up(results: list[Path], reference: Path) -> Pairs:
    """Pairs results with references: by name in a folder of references, all with a single one.

    Raises:
        InputError: nothing can be compared.
        UsageError: no result is given, or one name stands for two.
    """
    if not results:
        raise UsageError("no result to evaluate is given.", "Give an mp4, a clip folder, or a folder.")
    references, many = expand(reference)
    sources = [source for path in results for source in expand(path)[0]]
    by_stem = {source.stem: source for source in references}
    stems = [source.stem for source in sources]
    found = Pairs()
    for source in sources:
        # the same name in two folders: tell them apart by their folder
        name = source.stem if stems.count(source.stem) == 1 else f"{source.path.parent.name}/{source.stem}"
        partner = by_stem.get(source.stem) if many else references[0]
        if partner is None:
            found.without_reference.append(str(source.path))
        else:
            found.pairs.append((name, source, partner))
    if many:
        found.without_result = [str(s.path) for s in references if s.stem not in set(stems)]
    if not found.pairs:
        raise InputError(
            f"no result has a partner of the same name in {reference}.",
            f"Results: {', '.join(stems[:5])}; references: {', '.join(list(by_stem)[:5])}.",
        )
    names = [name for name, _, _ in found.pairs]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two results are called {name!r}.", "Rename one of them.")
    return found
