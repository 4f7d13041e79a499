"""Who speaks in a clip, how, and what: clips of many people found in folders.

A DATA argument is a clip folder, or a folder with clip folders anywhere below it. What a clip is comes
from, in this order:

1. ``corpus.csv`` in the DATA folder (columns ``file``, ``person``, ``emotion``, ``level``, ``sentence``; any
   further ones are ignored): ``file`` is the clip's path below DATA, with or without a suffix;
2. MEAD's layout below DATA: ``PERSON/[video/front/]EMOTION/level_N/SENTENCE``;
3. the path alone: the first folder below DATA is the person (DATA itself where the clip lies in it
   directly); a word of MEAD's eight emotions in the clip's name is the emotion, the number at its end the
   sentence.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jean.clips.clip import Clip
from jean.errors import InputError

EMOTIONS = ("neutral", "angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised")  # MEAD's
TABLE = "corpus.csv"
_COLUMNS = ("file", "person", "emotion", "level", "sentence")
_MEAD = re.compile(r"^(?P<person>[^/]+)/(?:video/)?(?:front/)?(?P<emotion>[a-z]+)/level_(?P<level>\d)/(?P<name>[^/]+)$")


@dataclass(frozen=True)
class CorpusClip:
    """A clip and what is known about it.

    Attributes:
        folder: the clip folder.
        name: its path below DATA.
        person: who.
        emotion: None where nothing tells.
        level: 1 to 3; 0 where nothing tells.
        sentence: the same word means the same sentence by one person; None where nothing tells.
    """

    folder: Path
    name: str
    person: str
    emotion: str | None = None
    level: int = 0
    sentence: str | None = None

    def open(self, pictures: bool = False) -> Clip:
        """The clip itself."""
        return Clip.open(self.folder, pictures)


def find_clips(data: Sequence[str | Path], table: str | Path | None = None) -> list[CorpusClip]:
    """Every clip below the DATA folders, in the order of their names.

    Args:
        data: clip folders, or folders that hold some.
        table: a CSV that describes the clips of all DATA folders, instead of each folder's own.

    Raises:
        InputError: a folder holds no clip, two clips are one, or a table is wrong or names a clip that is not there.
    """
    found: list[CorpusClip] = []
    for each in data:
        root = Path(each)
        folders = [root] if (root / "clip.json").is_file() else _below(root)
        if not folders:
            raise InputError(f"{root} holds no prepared clip.", "Run: jean prepare VIDEO -o DIR")
        path = Path(table) if table is not None else root / TABLE
        rows = _read_table(path) if table is not None or path.is_file() else {}
        clips = [_described(root, folder, rows) for folder in folders]
        missing = sorted(set(rows) - {_key(clip.name) for clip in clips}) if table is None else []
        if missing:
            raise InputError(
                f"{path} names {missing[0]}, which is not prepared ({len(missing)} of {len(rows)} rows).",
                "Prepare all of them, or take their rows out.",
            )
        found += clips
    seen: set[Path] = set()
    for clip in found:
        if (path := clip.folder.resolve()) in seen:
            raise InputError(f"the clip {clip.name} was given twice.", "Name every folder once.")
        seen.add(path)
    return found


def _below(root: Path) -> list[Path]:
    """Clip folders below ``root``, sorted; those in hidden folders are somebody's parts."""
    found = sorted(path.parent for path in root.rglob("clip.json"))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts)]


def describe(folder: Path) -> CorpusClip:
    """One clip by itself: from a ``corpus.csv`` in a folder above it, MEAD's layout, or its name."""
    folder = Path(folder).resolve()
    above = list(folder.parents)[:6]
    for root in above:
        if (root / TABLE).is_file():
            rows = _read_table(root / TABLE)
            if _key(folder.relative_to(root).as_posix()) in rows:
                return _described(root, folder, rows)
    for root in above[2:]:
        if _MEAD.match(folder.relative_to(root).as_posix()):
            return _described(root, folder, {})
    return _described(above[0], folder, {})


def _described(root: Path, folder: Path, rows: dict[str, dict[str, str]]) -> CorpusClip:
    name = folder.relative_to(root).as_posix() if folder != root else folder.resolve().name
    row = rows.get(_key(name))
    if row is not None:
        level = int(row["level"] or 0)
        return CorpusClip(folder, name, row["person"], row["emotion"] or None, level, row["sentence"] or None)
    if match := _MEAD.match(name):
        return CorpusClip(folder, name, match["person"], match["emotion"], int(match["level"]), match["name"])
    parts = name.split("/")
    # a clip that is DATA itself is a person of its own; one directly in DATA belongs to DATA's person
    person = parts[0] if len(parts) > 1 else (root.resolve().name if folder != root else name)
    words = re.split(r"[^a-z]+", parts[-1].lower())
    emotion = next((word for word in words if word in EMOTIONS), None)
    number = re.search(r"(\d+)$", parts[-1])
    return CorpusClip(folder, name, person, emotion, 0, number[1] if number else None)


def _key(name: str) -> str:
    """A path below DATA without a video's suffix."""
    return re.sub(r"\.(mp4|mov|avi|mkv|webm|m4v)$", "", name.strip())


def _read_table(path: Path) -> dict[str, dict[str, str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            lacking = [name for name in _COLUMNS if name not in (reader.fieldnames or [])]
            if lacking:
                raise InputError(f"{path} has no column {lacking[0]!r}.", f"Columns: {', '.join(_COLUMNS)}.")
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


def mead_sound(video: Path) -> Path | None:
    """The sound of a silent video in MEAD's layout: PERSON/audio/EMOTION/level_N/NAME; None where there is none."""
    parts = video.resolve().parts
    if len(parts) < 7 or parts[-5] != "video":
        return None
    folder = Path(*parts[:-5]) / "audio" / parts[-3] / parts[-2]
    return next(
        (folder / f"{video.stem}{end}" for end in (".m4a", ".wav") if (folder / f"{video.stem}{end}").is_file()), None
    )


def people(clips: Sequence[CorpusClip]) -> list[str]:
    """The names of the people, sorted."""
    return sorted({clip.person for clip in clips})


def same_sentence_pairs(clips: Sequence[CorpusClip]) -> Iterator[tuple[CorpusClip, CorpusClip]]:
    """Pairs of one person's clips with the same sentence in two emotions (section 8.3.1), in a fixed order.

    Where an emotion is there in several levels the highest counts, as in the paper.
    """
    groups: dict[tuple[str, str], dict[str, CorpusClip]] = {}
    for clip in clips:
        if clip.emotion is None or clip.sentence is None:
            continue
        group = groups.setdefault((clip.person, clip.sentence), {})
        if clip.emotion not in group or clip.level > group[clip.emotion].level:
            group[clip.emotion] = clip
    for key in sorted(groups):
        names = sorted(groups[key])
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                yield groups[key][first], groups[key][second]
