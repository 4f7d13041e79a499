"""The extractors that a preparation uses, and the weights that they need."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from jean.clips.meta import ExtractorSpec
from jean.environment import pick_device
from jean.features import registry
from jean.features.base import AudioFeatures, EmotionFeatures, FaceTracker, Matting
from jean.features.matting.person import WEIGHTS as PERSON_WEIGHTS
from jean.features.matting.selfie import WEIGHTS as SELFIE_WEIGHTS
from jean.preparation.config import PrepareConfig
from jean.weights import store as weights

FALLBACK = "grabcut"  # needs no weights


def matting_name(requested: str) -> str:
    """The matting method: for "auto" the first of ``person`` and ``selfie`` with installed weights, or ``grabcut``."""
    if requested != "auto":
        return requested
    for name, file in (("person", PERSON_WEIGHTS), ("selfie", SELFIE_WEIGHTS)):
        if weights.locate(file) is not None:
            return name
    return FALLBACK


def matting_spec(config: PrepareConfig) -> ExtractorSpec | None:
    """Name and version of the matting method; None for a preparation without pictures.

    Raises:
        UsageError: there is no such method.
        SetupError: its package is missing.
    """
    if config.tracks_only:
        return None
    name = matting_name(config.matting)
    return ExtractorSpec(name=name, version=registry.REGISTRIES["matting"].load(name).version)


class Extractors:
    """The extractors that a configuration names, each loaded once and used for any number of videos.

    Args:
        config: of the preparation.
    """

    def __init__(self, config: PrepareConfig):
        self._config = config
        self._tracker: FaceTracker | None = None

    @cached_property
    def device(self) -> str:
        """Where networks run: "cpu" or "cuda"."""
        return pick_device(self._config.device)

    def tracker(self, video: Path) -> FaceTracker:
        """The face tracker for a video; one that is ``reusable`` is loaded once."""
        if self._tracker is None or not getattr(self._tracker, "reusable", False):
            self._tracker = registry.create("tracker", self._config.tracker, video=video, device=self.device)
        return self._tracker

    @cached_property
    def matting(self) -> Matting | None:
        """The matting method; None for a clip without pictures."""
        if self._config.tracks_only:
            return None
        matting: Matting = registry.create("matting", matting_name(self._config.matting))
        return matting

    @cached_property
    def emotion(self) -> list[EmotionFeatures]:
        """The emotion features."""
        return [registry.create("emotion", name, device=self.device) for name in self._config.emotion]

    @cached_property
    def audio(self) -> list[AudioFeatures]:
        """The audio features."""
        return [registry.create("audio", name) for name in self._config.audio]


def needed_weights(config: PrepareConfig) -> tuple[list[str], list[str]]:
    """Registered weights that a preparation needs, and weights that improve its result.

    Raises:
        UsageError: there is no such extractor.
        SetupError: the package of an extractor is missing.
    """
    names = [("tracker", config.tracker)]
    required: list[str] = []
    optional: list[str] = []
    if not config.tracks_only:
        if config.matting == "auto":
            optional.append(PERSON_WEIGHTS)
        names.append(("matting", matting_name(config.matting)))
    names += [("emotion", name) for name in config.emotion] + [("audio", name) for name in config.audio]
    for kind, name in names:
        needed, helpful = registry.weights_of(kind, name)
        required += needed
        optional += helpful
    return required, optional
