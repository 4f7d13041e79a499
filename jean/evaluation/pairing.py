"""Pairs the results of each system with their partners, by name or by a CSV table."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jean.clips.clip import is_clip
from jean.clips.sources import SOUND_SUFFIXES, expand
from jean.errors import InputError, UsageError
from jean.files import exists

# Name of the system that stands for the true videos.
TRUTH = "ground truth"
ROLES = ("reference", "expression_source", "audio_source")


@dataclass(frozen=True)
class Job:
    """One result to score, and its partners.

    Attributes:
        system: name of the system that made the result; "" if there is only one, without a name.
        name: name of the test, which is the same in every system.
        result: the video or clip folder to score.
        reference: what the result should look like; None if unknown.
        expression_source: the video that gave the expression; None if not specified.
        audio_source: the speech that drove the result; None if not specified.
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

    @property
    def label(self) -> str:
        """``system/name``, or only the name for a system without a name."""
        return f"{self.system}/{self.name}" if self.system else self.name


@dataclass
class Plan:
    """All jobs, and the files that could not be paired.

    Attributes:
        jobs: in the order of the tables.
        unpaired: path of each result that lacks a partner → roles of the missing partners.
        unused: role → partner files without a result.
        sources: role → all its files, for averages over all of them (section 8.5).
    """

    jobs: list[Job] = field(default_factory=list)
    unpaired: dict[str, list[str]] = field(default_factory=dict)
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
        systems: name → results: videos, clip folders, or folders of either.
        partners: role → one file or clip for all results, a folder whose files are paired by name, or None.
        table: CSV file with a column ``name`` and any of ``reference``, ``expression_source``, ``audio_source``. An
            entry is a name in the folder given for that role, or a path relative to the table.
        without: ``audio`` and ``expression`` → names of systems that do not take that source.

    Raises:
        InputError: nothing can be compared, or the table names a missing file.
        UsageError: two results have the same name, or a system or column is unknown.
    """
    without = without or {}
    for name in {name for names in without.values() for name in names} - set(systems):
        raise UsageError(f"there is no system called {name!r}.", f"Systems: {', '.join(systems)}.")
    plan = Plan()
    finders = {role: _PartnerFinder(role, path) for role, path in partners.items()}
    rows = _read_table(table, finders) if table is not None else {}
    for system, results in systems.items():
        for name, path in _named(results):
            partner: dict[str, Path | None] = {}
            for role, finder in finders.items():
                listed = any(role in row for row in rows.values())
                partner[role] = rows.get(path_stem(path), {}).get(role) if listed else finder.by_name(path)
                if (finder.given or listed) and partner[role] is None:
                    plan.unpaired.setdefault(str(path), []).append(role)
            if plan.unpaired.get(str(path)) and not any(partner.values()):
                continue
            plan.jobs.append(
                Job(
                    system,
                    name,
                    path,
                    partner.get("reference"),
                    partner.get("expression_source"),
                    partner.get("audio_source"),
                    takes_audio=system not in without.get("audio", ()),
                    takes_expression=system not in without.get("expression", ()),
                )
            )
    for role, finder in finders.items():
        used = {getattr(job, role) for job in plan.jobs} - {None}
        plan.sources[role] = sorted(used | set(finder.files.values()))
        plan.unused[role] = sorted(str(path) for path in set(finder.files.values()) - used) if finder.is_folder else []
    if not plan.jobs:
        results_text = ", ".join(path_stem(path) for paths in systems.values() for _, path in _named(paths)[:5])
        partners_text = ", ".join(stem for finder in finders.values() for stem in list(finder.files)[:5])
        raise InputError(
            "no result has a partner of the same name.", f"Results: {results_text}; partners: {partners_text}."
        )
    return plan


def truth_jobs(plan: Plan) -> list[Job]:
    """One job per test that scores its true video like a result; none for tests whose true video is unknown.

    The true video is the reference, or else the audio source if that is a video.
    """
    jobs: dict[tuple, Job] = {}
    for job in plan.jobs:
        video = job.reference or (job.audio_source if _has_images(job.audio_source) else None)
        if video is None:
            continue
        expression = job.expression_source if job.expression_source != video else None
        audio = job.audio_source if job.audio_source != video else None
        name = job.name.rsplit("/", 1)[-1]
        jobs.setdefault((name, video, expression, audio), Job(TRUTH, name, video, None, expression, audio))
    return list(jobs.values())


def path_stem(path: Path) -> str:
    """The name by which a file or clip folder is paired."""
    return path.name if is_clip(path) else path.stem


class _PartnerFinder:
    """The files of one role.

    Attributes:
        given: whether the user gave a path for this role.
        is_folder: whether that path is a folder, whose files are paired by name.
        files: name → path.
    """

    def __init__(self, role: str, path: Path | None):
        self.role, self.given, self.is_folder, self.files = role, path is not None, False, dict[str, Path]()
        self._single: Path | None = None
        if path is None:
            return
        sources, self.is_folder = expand(path, sound=role == "audio_source")
        self.files = {source.stem: source.path for source in sources}
        self._single = None if self.is_folder else sources[0].path

    def by_name(self, result: Path) -> Path | None:
        """The partner of ``result`` without a table."""
        return self.files.get(path_stem(result)) if self.is_folder else self._single

    def by_entry(self, entry: str, folder: Path) -> Path:
        """The file named by an entry of the table, which lies in ``folder``."""
        if entry in self.files:
            return self.files[entry]
        by_file_name = next((path for path in self.files.values() if path.name == entry), None)
        path = by_file_name or folder / entry
        if not exists(path):
            raise InputError(f"the table's {self.role} {entry!r} does not exist.", f"Looked for {path}.")
        return path


def _read_table(path: Path, finders: Mapping[str, _PartnerFinder]) -> dict[str, dict[str, Path]]:
    """Reads the CSV table: name → role → path."""
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
    rows: dict[str, dict[str, Path]] = {}
    for line in lines:
        if line["name"] in rows:
            raise UsageError(f"{path} has two lines for {line['name']!r}.", "Write one line per result.")
        entries = {role: (line.get(role) or "").strip() for role in ROLES}
        rows[line["name"]] = {
            role: finders[role].by_entry(entry, path.parent) for role, entry in entries.items() if entry
        }
    return rows


def _named(results: list[Path]) -> list[tuple[str, Path]]:
    """(name, path) of every result of one system; results of equal names in two folders get their folder's name."""
    paths = [source.path for path in results for source in expand(path)[0]]
    stems = [path_stem(path) for path in paths]
    names = [
        stem if stems.count(stem) == 1 else f"{path.parent.name}/{stem}"
        for stem, path in zip(stems, paths, strict=True)
    ]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two results are called {name!r}.", "Rename one of them.")
    return list(zip(names, paths, strict=True))


def _has_images(path: Path | None) -> bool:
    return path is not None and path.suffix.lower() not in SOUND_SUFFIXES
