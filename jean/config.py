"""Configuration of a stage: defaults, overridden by a YAML file, by ``--set``, and by command-line options.

YAML is read with the core schema of YAML 1.2, without tags, anchors and repeated keys. So ``on``, ``no``, ``12:30``
and ``2024-01-01`` are text and ``1e-3`` is a number, unlike with PyYAML's default schema, and no file can create an
object or run code.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jean.errors import UsageError

_LARGEST_FILE = 1 << 20  # bytes; a configuration is about a page of text
LARGEST_SEED = 2**63 - 1  # torch and numpy both take it
Width = Annotated[int, Field(ge=1, le=65_536)]  # number of units of a layer

# tag → (regular expression of its scalars, characters that they may begin with)
_SCALARS = {
    "tag:yaml.org,2002:null": (r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    "tag:yaml.org,2002:bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    "tag:yaml.org,2002:int": (r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    "tag:yaml.org,2002:float": (
        r"^(?:[-+]?(?:[0-9]+\.[0-9]*|\.?[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
}


class StageConfig(BaseModel):
    """Base class of all stage configurations: immutable; unknown keys, NaN and infinity are rejected.

    A field is the one place that states an option's type, bounds, default and description. Command-line options,
    ``--help-config`` and the API reference are made from it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="Seed of all random numbers of the stage.")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="Where to compute: cpu, cuda, cuda:N, or auto, which is the GPU if there is one.",
    )


Config = TypeVar("Config", bound=StageConfig)


def load_config(
    cls: type[Config],
    path: Path | None = None,
    sets: list[str] | None = None,
    flags: Mapping[str, str] | None = None,
    /,
    **overrides: Any,
) -> Config:
    """Creates the configuration of a stage.

    Args:
        cls: its class, with the defaults.
        path: a YAML file of keys and values.
        sets: texts ``key=value``, with dots for nested keys; the value is read as YAML.
        flags: field → name of its command-line option, for messages; by default ``--`` and the field's name.
        overrides: fields given as command-line options; None means not given.

    Raises:
        UsageError: the file is unreadable, a key is unknown, a value is wrong, or a key is given both by ``--set``
            and as an option. The message names the line of the file, the ``--set`` or the option.
    """
    values, places = _read_file(path) if path is not None else ({}, {})
    for text in sets or []:
        keys, value = _parse_set(text)
        for size in range(1, len(keys) + 1):
            places[keys[:size]] = f"--set {text}"
        _put(values, keys, value, f"--set {text}")
    for name, value in overrides.items():
        if value is None:
            continue
        keys = tuple(name.split("."))
        option = (flags or {}).get(name, "--" + name.replace("_", "-"))
        if places.get(keys, "").startswith("--set"):
            raise UsageError(f"{option} and {places[keys]} contradict each other.", "Give only one of them.")
        places = {key: place for key, place in places.items() if key[: len(keys)] != keys} | {keys: option}
        _put(values, keys, value, option)
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise _explain(cls, error, places) from None


def dump(config: StageConfig) -> str:
    """The configuration as YAML text, from which ``load_config`` creates an equal configuration."""
    values = config.model_dump(mode="json")
    text = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    # PyYAML writes these line separators unescaped, and would read them as blanks
    if any(character in text for character in "\x85\u2028\u2029"):
        text = yaml.dump(values, Dumper=_Dumper, sort_keys=False)
    return text


def keys_of(cls: type[BaseModel]) -> list[str]:
    """All keys of a configuration class; keys of nested models follow their parent, with dots."""
    keys = []
    for name, field in cls.model_fields.items():
        keys.append(name)
        for nested in _models_in(field.annotation):
            keys += [f"{name}.{key}" for key in keys_of(nested)]
    return keys


class _Loader(yaml.SafeLoader):
    """YAML loader with the scalars of ``_SCALARS`` and without anchors."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - a class attribute in PyYAML; filled below

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.composer.ComposerError(None, None, "anchors and aliases are not allowed", event.start_mark)
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """YAML dumper that quotes text which ``_Loader`` would read as another type."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _tag, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def _read_file(path: Path) -> tuple[dict[str, Any], dict[tuple[str, ...], str]]:
    """Reads a YAML file: its values, and the place "FILE, line N" of each key."""
    try:
        with open(path, "rb") as handle:
            data = handle.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}.", "Give --config a YAML file.") from error
    if len(data) > _LARGEST_FILE:
        raise UsageError(f"{path} is larger than 1 MB.", "Give --config a YAML file.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}, line {line}: not UTF-8 text.", "Save the file as UTF-8.") from None
    value, lines = _parse(text, str(path))
    if value is None:
        return {}, {}
    if not isinstance(value, dict):
        raise UsageError(f"{path}, line 1: the file is not a list of keys and values.", "Write lines like: key: value")
    return value, {keys: f"{path}, line {line}" for keys, line in lines.items()}


