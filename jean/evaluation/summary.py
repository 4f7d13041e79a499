"""Summarises the rows of single results per system: means, confidence intervals, ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jean.evaluation.pairing import TRUTH

COVERAGE = 0.95
MIN_RESULTS = 3  # an interval over fewer results is meaningless


def bootstrap_interval(values: Sequence[float], resamples: int, seed: int) -> tuple[float, float] | None:
    """The 95 % interval of the mean over results, by the percentile bootstrap.

    Results are resampled, not frames: neighbouring frames are almost equal and would make the interval too narrow.

    Args:
        values: one value per result.
        resamples: number of bootstrap samples; 0 for no interval.
        seed: seed of the samples.

    Returns:
        (low, high); None for fewer than three values or no resamples.
    """
    if len(values) < MIN_RESULTS or not resamples:
        return None
    rng = np.random.default_rng(seed)
    samples = np.asarray(values, np.float64)[rng.integers(0, len(values), (resamples, len(values)))]
    low, high = np.quantile(samples.mean(1), [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)


def ranks(means: Sequence[float | None], better: str | None, digits: int) -> list[int | None]:
    """Ranks the means: 1, 2, 3 for the best, second and third, None for the others.

    Means that are equal after rounding to ``digits`` share a rank. All ranks are None if only one mean is known or no
    direction is better.

    >>> ranks([1.0, 3.0, None, 2.0], "higher", 2)
    [3, 1, None, 2]
    """
    rounded = [None if value is None else round(value, digits) for value in means]
    ordered = sorted({value for value in rounded if value is not None}, reverse=better == "higher")
    if better is None or sum(value is not None for value in rounded) < 2:
        return [None] * len(rounded)
    rank_of = {value: n + 1 for n, value in enumerate(ordered[:3])}
    return [None if value is None else rank_of.get(value) for value in rounded]


def summarise(
    rows: Sequence[dict[str, Any]], columns: Sequence[dict[str, Any]], resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Summarises the rows of each system.

    Args:
        rows: rows of results, with ``system`` and ``values``.
        columns: the columns to summarise, with ``name``, ``better`` and ``digits``.
        resamples, seed: see ``bootstrap_interval``.

    Returns:
        One entry per system, the ground truth first, then in the order of the rows. Each has ``name``, ``truth``,
        ``rows`` (number of results), and by column ``mean`` (over results; None if unknown), ``over`` (number of
        results with a value), ``interval`` and ``place`` (rank).
    """
    names = list(dict.fromkeys(row["system"] for row in rows))
    names.sort(key=lambda name: name != TRUTH)
    systems: list[dict[str, Any]] = []
    for name in names:
        system_rows = [row for row in rows if row["system"] == name]
        entry: dict[str, Any] = {"name": name, "truth": name == TRUTH, "rows": len(system_rows)}
        entry |= {"mean": {}, "over": {}, "interval": {}, "place": {}}
        for column in columns:
            values = [row["values"].get(column["name"]) for row in system_rows]
            known = [value for value in values if value is not None]
            entry["mean"][column["name"]] = float(np.mean(known)) if known else None
            entry["over"][column["name"]] = len(known)
            entry["interval"][column["name"]] = bootstrap_interval(known, resamples, seed)
            entry["place"][column["name"]] = None
        systems.append(entry)
    ranked = [entry for entry in systems if not entry["truth"]]
    for column in columns:
        means = [entry["mean"][column["name"]] for entry in ranked]
        for entry, rank in zip(ranked, ranks(means, column["better"], column["digits"]), strict=True):
            entry["place"][column["name"]] = rank
    return systems
