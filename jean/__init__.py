"""JEAN: joint expression and audio-guided NeRF talking heads.

The functions below are the public interface; each loads what it needs when it is first used::

    import jean

    clip = jean.prepare("me.mp4", "clips/me")
    run = jean.train_nerf(clip, "runs/me", minutes=10)
    jean.render(run, "out.mp4", audio="speech.wav", expression="other.mp4")

Importing this package compiles, downloads and seeds nothing, and loads no heavy library.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_MODULES = {
    "Clip": "jean.clips.clip",
    "LoadedHead": "jean.rendering.head",
    "load_head": "jean.rendering.head",
    "prepare": "jean.api",
    "train_landmarks": "jean.api",
    "train_audio": "jean.api",
    "train_expression": "jean.api",
    "train_lips": "jean.api",
    "train_motion": "jean.api",
    "train_nerf": "jean.api",
    "act": "jean.api",
    "render": "jean.api",
    "evaluate": "jean.api",
}
__all__ = [*_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'jean' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value  # a submodule of the same name must not hide the function
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
