"""Registries of classes, open to other installed packages through entry points.

A package adds, for example, a metric with these lines of its ``pyproject.toml``::

    [project.entry-points."jean.metrics"]
    flicker = "my_package.flicker:Flicker"

Listing names reads only the metadata of installed packages. A module is imported when one of its classes is loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, distributions
from typing import Generic, TypeVar, cast

from jean.errors import SetupError, UsageError
from jean.names import suggestion

T = TypeVar("T")


@dataclass(frozen=True)
class Plugin:
    """One entry point of an installed package.

    Attributes:
        name: name under which the object is registered.
        value: where the object is, as ``module:attribute``.
        distribution: name and version of the package, e.g. ``my-package 1.0``.
    """

    name: str
    value: str
    distribution: str


class Registry(Generic[T]):
    """Classes of one kind by name: those of this project and those of plug-ins.

    Args:
        kind: what one of them is called in error messages, e.g. ``metric``.
        group: entry-point group, e.g. ``jean.metrics``.
        builtin: name → ``module:attribute`` of this project's own classes.
        required: names of attributes that every plug-in of this group must have.
    """

    def __init__(self, kind: str, group: str, builtin: Mapping[str, str], required: tuple[str, ...] = ()):
        self.kind, self.group, self.builtin, self.required = kind, group, builtin, required

    def plugins(self) -> tuple[Plugin, ...]:
        """Entry points of the group in all installed packages, sorted by name.

        Raises:
            SetupError: the entry points of a package cannot be read.
        """
        return _plugins(self.group, tuple(sys.path))

    def names(self) -> list[str]:
        """The registered names: the project's own in their order, then those of plug-ins, sorted."""
        return list(dict.fromkeys([*self.builtin, *(plugin.name for plugin in self.plugins())]))

    def __contains__(self, name: str) -> bool:
        return name in self.builtin or any(plugin.name == name for plugin in self.plugins())

    def load(self, name: str) -> T:
        """Imports and returns the object registered as ``name``.

        Raises:
            UsageError: no such name.
            SetupError: a plug-in cannot be imported, lacks a required attribute, or uses a name that is taken.
        """
        plugins = [plugin for plugin in self.plugins() if plugin.name == name]
        if len(plugins) + (name in self.builtin) > 1:
            owners = [*(["jean"] if name in self.builtin else []), *(plugin.distribution for plugin in plugins)]
            raise SetupError(
                f"several packages register the {self.kind} {name!r}: {', '.join(owners)}.",
                "Uninstall the packages that should not provide it.",
            )
        if plugins:
            return self._load_plugin(plugins[0])
        if name not in self.builtin:
            remedy = f"{suggestion(name, self.names())}Choose from: {', '.join(self.names())}."
            raise UsageError(f"there is no {self.kind} called {name!r}.", remedy)
        module, attribute = self.builtin[name].split(":")
        return cast(T, getattr(import_module(module), attribute))

    def _load_plugin(self, plugin: Plugin) -> T:
        text = f"the {self.kind} {plugin.name!r} of the package {plugin.distribution}"
        remedy = f"Update or uninstall {plugin.distribution.split()[0]}."
        try:
            loaded = EntryPoint(plugin.name, plugin.value, self.group).load()
        except Exception as error:  # the code of a stranger may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise SetupError(f"{text} cannot be loaded ({plugin.value}): {reason}.", remedy) from error
        missing = [attribute for attribute in self.required if not hasattr(loaded, attribute)]
        if missing:
            raise SetupError(f"{text} ({plugin.value}) lacks {', '.join(missing)}.", remedy)
        return cast(T, loaded)


@lru_cache(maxsize=32)
def _plugins(group: str, path: tuple[str, ...]) -> tuple[Plugin, ...]:
    """Entry points of ``group`` in the packages found on ``path``, which is ``sys.path`` and the key of the cache."""
    plugins = []
    names = set()
    for distribution in distributions(path=list(path)):
        name = distribution.metadata["Name"]
        if name is None or name.lower() in names:  # the first one on the path is the one that Python imports
            continue
        names.add(name.lower())
        try:
            points = distribution.entry_points.select(group=group)
        except Exception as error:  # an unreadable or malformed entry_points.txt
            raise SetupError(
                f"the entry points of the package {name} {distribution.version} cannot be read: {error}.",
                f"Reinstall {name}.",
            ) from error
        plugins += [Plugin(point.name, point.value, f"{name} {distribution.version}") for point in points]
    return tuple(sorted(plugins, key=lambda plugin: (plugin.name, plugin.distribution)))
