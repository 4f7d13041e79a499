"""Names of trackers, audio features, emotion features and mattings, open to other installed packages.

To add an extractor to this project, write its file and add a line here. A package outside the project adds one
with an entry point of its own; see ``docs/recipes/``. Modules are imported only when an extractor is created.
"""

from __future__ import annotations

from typing import Any

from jean.errors import ArtefactError, SetupError, UsageError
from jean.names import suggestion
from jean.plugins import Registry

# kind → name → "module:class" of the project's own extractors
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
        "person": "jean.features.matting.person:PersonMatting",
        "selfie": "jean.features.matting.selfie:SelfieMatting",
    },
}

# kind → prefix → "module:class": the part of the name after the prefix selects the model, passed as ``model``
PREFIXES: dict[str, dict[str, str]] = {
    "audio": {"hf-": "jean.features.audio.transformers:TransformersAudio"},
    "emotion": {"onnx-": "jean.features.emotion.onnx:OnnxEmotion"},
}

# kind → (entry-point group, methods of the class, attributes of the object), as in ``jean.features.base``
_CONTRACTS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "tracker": (
        "jean.trackers",
        ("track", "assumed_focal_px"),
        ("name", "version", "expression_names", "upper_face", "canonical_points", "stable_points"),
    ),
    "audio": ("jean.audio_features", ("extract",), ("name", "version", "width", "window", "rate_hz")),
    "emotion": ("jean.emotion_features", ("extract",), ("name", "version", "width", "network")),
    "matting": ("jean.mattings", ("segment",), ("name", "version")),
}
_LABELS = {"tracker": "tracker", "audio": "audio feature", "emotion": "emotion feature", "matting": "matting"}

REGISTRIES: dict[str, Registry[Any]] = {
    kind: Registry(_LABELS[kind], group, ADAPTERS[kind], methods) for kind, (group, methods, _) in _CONTRACTS.items()
}


def names(kind: str) -> list[str]:
    """The names of one kind of extractor, those of other packages included.

    Args:
        kind: "tracker", "audio", "emotion" or "matting".

    Returns:
        The names; an entry such as ``hf-NAME`` stands for every name with this prefix.
    """
    return [*REGISTRIES[kind].names(), *(f"{prefix}NAME" for prefix in PREFIXES.get(kind, {}))]


def create(kind: str, name: str, **options: Any) -> Any:
    """Creates the extractor ``name``.

    Args:
        kind: "tracker", "audio", "emotion" or "matting".
        name: one of ``names(kind)``.
        options: keywords for its class: ``video`` and ``device`` for trackers, ``device`` for emotion features.

    Returns:
        An object with the Protocol of its kind; see ``jean.features.base``.

    Raises:
        UsageError: there is no such extractor.
        SetupError: its package or weights are missing, or another package provides it and breaks the Protocol.
    """
    registry = REGISTRIES[kind]
    if name in registry:
        adapter = registry.load(name)(**options)
        if name not in ADAPTERS[kind]:
            _check_plugin(kind, name, adapter)
        return adapter
    for prefix, place in PREFIXES.get(kind, {}).items():
        if name.startswith(prefix) and len(name) > len(prefix):
            prefixed: Registry[Any] = Registry(registry.kind, registry.group, {prefix: place})
            return prefixed.load(prefix)(model=name[len(prefix) :], **options)
    known = names(kind)
    raise UsageError(
        f"there is no {registry.kind} called {name!r}.", f"{suggestion(name, known)}Choose from: {', '.join(known)}."
    )


def create_version(kind: str, name: str, version: str, what: str) -> Any:
    """Creates the extractor ``name`` of the version that something was trained with.

    Args:
        kind: as for ``create``.
        name: as for ``create``.
        version: the version then.
        what: was trained, for the message, such as "run".

    Raises:
        UsageError, SetupError: as ``create``.
        ArtefactError: another version is installed.
    """
    extractor = create(kind, name)
    if str(extractor.version) != version:
        raise ArtefactError(
            f"the {what} was trained with {name} version {version}; version {extractor.version} is installed.",
            "Train it again, or install the version it was made with.",
        )
    return extractor


def weights_of(kind: str, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Registered weights that an extractor needs, and weights that improve its result.

    They are the class attributes ``weights`` and ``optional_weights`` of its class; without them there are none.

    Args:
        kind: "tracker", "audio", "emotion" or "matting".
        name: as for ``create``.

    Raises:
        UsageError: there is no such extractor.
        SetupError: its package is missing.
    """
    registry = REGISTRIES[kind]
    if any(name.startswith(prefix) for prefix in PREFIXES.get(kind, {})) and name not in registry:
        return (), ()  # the model is a file or folder of the user
    adapter = registry.load(name)
    return tuple(getattr(adapter, "weights", ())), tuple(getattr(adapter, "optional_weights", ()))


def _check_plugin(kind: str, name: str, adapter: Any) -> None:
    """Checks that an object from another package has all attributes of its Protocol, and the registered name.

    Clips store the name of an extractor, and commands look it up again by this name.
    """
    absent = [attribute for attribute in _CONTRACTS[kind][2] if not hasattr(adapter, attribute)]
    owner = next(plugin.distribution for plugin in REGISTRIES[kind].plugins() if plugin.name == name)
    text, remedy = f"the {_LABELS[kind]} {name!r} of the package {owner}", f"Update or uninstall {owner.split()[0]}."
    if absent:
        raise SetupError(f"{text} lacks {', '.join(absent)}.", remedy)
    if adapter.name != name:
        raise SetupError(f"{text} has the attribute name = {adapter.name!r}, not {name!r}.", remedy)
