"""Names of metrics. To add one: write its file, add its line here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from jean.errors import UsageError
from jean.metrics.base import Metric

# name → "module:class"; the module is imported only when it is used
METRICS: dict[str, str] = {
    "image": "jean.metrics.image:ImageQuality",
    "landmarks": "jean.metrics.landmarks:LandmarkDistance",
    "mouth": "jean.metrics.mouth:MouthAgreement",
    "pose": "jean.metrics.pose:PoseError",
    "jitter": "jean.metrics.jitter:Jitter",
}


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


def check(chosen: Iterable[str]) -> tuple[str, ...]:
    """``chosen`` without repetition, in the order of the tables; all of them for none.

    Raises:
        UsageError: one of them does not exist.
    """
    wanted = set(chosen)
    for name in sorted(wanted):
        load(name)
    return tuple(name for name in METRICS if not wanted or name in wanted)
