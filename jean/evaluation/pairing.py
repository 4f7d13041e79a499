"""What is scored against what: systems, their files, and the partners of each, by name or by a table."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jean.clips.clip import is_clip
from jean.clips.sources import expand
from jean.errors import InputError, UsageError

TRUTH = "ground truth"
ROLES = ("reference", "expression_source", "audio_source")


@dataclass(frozen=True)
class Job:
    """One result to score.

    Attributes:
        system: whose it is.
        name: by which the same test is known in every system.
        result: the video or clip folder that is judged.
        reference: what the result should be; None where unknown.
        expression_source: the video whose expression it was given; None: not given to evaluate.
        audio_source: the speech it was given; None: not given to evaluate.
        takes_audio, takes_expression: False for a system that ignores that source (section 8.5).
    """

    system: str
    name: str
    result: Path
    reference: Path | None = None
    expression_source: Path | None = None
    audio_source: Path | None = None
    takes_audio: bool = True
    takes_expression: bool = True


@dataclass
class Plan:
    """All jobs, and what is left over.

    Attributes:
        jobs: in the order of the tables.
        lonely: results without a partner, as "path: role, role".
        unused: role → sources that no result belongs to.
        sources: role → every source of it, for averages over all of them (section 8.5).
    """

    jobs: list[Job] = field(default_factory=list)
    lonely: dict[str, list[str]] = field(default_factory=dict)
    unused: dict[str, list[str]] = field(default_factory=dict)
    sources: dict[str, list[Path]] = field(default_factory=dict)


def make_plan(
    systems: Mapping[str, list[Path]],
    partners: Mapping[str, Path | None],
    table: Path | None = None,
    without: Mapping[str, tuple[str, ...]] | None = None,
) -> Plan:
    """Finds the partners of every result.

    Args:
        systems: name → results: videos, clip folders, folders of either.
        partners: role → one file or clip for all results, or a folder that pairs by name, or None.
        table: a CSV file with a column ``name`` and any of ``reference``, ``expression_source``,
            ``audio_source``: names within the folder given for that role, or paths from the table's folder.
        without: ``audio`` and ``expression`` → systems that do not take that source.

    Raises:
        InputError: nothing can be compared, or the table names what is not there.
        UsageError: no result, one name for two, an unknown system or column.
    """
    without = without or {}
    for name in {name for names in without.values() for name in names} - set(systems):
        raise UsageError(f"there is no system called {name!r}.", f"Systems: {', '.join(systems)}.")
    plan = Plan()
    finders = {role: _Finder(role, path) for role, path in partners.items()}
    rows = _read_table(table, finders) if table is not None else {}
    for system, results in systems.items():
        for name, path in _named(results):
            found: dict[str, Path | None] = {}
            for role, finder in finders.items():
                listed = any(role in row for row in rows.values())
                found[role] = rows.get(path_stem(path), {}).get(role) if listed else finder.by_name(path)
                if (finder.given or listed) and found[role] is None:
                    plan.lonely.setdefault(str(path), []).append(role)
            if plan.lonely.get(str(path)) and not any(found.values()):
                continue
            ignores = {kind: system in without.get(kind, ()) for kind in ("audio", "expression")}
            partner = (found.get("reference"), found.get("expression_source"), found.get("audio_source"))
            plan.jobs.append(Job(system, name, path, *partner, not ignores["audio"], not ignores["expression"]))
    for role, finder in finders.items():
        used = {getattr(job, role) for job in plan.jobs} - {None}
        plan.sources[role] = sorted(used | set(finder.files.values()))
        plan.unused[role] = sorted(str(path) for path in set(finder.files.values()) - used) if finder.many else []
    if not plan.jobs:
        shown = ", ".join(path_stem(path) for paths in systems.values() for _, path in _named(paths)[:5])
        there = ", ".join(stem for finder in finders.values() for stem in list(finder.files)[:5])
        raise InputError("no result has a partner of the same name.", f"Results: {shown}; partners: {there}.")
    return plan


def truth_jobs(plan: Plan) -> list[Job]:
    """One job for each test: its true video scored like a result; none where that is not known.

    The truth is the reference, or where there is none the audio source if it is a video.
    """
    found: dict[tuple, Job] = {}
    for job in plan.jobs:
        video = job.reference or (job.audio_source if _has_pictures(job.audio_source) else None)
        if video is None:
            continue
        expression = job.expression_source if job.expression_source != video else None
        audio = job.audio_source if job.audio_source != video else None
        name = job.name.rsplit("/", 1)[-1]
        found.setdefault((name, video, expression, audio), Job(TRUTH, name, video, None, expression, audio))
    return list(found.values())


def path_stem(path: Path) -> str:
    """The name by which a file or clip folder is paired."""
    return path.name if is_clip(path) else path.stem


class _Finder:
    """The sources of one role."""

    def __init__(self, role: str, path: Path | None):
        self.given, self.many, self.files = path is not None, False, dict[str, Path]()
        self._only: Path | None = None
        self.role = role
        if path is None:
            return
        sources, self.many = expand(path, sound=role == "audio_source")
        self.files = {source.stem: source.path for source in sources}
        self._only = None if self.many else sources[0].path

    def by_name(self, result: Path) -> Path | None:
        return self.files.get(path_stem(result)) if self.many else self._only

    def by_entry(self, entry: str, folder: Path) -> Path:
        if entry in self.files:
            return self.files[entry]
        stem = next((path for path in self.files.values() if path.name == entry), None)
        path = stem or folder / entry
        if not path.exists():
            raise InputError(f"the table's {self.role} {entry!r} is not there.", f"Looked for at {path}.")
        return path


def _read_table(path: Path, finders: Mapping[str, _Finder]) -> dict[str, dict[str, Path]]:
    """name → role → path."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            columns = reader.fieldnames or []
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path} ({type(error).__name__}).", "Give --pairs a CSV file.") from error
    unknown = set(columns) - {"name", *ROLES}
    if "name" not in columns or unknown:
        raise UsageError(
            f"{path} has the columns {', '.join(columns) or 'none'}.",
            f"It must have: name, and any of {', '.join(ROLES)}.",
        )
    found: dict[str, dict[str, Path]] = {}
    for line in lines:
        if line["name"] in found:
            raise UsageError(f"{path} has two lines for {line['name']!r}.", "Write one line a result.")
        entries = {role: (line.get(role) or "").strip() for role in ROLES}
        found[line["name"]] = {
            role: finders[role].by_entry(entry, path.parent) for role, entry in entries.items() if entry
        }
    return found


def _named(results: list[Path]) -> list[tuple[str, Path]]:
    """(name, path) of every result of one system."""
    paths = [source.path for path in results for source in expand(path)[0]]
    stems = [path_stem(path) for path in paths]
    # the same name in two folders: tell them apart by their folder
    names = [path_stem(path) if stems.count(path_stem(path)) == 1 else _longer(path) for path in paths]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two results are called {name!r}.", "Rename one of them.")
    return list(zip(names, paths, strict=True))


def _longer(path: Path) -> str:
    return f"{path.parent.name}/{path_stem(path)}"


def _has_pictures(path: Path | None) -> bool:
    from jean.clips.sources import SOUND_SUFFIXES

    return path is not None and path.suffix.lower() not in SOUND_SUFFIXES
