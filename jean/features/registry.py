"""Names of adapters. To add one: write its file, add its line here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from jean.errors import UsageError

# kind → name → "module:class"; the module is imported only when it is used
ADAPTERS: dict[str, dict[str, str]] = {
    "tracker": {
        "mediapipe": "jean.features.tracker_mediapipe:MediaPipeTracker",
        "face-alignment": "jean.features.tracker_fan:FanTracker",
        "truth": "jean.features.tracker_truth:TruthTracker",
    },
    "audio": {
        "logmel": "jean.features.audio_logmel:LogMel",
    },
    "matting": {
        "grabcut": "jean.features.matting_grabcut:GrabCutMatting",
        "selfie": "jean.features.matting_selfie:SelfieMatting",
    },
}


def names(kind: str) -> list[str]:
    """The registered names of one kind."""
    return list(ADAPTERS[kind])


def create(kind: str, name: str, **options: Any) -> Any:
    """Builds the adapter ``name`` of ``kind``.

    Raises:
        UsageError: no such adapter.
        SetupError: from the adapter, when its package or weights are missing.
    """
    if name not in ADAPTERS[kind]:
        raise UsageError(f"there is no {kind} called {name!r}.", f"Choose one of: {', '.join(ADAPTERS[kind])}.")
    module, attribute = ADAPTERS[kind][name].split(":")
    return getattr(import_module(module), attribute)(**options)
