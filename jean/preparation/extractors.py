"""The extractors that a preparation uses, and the weights that they need."""

from __future__ import annotations

from jean.features import registry
from jean.preparation.config import PrepareConfig
from jean.weights import store as weights


def matting_name(requested: str) -> str:
    """The matting method: for "auto" ``selfie`` if its weights are installed, ``grabcut`` otherwise."""
    if requested != "auto":
        return requested
    return "selfie" if weights.locate("selfie_multiclass_256x256.tflite") is not None else "grabcut"


def needed_weights(config: PrepareConfig) -> tuple[list[str], list[str]]:
    """Registered weights that a preparation needs, and weights that improve its result.

    Raises:
        UsageError: there is no such extractor.
        SetupError: the package of an extractor is missing.
    """
    names = [("tracker", config.tracker)]
    if not config.tracks_only:
        names.append(("matting", matting_name(config.matting)))
    names += [("emotion", name) for name in config.emotion] + [("audio", name) for name in config.audio]
    required: list[str] = []
    optional: list[str] = []
    for kind, name in names:
        needed, helpful = registry.weights_of(kind, name)
        required += needed
        optional += helpful
    return required, optional
