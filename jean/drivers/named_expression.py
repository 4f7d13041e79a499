"""Named expressions: an emotion with a strength, a transition between two, or a timeline.

A name is an emotion or a clip that the run was trained on. It stands for the mean of their expression vectors. Strength
0 is the neutral expression, strength 1 the named one:

- ``happy``, ``happy:0.7``: one expression, with a strength.
- ``sad..happy:0.7``: a linear transition over the whole length (Figure 5).
- a CSV file with the columns ``time_s,expression,strength``: linear between its rows, constant beyond its ends.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jean.errors import InputError, UsageError
from jean.names import known_name, suggestion

NEUTRAL = "neutral"
HIGHEST = 2.0  # largest strength, relative to the mean of the name's clips; beyond it faces break


@dataclass(frozen=True)
class ExpressionKey:
    """A keyframe of the expression.

    Attributes:
        time_s: time in the result, s.
        name: an emotion, a clip of the training, or the folder of a prepared clip.
        strength: 0 (neutral) to ``HIGHEST``.
    """

    time_s: float
    name: str
    strength: float


def parse_expression(text: str, length_s: float, option: str = "--expression") -> list[ExpressionKey]:
    """Keyframes of an ``--expression`` that is a name or a transition.

    Args:
        text: ``NAME[:STRENGTH]`` or ``NAME[:STRENGTH]..NAME[:STRENGTH]``.
        length_s: length of the result, which a transition fills.
        option: where the text comes from, for messages.

    Raises:
        UsageError: the text has another form.

    Example:
        >>> first, last = parse_expression("sad..happy:0.7", length_s=4.0)
        >>> last
        ExpressionKey(time_s=4.0, name='happy', strength=0.7)
    """
    parts = text.split("..")
    if not 1 <= len(parts) <= 2:
        raise UsageError(f"{option} {text} names more than two expressions.", f"Use {option}-timeline FILE.")
    times = [0.0] if len(parts) == 1 else [0.0, length_s]
    return [
        ExpressionKey(time_s, *_name_and_strength(part, f"{option} {text}"))
        for time_s, part in zip(times, parts, strict=True)
    ]


def _name_and_strength(part: str, where: str) -> tuple[str, float]:
    name, number = part, "1"
    if ":" in part:
        name, _, number = part.rpartition(":")
    try:
        strength = float(number)
    except ValueError:
        raise UsageError(f"{where}: {number!r} is not a number.", "Write, for example: happy:0.7") from None
    return name, _checked(strength, where)


def _checked(strength: float, where: str) -> float:
    """The strength, if it is in range; ``where`` begins the error message."""
    if not 0 <= strength <= HIGHEST:
        raise UsageError(
            f"{where}: the strength {strength:g} is not between 0 and {HIGHEST:g}.", "Choose another strength."
        )
    return strength


def read_timeline(path: Path) -> list[ExpressionKey]:
    """Keyframes of a CSV file, in the order of time.

    Args:
        path: CSV in UTF-8 with the columns ``time_s``, ``expression`` and, optionally, ``strength``.

    Raises:
        InputError: the file cannot be read or has another form; names the line.
        UsageError: a strength out of range.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            if (reader.fieldnames or [])[:2] != ["time_s", "expression"]:
                raise InputError(f"{path} has other columns.", "Begin it with: time_s,expression,strength")
            keys = []
            for row in reader:
                try:
                    strength = _checked(float(row.get("strength") or 1.0), str(path))
                    keys.append(ExpressionKey(float(row["time_s"]), row["expression"].strip(), strength))
                except (ValueError, TypeError, AttributeError) as error:
                    raise InputError(
                        f"{path}, line {reader.line_num}: time or strength is not a number.", "Correct the line."
                    ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path} ({type(error).__name__}).", "Give a CSV file in UTF-8.") from error
    times = [key.time_s for key in keys]
    if not keys or times != sorted(set(times)) or not np.isfinite(times).all():
        raise InputError(
            f"{path}: the times must increase from line to line.", "Sort the lines, and remove repeated times."
        )
    return keys


def expression_vectors(
    keys: list[ExpressionKey],
    means: Mapping[str, np.ndarray],
    neutral: np.ndarray,
    times_s: np.ndarray,
    clip_mean: Callable[[Path], np.ndarray] | None = None,
) -> np.ndarray:
    """Expression vectors [T, E] of keyframes at given times, by linear interpolation.

    Args:
        keys: keyframes in the order of time.
        means: mean expression vector [E] by name.
        neutral: the neutral vector [E], which strength 0 gives; ignored if ``means`` has the name "neutral".
        times_s: [T], s.
        clip_mean: computes the mean vector [E] of a prepared clip, for keyframes that name a folder.

    Raises:
        UsageError: a name that is neither in ``means`` nor a folder.
    """
    neutral = means.get(NEUTRAL, neutral)
    vectors = []
    for key in keys:
        name = known_name(key.name, means)
        if name is not None:
            mean = means[name]
        elif clip_mean is not None and Path(key.name).is_dir():
            mean = clip_mean(Path(key.name))
        else:
            raise UsageError(
                f"there is no file and no expression called {key.name!r}.",
                f"{suggestion(key.name, means)}The run knows: {', '.join(sorted(means))}."
                if means
                else "The run was trained without names.",
            )
        vectors.append(neutral + key.strength * (mean - neutral))
    key_times = [key.time_s for key in keys]
    return np.stack([np.interp(times_s, key_times, column) for column in np.array(vectors).T], 1)
