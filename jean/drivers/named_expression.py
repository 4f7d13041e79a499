"""Expressions by name: an emotion, a strength, a way from one to another, a timeline.

A name is an emotion or a clip that the run was trained on: what it stands for is the mean of their expression
vectors. ``happy`` · ``happy:0.7`` (seven tenths of the way from neutral) · ``sad..happy:0.7`` (from one to the
other over the whole length, Figure 5) · a CSV file of ``time_s,expression,strength``, linear in between, held
beyond its ends.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jean.errors import InputError, UsageError

NEUTRAL = "neutral"
HIGHEST = 2.0  # twice as happy as the person ever was: beyond that faces break


@dataclass(frozen=True)
class Key:
    """One moment of a timeline: at ``time_s``, ``name`` with ``strength``."""

    time_s: float
    name: str
    strength: float


def parse(text: str, length_s: float) -> list[Key]:
    """The keys of ``NAME[:STRENGTH]`` or ``NAME[:STRENGTH]..NAME[:STRENGTH]``.

    Raises:
        UsageError: not of that form.

    Example:
        >>> parse("sad..happy:0.7", length_s=4.0)
        [Key(time_s=0.0, name='sad', strength=1.0), Key(time_s=4.0, name='happy', strength=0.7)]
    """
    parts = text.split("..")
    if not 1 <= len(parts) <= 2:
        raise UsageError(f"--expression {text} names more than two expressions.", "Use --expression-timeline FILE.")
    times = [0.0] if len(parts) == 1 else [0.0, length_s]
    return [Key(time_s, *_name_and_strength(part, text)) for time_s, part in zip(times, parts, strict=True)]


def _name_and_strength(part: str, text: str) -> tuple[str, float]:
    name, number = part, "1"
    if ":" in part:
        name, _, number = part.rpartition(":")
    try:
        strength = float(number)
    except ValueError:
        raise UsageError(f"--expression {text}: {number!r} is no strength.", "Write, for example: happy:0.7") from None
    return name, _checked(strength, f"--expression {text}")


def _checked(strength: float, where: str) -> float:
    if not 0 <= strength <= HIGHEST:
        raise UsageError(f"{where}: the strength {strength:g} is not from 0 to {HIGHEST:g}.", "Choose one within.")
    return strength


def read_timeline(path: Path) -> list[Key]:
    """The keys of a CSV file, in the order of time.

    Raises:
        InputError: not such a file; names the line.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            if (reader.fieldnames or [])[:2] != ["time_s", "expression"]:
                raise InputError(f"{path} has other columns.", "Begin it with: time_s,expression,strength")
            keys = []
            for row in reader:
                try:
                    strength = float(row.get("strength") or 1.0)
                    keys.append(Key(float(row["time_s"]), row["expression"].strip(), _checked(strength, str(path))))
                except (ValueError, TypeError, AttributeError) as error:
                    raise InputError(f"{path}, line {reader.line_num}: no time or strength.", "Correct it.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path} ({type(error).__name__}).", "Give a CSV file in UTF-8.") from error
    times = [key.time_s for key in keys]
    if not keys or times != sorted(set(times)) or not np.isfinite(times).all():
        raise InputError(f"{path}: times must rise from line to line.", "Sort the lines; leave repeated times out.")
    return keys


def vectors(
    keys: list[Key],
    means: Mapping[str, np.ndarray],
    neutral: np.ndarray,
    times_s: np.ndarray,
    of_clip: Callable[[Path], np.ndarray] | None = None,
) -> np.ndarray:
    """Expression vectors [T, E] at ``times_s`` [T].

    Args:
        keys: in the order of time.
        means: mean vector [E] by name; ``neutral`` [E] is where strength begins, unless a mean of that name is there.
        of_clip: mean vector of a prepared clip, for keys that name a folder.

    Raises:
        UsageError: a name that nothing has.
    """
    start = means.get(NEUTRAL, neutral)
    places = []
    for key in keys:
        if key.name in means:
            mean = means[key.name]
        elif of_clip is not None and Path(key.name).is_dir():
            mean = of_clip(Path(key.name))
        else:
            raise UsageError(
                f"there is no file and no expression called {key.name!r}.",
                f"The run knows: {', '.join(sorted(means))}." if means else "The run was trained without names.",
            )
        places.append(start + key.strength * (mean - start))
    at = [key.time_s for key in keys]
    return np.stack([np.interp(times_s, at, column) for column in np.array(places).T], 1)
