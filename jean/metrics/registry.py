"""Metrics by name, and the options that each of them takes.

To add a metric to this project, write its file and add its line here. Other packages use the entry-point group
``jean.metrics``; see docs/evaluation.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from jean.errors import UsageError
from jean.metrics.base import Metric, MetricOptions
from jean.plugins import Registry

# In the order of the tables.
METRICS: dict[str, str] = {
    "sync": "jean.metrics.lip_sync.metric:LipSyncError",
    "own_sync": "jean.metrics.lip_sync.embedding_sync:EmbeddingSync",
    "identity": "jean.metrics.identity:Identity",
    "expression": "jean.metrics.expression:ExpressionDifference",
    "image": "jean.metrics.image:ImageQuality",
    "lpips": "jean.metrics.lpips:PerceptualDistance",
    "pixels": "jean.metrics.image:MaskedQuality",
    "landmarks": "jean.metrics.landmarks:LandmarkDistance",
    "mouth": "jean.metrics.mouth:MouthAgreement",
    "other_mouth": "jean.metrics.mouth:OtherMouth",
    "lips": "jean.metrics.lip_sync.prior_sync:LipAgreement",
    "prior_sync": "jean.metrics.lip_sync.prior_sync:PriorSync",
    "pose": "jean.metrics.pose:PoseError",
    "jitter": "jean.metrics.jitter:Jitter",
    "blinks": "jean.metrics.eyes:Blinks",
    "gaze": "jean.metrics.eyes:Gaze",
    "lip_motion": "jean.metrics.lip_motion:LipMotion",
    "upper_motion": "jean.metrics.upper_motion:UpperMotion",
    "pose_spread": "jean.metrics.head_motion:PoseSpread",
    "beats": "jean.metrics.head_motion:Beats",
    "gaze_use": "jean.metrics.gaze_use:GazeUse",
    "face_integrity": "jean.metrics.face_integrity:FaceIntegrity",
    "picture_integrity": "jean.metrics.picture_integrity:PictureIntegrity",
}
REGISTRY: Registry[type[Metric]] = Registry(
    "metric", "jean.metrics", METRICS, required=("name", "version", "columns", "Options", "facts", "update", "result")
)


def names() -> list[str]:
    """Names of all metrics, those of plug-ins last."""
    return REGISTRY.names()


def load(name: str) -> type[Metric]:
    """The class of metric ``name``.

    Raises:
        UsageError: there is no such metric.
        SetupError: a plug-in that provides it is broken.
    """
    return REGISTRY.load(name)


def select(
    requested: Iterable[str] = (), options: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, MetricOptions]:
    """The metrics to compute, in the order of the tables, with their options.

    Args:
        requested: names of metrics. If empty: every metric of this project that needs no option, and every metric for
            which an option is given.
        options: metric name → option name → value.

    Raises:
        UsageError: an unknown metric or option, an invalid value, or a required option without a value.
        SetupError: a plug-in that provides a requested metric is broken.
    """
    options = options or {}
    requested = set(requested)
    for name in sorted(requested | set(options)):
        load(name)
    if not requested:
        requested = set(options) | {name for name in METRICS if not _required(load(name).Options)}
    parsed = {name: _parse(name, options.get(name, {})) for name in sorted(requested | set(options))}
    return {name: parsed[name] for name in names() if name in requested}


def describe_options(name: str) -> dict[str, str]:
    """Option name → description, for help texts and tables."""
    fields = load(name).Options.model_fields
    return {f"{name}.{key}": field.description or "" for key, field in fields.items()}


def _required(kind: type[MetricOptions]) -> list[str]:
    return [key for key, field in kind.model_fields.items() if field.is_required()]


def _parse(name: str, values: Mapping[str, Any]) -> MetricOptions:
    """The options of metric ``name``; raises one line that names the option and, if needed, the alternatives."""
    kind = load(name).Options
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(kind.model_fields) or "none"
            raise UsageError(f"the metric {name} has no option {key!r}.", f"Its options: {known}.") from None
        if first["type"] == "missing":
            missing = [option for option in _required(kind) if option not in values]
            given = " ".join(f"--metric-option {name}.{option}=VALUE" for option in missing)
            raise UsageError(f"the metric {name} needs {' and '.join(missing)}.", f"Give: {given}") from None
        message = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise UsageError(f"option {name}.{key}: {message[:1].lower()}{message[1:]}, not {first['input']!r}.") from None
