"""``jean COMMAND --help-config``: every key that ``--set`` and ``--config`` take, with type, bounds and default."""

from __future__ import annotations

import textwrap
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from jean_cli.console import print_json, printable
from jean_cli.options import description_of

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def print_keys(command: str, config_class: type[BaseModel], flags: Mapping[str, str], json_output: bool) -> None:
    """Prints the configuration keys of a command as text, or as one JSON document.

    Args:
        command: its name.
        config_class: its configuration.
        flags: key → option, for keys that are options too.
        json_output: whether to print JSON.
    """
    keys = list(describe(config_class))
    if json_output:
        print_json({"command": command, "keys": keys})
        return
    lines = [f"Keys of jean {command}: --set KEY=VALUE, or KEY: VALUE in the file of --config."]
    for entry in keys:
        facts = [entry["type"], entry["bounds"], f"default {entry['default_text']}"]
        option = flags.get(entry["key"])
        lines += ["", f"{entry['key']}  ({', '.join(fact for fact in facts if fact)})"]
        text = entry["description"] + (f" Option: {option}." if option else "")
        lines += textwrap.wrap(text, 100, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    print(printable("\n".join(lines)))


def describe(config_class: type[BaseModel], prefix: str = "") -> Iterator[dict[str, Any]]:
    """Every key of a configuration class, nested ones with dots.

    Yields:
        ``key``, ``type`` and ``bounds`` as text, ``required``, ``default``, ``default_text`` with the defaults of
        other presets, ``description``.
    """
    presets: Mapping[str, Mapping[str, Any]] = getattr(config_class, "presets", {})
    for name, field in config_class.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and hasattr(nested, "model_fields"):
            yield from describe(nested, f"{prefix}{name}.")
            continue
        required = field.is_required()
        default = None if required else field.get_default(call_default_factory=True)  # type: ignore[call-arg]
        yield {
            "key": f"{prefix}{name}",
            "type": type_name(field.annotation),
            "bounds": bounds(field),
            "required": required,
            "default": default,
            "default_text": "none: required" if required else _with_presets(name, default, presets),
            "description": description_of(config_class, name),
        }


def type_name(annotation: Any) -> str:
    """A type in words that a user of YAML knows, such as ``integer or "auto"``."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        limits = _limits(arguments[1:])
        return type_name(arguments[0]) + (f" {limits}" if limits else "")
    if origin is Literal:
        return " or ".join(f'"{value}"' for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if member is type(None) else type_name(member) for member in arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"list of {len(arguments)}: {', '.join(type_name(argument) for argument in arguments)}"
    if origin in (tuple, list):
        return f"list of {type_name(arguments[0])}"
    if origin is dict:
        return f"mapping from {type_name(arguments[0])} to {type_name(arguments[1])}"
    names = {Any: "value", int: "integer", float: "number", bool: "true or false", str: "text", Path: "path"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def bounds(field: FieldInfo) -> str:
    """The limits of a field's value, such as ``>= 1, <= 64``; empty if there are none."""
    return _limits(field.metadata)


def _limits(metadata: Any) -> str:
    """The limits that pydantic keeps in a field's metadata."""
    limits = []
    for item in metadata:
        inner = getattr(item, "metadata", None)  # a Field() inside Annotated
        if inner:
            limits.append(_limits(inner))
        limits += [f"{sign} {getattr(item, name)}" for name, sign in _SIGNS.items() if _has(item, name)]
        if _has(item, "multiple_of"):
            limits.append(f"a multiple of {item.multiple_of}")
        if _has(item, "pattern"):
            limits.append(f"matching {item.pattern}")
    return ", ".join(limits)


def _has(item: Any, name: str) -> bool:
    return getattr(item, name, None) is not None


def _with_presets(name: str, default: Any, presets: Mapping[str, Mapping[str, Any]]) -> str:
    """A default as text, followed by the presets that have another one."""
    others = [f"{_default_text(values[name])} with preset {p}" for p, values in presets.items() if name in values]
    return ", ".join(others if default is None and others else [_default_text(default), *others])


def _default_text(default: Any) -> str:
    """A default value as YAML writes it, in one line."""
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    if isinstance(default, (tuple, list)):
        return f"[{', '.join(_default_text(item) for item in default)}]"
    if isinstance(default, dict):
        return "{" + ", ".join(f"{key}: {_default_text(value)}" for key, value in default.items()) + "}"
    return str(default)
