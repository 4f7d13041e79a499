"""Names of adapters. To add one: write its file, add its line here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from jean.errors import UsageError

# kind → name → "module:class"; the module is imported only when it is used
ADAPTERS: dict[str, dict[str, str]] = {
    "tracker": {
        "mediapipe": "jean.features.trackers.mediapipe:MediaPipeTracker",
        "face-alignment": "jean.features.trackers.fan:FanTracker",
        "truth": "jean.features.trackers.ground_truth:TruthTracker",
    },
    "audio": {
        "logmel": "jean.features.audio.logmel:LogMel",
        "deepspeech": "jean.features.audio.deepspeech:DeepSpeech",
        "hubert": "jean.features.audio.transformers:Hubert",
    },
    "emotion": {
        "emoca": "jean.features.emotion.emoca:EmocaEmotion",
    },
    "matting": {
        "grabcut": "jean.features.matting.grabcut:GrabCutMatting",
        "selfie": "jean.features.matting.selfie:SelfieMatting",
    },
}

# kind → prefix → "module:class": what follows the prefix says which model, and is given as ``model``
PREFIXES: dict[str, dict[str, str]] = {
    "audio": {"hf-": "jean.features.audio.transformers:TransformersAudio"},
    "emotion": {"onnx-": "jean.features.emotion.onnx:OnnxEmotion"},
}


def names(kind: str) -> list[str]:
    """The registered names of one kind; NAME stands for what a prefix takes."""
    return [*ADAPTERS[kind], *(f"{prefix}NAME" for prefix in PREFIXES.get(kind, {}))]


def create(kind: str, name: str, **options: Any) -> Any:
    """Builds the adapter ``name`` of ``kind``.

    Raises:
        UsageError: no such adapter.
        SetupError: from the adapter, when its package or weights are missing.
    """
    place = ADAPTERS[kind].get(name)
    for prefix, prefixed in PREFIXES.get(kind, {}).items():
        if place is None and name.startswith(prefix) and len(name) > len(prefix):
            place, options = prefixed, {**options, "model": name[len(prefix) :]}
    if place is None:
        raise UsageError(f"there is no {kind} called {name!r}.", f"Choose one of: {', '.join(names(kind))}.")
    module, attribute = place.split(":")
    return getattr(import_module(module), attribute)(**options)
