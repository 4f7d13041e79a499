"""Command-line options: those that every command has, and those made from the fields of a configuration class."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress and no messages, only warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print the traceback of an error.")]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="End with exit code 5 rather than reserve more memory, such as 4GB. Linux only.",
    ),
]
Yes = Annotated[
    bool, typer.Option("--yes", help="Download missing weights without asking; JEAN_AUTO_PULL=1 does the same.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Where to write the result.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE.yaml", help="Read keys and values from a YAML file.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one configuration key. Repeatable; overrides --config."),
]
HelpConfig = Annotated[
    bool, typer.Option("--help-config", help="List every key of --set with its type, bounds and default, and exit.")
]


@dataclass(frozen=True)
class Option:
    """How one field of a configuration class appears on the command line.

    The field itself holds the type, the bounds, the default and the description.

    Attributes:
        field: name of the field; dots lead to the fields of nested classes.
        flag: name of the option; None: the field's name with dashes, such as ``--pose-mode``.
        metavar: placeholder of the value in the help; None: typer's name of the type.
        separator: splits one value into the items of a list; None: a list is given by repeating the option.
        parse: turns the text or texts of the command line into the field's value.
        hidden: accepted, but not shown in the help.
    """

    field: str
    flag: str | None = None
    metavar: str | None = None
    separator: str | None = None
    parse: Callable[[Any], Any] | None = None
    hidden: bool = False

    @property
    def name(self) -> str:
        """The option as the user writes it, such as ``--pose-mode``."""
        return self.flag or "--" + self.field.split(".")[-1].replace("_", "-")

    @property
    def parameter_name(self) -> str:
        """Name of the Python parameter that carries the value."""
        return self.name.removeprefix("--").replace("-", "_")

    def parameter(self, config_class: type[BaseModel]) -> inspect.Parameter:
        """The typer parameter for this option; its default is None, "not given"."""
        field = field_of(config_class, self.field)
        kind = _option_type(field.annotation, split=self.separator is not None)
        option = typer.Option(
            self.name,
            help=_help_text(config_class, self.field, self.separator or ", "),
            metavar=self.metavar,
            hidden=self.hidden,
        )
        return inspect.Parameter(
            self.parameter_name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, option],
        )

    def value(self, given: Any) -> Any:
        """The field's value from what typer read; None when the option was not given."""
        if given is None or given in ([], ""):
            return None
        if self.parse is not None:
            return self.parse(given)
        if self.separator is not None:
            return [item.strip() for item in given.split(self.separator)]
        return given


def field_of(config_class: type[BaseModel], path: str) -> FieldInfo:
    """The field at a dotted path of a configuration class."""
    first, _, inner = path.partition(".")
    field = config_class.model_fields[first]
    return field_of(_bare_type(field.annotation), inner) if inner else field


def configure(
    config_class: type[BaseModel],
    options: Mapping[str, Option],
    given: Mapping[str, Any],
    file: Path | None,
    sets: list[str] | None,
) -> Any:
    """The configuration from the options of a command line, ``--config`` and ``--set``.

    Args:
        config_class: a subclass of ``jean.config.StageConfig``.
        options: parameter name → option.
        given: parameter name → what typer read.
        file: of ``--config``.
        sets: of ``--set``.

    Raises:
        UsageError: see ``jean.config.load_config``.
    """
    from jean.config import load_config

    values = {option.field: option.value(given[name]) for name, option in options.items()}
    flags = {option.field: option.name for option in options.values()}
    return load_config(config_class, file, sets, flags, **values)  # type: ignore[type-var]


def _bare_type(annotation: Any) -> Any:
    """A type without ``| None`` and ``Annotated``; a union of several types stays one."""
    if get_origin(annotation) is Annotated:
        return _bare_type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        return _bare_type(members[0]) if len(members) == 1 else annotation
    return annotation


def _option_type(annotation: Any, split: bool) -> Any:
    """The type that typer parses: pydantic validates the value afterwards."""
    bare = _bare_type(annotation)
    if bare in (bool, int, float, Path) or get_origin(bare) is Literal:
        return bare
    if get_origin(bare) in (tuple, list, dict) and not split:
        return list[str]
    return str


def description_of(config_class: type[BaseModel], path: str) -> str:
    """The description of a field; a subclass that only changes the default inherits it."""
    first, _, inner = path.partition(".")
    if inner:
        return description_of(_bare_type(config_class.model_fields[first].annotation), inner)
    fields = (getattr(cls, "model_fields", {}).get(first) for cls in config_class.__mro__)
    return next((field.description for field in fields if field is not None and field.description), "")


def _help_text(config_class: type[BaseModel], path: str, separator: str) -> str:
    """The field's description and, where there is one, its default."""
    field = field_of(config_class, path)
    description = description_of(config_class, path).rstrip(".")
    default = field.get_default(call_default_factory=False)
    if isinstance(default, (tuple, list)):
        default = separator.join(map(str, default))
    if field.is_required() or default is None or default == "" or isinstance(default, (bool, dict)):
        return f"{description}."
    return f"{description}. [default: {default}]"
