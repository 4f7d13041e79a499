"""Which clips fit together and which clips fit a trained run: the one description and the one comparison.

A stage states what it needs as a ``ClipSpec``. ``Clip.require`` compares a clip with it and raises one kind of error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jean.clips.meta import AudioSpec, ClipMeta, EmotionSpec, ExpressionSpec, ExtractorSpec
from jean.errors import ArtefactError

# What a user can do about a difference, by property.
_REMEDIES = {
    "size": "Prepare it again with --size {needed}.",
    "frame rate": "Prepare it again with --fps {needed}.",
    "tracker": "Prepare it again with --tracker {needed.name}, of the same version.",
    "expression coefficients": "Prepare it again with the same --tracker, of the same version.",
    "audio features": "Prepare it again with --audio-features {name}, of the same version.",
    "emotion features": "Prepare it again with --emotion-features {name}, of the same version.",
}


@dataclass(frozen=True)
class ClipSpec:
    """Properties that a clip must have; None admits any value.

    Attributes:
        size_px: side of the frames.
        fps: frames per second.
        tracker: face tracker and version.
        expression: expression coefficients: extractor, version, names and upper-face flags.
        coefficients: the same, but any version of the extractor will do.
        audio: specification of each audio feature that is needed, by extractor.
        emotion: specification of each emotion feature that is needed, by extractor.
    """

    size_px: int | None = None
    fps: float | None = None
    tracker: ExtractorSpec | None = None
    expression: ExpressionSpec | None = None
    coefficients: ExpressionSpec | None = None
    audio: Mapping[str, AudioSpec] | None = None
    emotion: Mapping[str, EmotionSpec] | None = None

    @classmethod
    def of_run(cls, meta: Mapping[str, Any], *properties: str) -> ClipSpec:
        """What a trained run needs, from the metadata of its checkpoint.

        Args:
            meta: with the keys ``size_px``, ``fps``, ``tracker``, ``expression``, ``audio`` (specification by
                extractor) and ``emotion`` (specification and ``name``), as far as ``properties`` ask for them.
            properties: names of fields of ``ClipSpec``.

        Raises:
            ArtefactError: the run's metadata does not describe such a property.
        """
        try:
            return cls(**{name: _READERS[name](meta) for name in properties})
        except (KeyError, TypeError, AttributeError, ValidationError) as error:
            raise ArtefactError(
                f"the run does not describe its {' and '.join(properties)}.", "Train it again."
            ) from error


def _emotion_of_run(meta: Mapping[str, Any]) -> dict[str, EmotionSpec]:
    spec = dict(meta["emotion"])
    return {spec.pop("name"): EmotionSpec.model_validate(spec)}


_READERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "size_px": lambda meta: int(meta["size_px"]),
    "fps": lambda meta: float(meta["fps"]),
    "tracker": lambda meta: ExtractorSpec.model_validate(meta["tracker"]),
    "expression": lambda meta: ExpressionSpec.model_validate(meta["expression"]),
    "coefficients": lambda meta: ExpressionSpec.model_validate(meta["expression"]),
    "audio": lambda meta: {name: AudioSpec.model_validate(spec) for name, spec in meta["audio"].items()},
    "emotion": _emotion_of_run,
}


@dataclass(frozen=True)
class Difference:
    """A property in which something differs from what is needed.

    Attributes:
        what: the property.
        found: its value; None where it is absent.
        needed: the value that is needed; None: any.
        name: the extractor, for features.
    """

    what: str
    found: Any
    needed: Any
    name: str = ""

    def error(self, subject: str | Path, needed_by: str | Path = "") -> ArtefactError:
        """The error of every refused combination.

        Args:
            subject: what differs, such as a clip folder.
            needed_by: what it was compared with; empty for features that are only named.
        """
        title = f"{self.name} {self.what}" if self.name else self.what
        text = f"{subject} has no {title}" if self.found is None else f"{subject} has {title} {_words(self.found)}"
        text += f"; {needed_by} needs {_words(self.needed)}" if self.needed is not None else ""
        remedy = _REMEDIES[self.what].format(needed=self.needed, name=self.name or "NAME")
        if self.needed is None:
            remedy = remedy.replace(", of the same version", "")
        return ArtefactError(f"{text}.", remedy)


def differences(meta: ClipMeta, spec: ClipSpec) -> Iterator[Difference]:
    """Yields every property of a clip that is not as ``spec`` demands."""
    if spec.size_px is not None and meta.size_px != spec.size_px:
        yield Difference("size", meta.size_px, spec.size_px)
    if spec.fps is not None and meta.fps != spec.fps:
        yield Difference("frame rate", meta.fps, spec.fps)
    if spec.tracker is not None and meta.tracker != spec.tracker:
        yield Difference("tracker", meta.tracker, spec.tracker)
    if spec.expression is not None and meta.expression != spec.expression:
        yield Difference("expression coefficients", meta.expression, spec.expression)
    needed = spec.coefficients
    if needed is not None and (meta.expression.name, meta.expression.names) != (needed.name, needed.names):
        yield Difference("expression coefficients", meta.expression, needed)
    yield from _feature_differences("audio features", meta.audio or {}, spec.audio or {})
    yield from _feature_differences("emotion features", meta.emotion_specs(), spec.emotion or {})


def _feature_differences(what: str, found: Mapping[str, Any], needed: Mapping[str, Any]) -> Iterator[Difference]:
    for name, spec in needed.items():
        if found.get(name) != spec:
            yield Difference(what, found.get(name), spec, name)


def _words(value: Any) -> str:
    """A property's value as a user reads it."""
    if isinstance(value, ExpressionSpec):
        return f"{value.name} {value.version} ({len(value.names)} values)"
    if isinstance(value, ExtractorSpec):
        return f"{value.name} {value.version}"
    if isinstance(value, (AudioSpec, EmotionSpec)):
        return f"version {value.version} ({', '.join(_numbers(value))})"
    return f"{value:g}"


def _numbers(value: AudioSpec | EmotionSpec) -> Iterator[str]:
    """The numbers of a feature specification beside its version."""
    for name, number in value.to_json().items():
        if name != "version":
            yield f"{name} {number:g}"
