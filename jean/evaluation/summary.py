"""From the rows of single results to one line a system: means, intervals, places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jean.evaluation.pairing import TRUTH

COVERAGE = 0.95
FEWEST = 3  # results below which an interval says nothing


def bootstrap_interval(values: Sequence[float], resamples: int, seed: int) -> tuple[float, float] | None:
    """The percentile bootstrap's 95 % interval of the mean, over results.

    Results are drawn, not frames: neighbouring frames are nearly the same, and would make any
    interval too narrow.

    Returns:
        (low, high); None for fewer than three values, or no resamples.
    """
    if len(values) < FEWEST or not resamples:
        return None
    rng = np.random.default_rng(seed)
    drawn = np.asarray(values, np.float64)[rng.integers(0, len(values), (resamples, len(values)))]
    low, high = np.quantile(drawn.mean(1), [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)


def places(means: Sequence[float | None], better: str | None, digits: int) -> list[int | None]:
    """1, 2, 3 for the best, second and third of ``means``; None for the rest.

    What looks the same in the table has the same place. Nothing is marked where only one is known, or
    where no direction is better.
    """
    known = [None if value is None else round(value, digits) for value in means]
    ordered = sorted({value for value in known if value is not None}, reverse=better == "higher")
    if better is None or sum(value is not None for value in known) < 2:
        return [None] * len(known)
    rank = {value: n + 1 for n, value in enumerate(ordered[:3])}
    return [None if value is None else rank.get(value) for value in known]


def summarise(
    rows: Sequence[dict[str, Any]], columns: Sequence[dict[str, Any]], resamples: int, seed: int
) -> list[dict[str, Any]]:
    """One entry a system, in the order of the rows, the ground truth first.

    Each has ``name``, ``truth``, ``rows``, and by column ``mean`` (over results, None: unknown),
    ``over`` (how many results have it), ``interval`` and ``place``.
    """
    names = list(dict.fromkeys(row["system"] for row in rows))
    names.sort(key=lambda name: name != TRUTH)
    systems: list[dict[str, Any]] = []
    for name in names:
        own = [row for row in rows if row["system"] == name]
        entry: dict[str, Any] = {"name": name, "truth": name == TRUTH, "rows": len(own)}
        entry |= {"mean": {}, "over": {}, "interval": {}, "place": {}}
        for column in columns:
            found = [row["values"].get(column["name"]) for row in own]
            known = [value for value in found if value is not None]
            entry["mean"][column["name"]] = float(np.mean(known)) if known else None
            entry["over"][column["name"]] = len(known)
            entry["interval"][column["name"]] = bootstrap_interval(known, resamples, seed)
            entry["place"][column["name"]] = None
        systems.append(entry)
    judged = [entry for entry in systems if not entry["truth"]]
    for column in columns:
        means = [entry["mean"][column["name"]] for entry in judged]
        for entry, place in zip(judged, places(means, column["better"], column["digits"]), strict=True):
            entry["place"][column["name"]] = place
    return systems
