"""Names of metrics. To add one: write its file, add its line here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from jean.errors import UsageError
from jean.metrics.base import Metric

# name → "module:class"; the module is imported only when it is used
METRICS: dict[str, str] = {
    "sync": "jean.metrics.lip_sync.metric:LipSyncError",
    "own_sync": "jean.metrics.lip_sync.embedding_sync:OwnLipSync",
    "identity": "jean.metrics.identity:Identity",
    "expression": "jean.metrics.expression:ExpressionDifference",
    "image": "jean.metrics.image:ImageQuality",
    "lpips": "jean.metrics.lpips_metric:PerceptualDistance",
    "pixels": "jean.metrics.image:MaskedQuality",
    "landmarks": "jean.metrics.landmarks:LandmarkDistance",
    "mouth": "jean.metrics.mouth:MouthAgreement",
    "pose": "jean.metrics.pose:PoseError",
    "jitter": "jean.metrics.jitter:Jitter",
    "blinks": "jean.metrics.eyes:Blinks",
    "gaze": "jean.metrics.eyes:Gaze",
}
# Computed only when they are named.
OPTIONAL: frozenset[str] = frozenset({"own_sync"})
# Those that run a network of torch's, on the GPU where there is one.
ON_TORCH: frozenset[str] = frozenset({"sync", "lpips"})


def names() -> list[str]:
    """The registered names, in the order of the tables."""
    return list(METRICS)


def load(name: str) -> type[Metric]:
    """The class of metric ``name``; build it with a ``PairContext``.

    Raises:
        UsageError: no such metric.
    """
    if name not in METRICS:
        raise UsageError(f"there is no metric called {name!r}.", f"Choose from: {', '.join(METRICS)}.")
    module, attribute = METRICS[name].split(":")
    return getattr(import_module(module), attribute)


def uses_torch(name: str) -> bool:
    """Whether metric ``name`` runs a network of torch's."""
    return name in ON_TORCH


def check(chosen: Iterable[str]) -> tuple[str, ...]:
    """``chosen`` without repetition, in the order of the tables; the usual ones for none.

    Raises:
        UsageError: one of them does not exist.
    """
    wanted = set(chosen)
    for name in sorted(wanted):
        load(name)
    return tuple(name for name in METRICS if name in wanted or (not wanted and name not in OPTIONAL))