def _parse(text: str, name: str) -> tuple[Any, dict[tuple[str, ...], int]]:
    """Parses a YAML document.

    Args:
        text: the document.
        name: of its source, for messages.

    Returns:
        Its value, and the line number of each key (nested keys as tuples).
    """
    lines: dict[tuple[str, ...], int] = {}
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, lines
        _check_keys(node, (), lines)
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise UsageError(f"{name}, line {line}: {error.problem or error.context}.", "Correct the line.") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise UsageError(f"{name}, line {line}: the text has a control character.", "Remove it.") from None
    except RecursionError:
        raise UsageError(f"{name} is nested too deeply.", "Write keys and values.") from None


def _check_keys(node: yaml.Node, above: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> None:
    """Records the line of each key in ``lines``; rejects tags, keys that are not text, and repeated keys."""
    if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.startswith("tag:yaml.org,2002:python"):
        problem = f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')} is not allowed"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item, (*above, "[]"), {})
    if not isinstance(node, yaml.MappingNode):
        return
    keys = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
            raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key.start_mark)
        if key.value in keys:
            problem = f"the key {key.value!r} occurs twice"
            raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        keys.add(key.value)
        lines[(*above, key.value)] = key.start_mark.line + 1
        _check_keys(value, (*above, key.value), lines)


def _parse_set(text: str) -> tuple[tuple[str, ...], Any]:
    """Parses ``a.b=1`` to the key ("a", "b") and the value 1."""
    key, equals, value = text.partition("=")
    keys = tuple(part.strip() for part in key.split("."))
    if not equals or not all(keys):
        raise UsageError(f"--set {text}: this is no key=value.", "Write, for example: --set size=256")
    return keys, _parse(value, f"--set {text}")[0]


def _put(values: dict[str, Any], keys: tuple[str, ...], value: Any, place: str) -> None:
    """Stores ``value`` in nested dictionaries; ``place`` names the ``--set`` or option in messages."""
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise UsageError(f"{place}: {key} has no keys of its own.", "Set it as a whole.")
    values[keys[-1]] = value


def _explain(cls: type[BaseModel], error: ValidationError, places: dict[tuple[str, ...], str]) -> UsageError:
    """Converts the first validation error of pydantic to one line.

    Args:
        cls: the configuration class.
        error: from pydantic.
        places: where each key was given.
    """
    complaints = error.errors(include_url=False)
    # an unknown key comes first, because it often causes the other errors
    first = min(complaints, key=lambda item: item["type"] != "extra_forbidden")
    location = tuple(str(part) for part in first["loc"])
    known = set(keys_of(cls))
    place = next((places[location[:n]] for n in range(len(location), 0, -1) if location[:n] in places), "")
    more = f" ({len(complaints) - 1} more)" if len(complaints) > 1 else ""
    prefix = f"{place}: " if place else ""
    if first["type"] == "extra_forbidden":
        key = ".".join(location)
        return UsageError(f"{prefix}unknown key {key!r}{more}.", _suggest(key, sorted(known)))
    # pydantic appends the branch of a union to the location: name only the part that is a key
    named = next((location[:n] for n in range(len(location), 0, -1) if ".".join(location[:n]) in known), location)
    if first["type"] == "missing":
        return UsageError(f"no value for {'.'.join(named)!r}{more}.", f"Give one: --set {'.'.join(named)}=VALUE")
    message = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").rstrip(".")
    message = message[:1].lower() + message[1:]
    got = f", not {first['input']!r:.80}" if named else ""
    subject = f"{'.'.join(named)}: " if named else ""
    return UsageError(f"{prefix}{subject}{message}{got}{more}.")


def _suggest(key: str, known: list[str]) -> str:
    """The remedy for an unknown key: the nearest key, or the list of all keys."""
    near = difflib.get_close_matches(key, known, 1, 0.5)
    if not near:
        leaf = difflib.get_close_matches(key.split(".")[-1], [name.split(".")[-1] for name in known], 1, 0.6)
        near = [name for name in known if leaf and name.split(".")[-1] == leaf[0]]
    return f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(known)}."


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yields the models that a type annotation contains."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
