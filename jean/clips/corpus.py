"""Clips of many people in folders: who speaks in each clip, with which emotion, and which sentence.

A DATA argument is a clip folder, or a folder with clip folders anywhere below it. A clip's description comes from the
first of these sources that has one:

1. ``corpus.csv`` in the DATA folder, with the columns ``file``, ``person``, ``emotion``, ``level`` and ``sentence``;
   other columns are ignored. ``file`` is the clip's path below DATA, with or without a video suffix.
2. MEAD's layout below DATA: ``PERSON/[video/front/]EMOTION/level_N/NUMBER``, and MEAD's table of sentences.
3. The path. The first folder below DATA is the person; for a clip directly in DATA, DATA itself is. A name of one of
   MEAD's eight emotions within the clip's name is the emotion, and the number at its end is the sentence.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jean.clips import mead
from jean.clips.clip import Clip, is_clip
from jean.clips.meta import META
from jean.errors import InputError
from jean.media.container import VIDEO_SUFFIXES

TABLE = "corpus.csv"
_COLUMNS = ("file", "person", "emotion", "level", "sentence")
_SEARCH_DEPTH = 6  # folders above a clip that are searched for its description; MEAD's layout has five


@dataclass(frozen=True)
class CorpusClip:
    """A clip and its description.

    Attributes:
        folder: the clip folder.
        name: its path below DATA.
        person: who speaks.
        emotion: None if unknown.
        level: intensity, 1 to 3; 0 if unknown.
        sentence: equal values mean the same sentence, within one person; None if unknown.
    """

    folder: Path
    name: str
    person: str
    emotion: str | None = None
    level: int = 0
    sentence: str | None = None

    def open(self, pictures: bool = False) -> Clip:
        """Opens the clip; see ``Clip.open``."""
        return Clip.open(self.folder, pictures)


def find_clips(data: Sequence[str | Path], table: str | Path | None = None) -> list[CorpusClip]:
    """Finds every clip below the DATA folders, sorted by path within each of them.

    Args:
        data: clip folders, or folders that contain some.
        table: a CSV that describes the clips of all DATA folders, instead of each folder's own.

    Raises:
        InputError: a folder without clips, a clip that is given twice, or a table that is wrong or names a clip that
            does not exist.
    """
    clips: list[CorpusClip] = []
    for each in data:
        root = Path(each)
        folders = [root] if is_clip(root) else _clips_below(root)
        if not folders:
            raise InputError(f"{root} holds no prepared clip.", "Run: jean prepare VIDEO -o DIR")
        path = Path(table) if table is not None else root / TABLE
        rows = _read_table(path) if table is not None or path.is_file() else {}
        described = [_describe(root, folder, rows) for folder in folders]
        missing = sorted(set(rows) - {_key(clip.name) for clip in described}) if table is None else []
        if missing:
            raise InputError(
                f"{path} names {missing[0]}, which is not prepared ({len(missing)} of {len(rows)} rows).",
                "Prepare all of them, or remove their rows.",
            )
        clips += described
    resolved: set[Path] = set()
    for clip in clips:
        if (path := clip.folder.resolve()) in resolved:
            raise InputError(f"the clip {clip.name} was given twice.", "Name every folder once.")
        resolved.add(path)
    return clips


def describe(folder: Path) -> CorpusClip:
    """Describes one clip, from a ``corpus.csv`` in a folder above it, MEAD's layout, or its name."""
    folder = Path(folder).resolve()
    above = list(folder.parents)[:_SEARCH_DEPTH]
    for root in above:
        if (root / TABLE).is_file():
            rows = _read_table(root / TABLE)
            if _key(folder.relative_to(root).as_posix()) in rows:
                return _describe(root, folder, rows)
    for root in above[2:]:
        if mead.LAYOUT.match(folder.relative_to(root).as_posix()):
            return _describe(root, folder, {})
    return _describe(above[0], folder, {})


def people(clips: Sequence[CorpusClip]) -> list[str]:
    """Names of all people in the clips, sorted."""
    return sorted({clip.person for clip in clips})


def same_sentence_pairs(clips: Sequence[CorpusClip]) -> Iterator[tuple[CorpusClip, CorpusClip]]:
    """Yields pairs of one person's clips with the same sentence in two emotions (section 8.3.1), in a fixed order.

    Of several levels of one emotion only the highest is used, as in the paper.
    """
    groups: dict[tuple[str, str], dict[str, CorpusClip]] = {}
    for clip in clips:
        if clip.emotion is None or clip.sentence is None:
            continue
        group = groups.setdefault((clip.person, clip.sentence), {})
        if clip.emotion not in group or clip.level > group[clip.emotion].level:
            group[clip.emotion] = clip
    for key in sorted(groups):
        emotions = sorted(groups[key])
        for i, first in enumerate(emotions):
            for second in emotions[i + 1 :]:
                yield groups[key][first], groups[key][second]


def _clips_below(root: Path) -> list[Path]:
    """Clip folders below ``root``, sorted. Hidden folders are skipped: they hold parts of joined clips."""
    folders = sorted(path.parent for path in root.rglob(META))
    return [path for path in folders if not any(part.startswith(".") for part in path.relative_to(root).parts)]


def _describe(root: Path, folder: Path, rows: dict[str, dict[str, str]]) -> CorpusClip:
    name = folder.relative_to(root).as_posix() if folder != root else folder.resolve().name
    row = rows.get(_key(name))
    if row is not None:
        level = int(row["level"] or 0)
        return CorpusClip(folder, name, row["person"], row["emotion"] or None, level, row["sentence"] or None)
    if match := mead.LAYOUT.match(name):
        said = mead.sentence(match["emotion"], match["name"])
        return CorpusClip(folder, name, match["person"], match["emotion"], int(match["level"]), said)
    parts = name.split("/")
    # A clip that is DATA itself is a person of its own; a clip directly in DATA belongs to DATA's person.
    person = parts[0] if len(parts) > 1 else (root.resolve().name if folder != root else name)
    words = re.split(r"[^a-z]+", parts[-1].lower())
    emotion = next((word for word in words if word in mead.EMOTIONS), None)
    number = re.search(r"(\d+)$", parts[-1])
    return CorpusClip(folder, name, person, emotion, 0, number[1] if number else None)


def _key(name: str) -> str:
    """A path below DATA without a video suffix."""
    path = name.strip()
    return next((path.removesuffix(suffix) for suffix in VIDEO_SUFFIXES if path.endswith(suffix)), path)


def _read_table(path: Path) -> dict[str, dict[str, str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            absent = [name for name in _COLUMNS if name not in (reader.fieldnames or [])]
            if absent:
                raise InputError(f"{path} has no column {absent[0]!r}.", f"Columns: {', '.join(_COLUMNS)}.")
            rows = {}
            for row in reader:
                if not all(row[name] is not None for name in _COLUMNS) or not row["file"] or not row["person"]:
                    raise InputError(f"{path}, line {reader.line_num}: a value is missing.", "Correct the line.")
                if row["level"] and not row["level"].isdigit():
                    raise InputError(f"{path}, line {reader.line_num}: level is no number.", "Correct the line.")
                rows[_key(row["file"])] = {name: row[name].strip() for name in _COLUMNS}
            return rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path} ({type(error).__name__}).", "Give a CSV file in UTF-8.") from error
