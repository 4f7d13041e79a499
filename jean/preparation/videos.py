"""The videos that a command line names, and the clip folder of each."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from jean.errors import InputError, UsageError
from jean.files import refuse_url
from jean.media import is_sequence
from jean.media.container import VIDEO_SUFFIXES


def clip_folders(videos: Sequence[str | Path], output: Path, match: str | None = None) -> dict[Path, Path]:
    """The clip folder of each video.

    A folder stands for the videos in it; their clips get folders of their own. With ``match``, a folder stands for all
    videos below it whose path in it matches the pattern, and the clips keep the structure of the folder.

    Raises:
        InputError: a video does not exist, or a folder holds none.
        UsageError: no video, two videos with the same folder, or a pattern without a folder.
    """
    if not videos:
        raise UsageError("no video was given.", "Run: jean prepare VIDEO -o DIR")
    if match is not None:
        return _matching(videos, output, match)
    paths: list[Path] = []
    for given in map(Path, videos):
        refuse_url(given)
        if given.is_dir() and not is_sequence(given):
            paths += _videos_in(given)
        elif given.exists():
            paths.append(given)
        else:
            raise InputError(f"there is no file {given}.", "Check the path.")
    if paths == [Path(videos[0])]:
        return {paths[0]: output}
    return _distinct({path: output / path.stem for path in paths})


def _matching(roots: Sequence[str | Path], output: Path, match: str) -> dict[Path, Path]:
    """All videos below ``roots`` whose path in their root matches a pattern, sorted within each root."""
    folders: dict[Path, Path] = {}
    for root in map(Path, roots):
        refuse_url(root)
        if not root.is_dir():
            raise UsageError(f"--match looks into folders, and {root} is none.", "Name a folder.")
        found = [path for path in sorted(root.rglob("*")) if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
        names = {path: path.relative_to(root) for path in found}
        folders |= {
            path: output / name.with_suffix("")
            for path, name in names.items()
            if fnmatchcase(name.as_posix(), match) and not any(part[0] == "." for part in name.parts)
        }
    if not folders:
        raise InputError(f"no video below {', '.join(map(str, roots))} matches {match!r}.", "Check the pattern.")
    return _distinct(folders)


def _distinct(folders: dict[Path, Path]) -> dict[Path, Path]:
    """``folders``, of which no two may be the same.

    Raises:
        UsageError: two videos have the same clip folder.
    """
    seen: dict[Path, Path] = {}
    for video, folder in folders.items():
        if folder in seen:
            raise UsageError(f"two videos are called {video.stem}.", "Prepare them into two folders.")
        seen[folder] = video
    return folders


def _videos_in(folder: Path) -> list[Path]:
    """The videos and image sequences in a folder, sorted by name.

    Raises:
        InputError: there are none.
    """
    found = sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".")
        and ((path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES) or (path.is_dir() and is_sequence(path)))
    )
    if not found:
        raise InputError(
            f"{folder} holds no video and no numbered images.",
            "Give a video, a folder of videos, or --match PATTERN for folders in folders.",
        )
    return found
