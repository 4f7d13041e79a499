"""The decorator that turns a function into a command, with options made from a configuration class.

The options of a command are built when the command itself is used, so that ``jean --help`` lists all
commands without loading any configuration class.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import typer
from typer.core import TyperCommand

from jean.launch import rank_index
from jean.memory import bytes_of, limited_to
from jean_cli.console import Follower, Reporter
from jean_cli.options import ConfigFile, HelpConfig, Json, Memory, Option, Quiet, Sets, Verbose, configure

if TYPE_CHECKING:
    from jean.config import StageConfig

_INJECTED = ("config", "reporter")  # parameters that the command line does not give
_EVERY_CONFIG: tuple[str, ...] = ("seed", "device")  # fields of StageConfig that every command offers


class Command:
    """A command of ``jean``: a function, its configuration class and its options.

    Attributes:
        function: takes its own arguments and options, and where it declares them ``config`` and ``reporter``.
        config_path: ``module:Class`` of the configuration; None for commands without one.
        options: fields of the configuration that are options; ``--set`` reaches all of them.
        example: a command line that the help shows.
        name: on the command line.
    """

    def __init__(
        self,
        function: Callable[..., None],
        config_path: str | None,
        options: Sequence[str | Option],
        example: str,
        name: str | None,
    ):
        self.function = function
        self.config_path = config_path
        self.example = example
        self.name = name or function.__name__.replace("_", "-")
        entries = [entry if isinstance(entry, Option) else Option(entry) for entry in options]
        if config_path is not None:
            offered = {entry.field for entry in entries}
            devices = {"device": "auto|cpu|cuda", "seed": "N"}
            entries += [Option(field, metavar=devices[field]) for field in _EVERY_CONFIG if field not in offered]
        self.options = {entry.parameter_name: entry for entry in entries}

    def config_class(self) -> type[StageConfig]:
        """Imports the configuration class."""
        assert self.config_path is not None, f"{self.name} has no configuration"
        module, _, name = self.config_path.partition(":")
        return getattr(importlib.import_module(module), name)

    def parameters(self) -> list[inspect.Parameter]:
        """Every argument and option of the command line, in the order of the help."""
        names = {} if self.config_path is None else {self.config_class().__name__: self.config_class()}
        own = inspect.signature(self.function, locals=names, eval_str=True).parameters.values()
        found = [parameter for parameter in own if parameter.name not in _INJECTED]
        if self.config_path is not None:
            found += [option.parameter(self.config_class()) for option in self.options.values()]
            found += [_option("config", ConfigFile, None), _option("set", Sets, None)]
            found.append(_option("memory", Memory, None))
            found.append(_option("help_config", HelpConfig, False))
        found += [_option("json", Json, False), _option("quiet", Quiet, False), _option("verbose", Verbose, False)]
        return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in found]

    def __call__(self, **values: Any) -> None:
        """Calls the function with what the command line gave."""
        own = inspect.signature(self.function).parameters
        arguments = {name: value for name, value in values.items() if name in own and name not in _INJECTED}
        if self.config_path is not None:
            given = {name: values[name] for name in self.options}
            arguments["config"] = configure(
                self.config_class(), self.options, given, values["config"], list(values["set"] or [])
            )
        if "reporter" in own:
            first = rank_index() == 0
            arguments["reporter"] = Reporter(values["json"], values["quiet"]) if first else Follower()
        with limited_to(bytes_of(values["memory"]) if values.get("memory") is not None else None):
            self.function(**arguments)

    def click_command(self) -> TyperCommand:
        """The command with all its parameters, as typer builds it."""

        @functools.wraps(self.function)
        def call(**values: Any) -> None:
            self(**values)

        parameters = self.parameters()
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name=self.name)(call)
        built = typer.main.get_command(app)
        assert isinstance(built, TyperCommand)
        return built

    def add_to(self, app: typer.Typer) -> None:
        """Registers the command; its parameters are built when they are first asked for."""
        text = inspect.getdoc(self.function) or ""
        app.command(
            name=self.name,
            help=text,
            short_help=text.splitlines()[0].rstrip("."),  # given, so that the list of commands does not cut it off
            epilog=f"\b\nExample:\n  {self.example}" if self.example else None,
            cls=type("BoundCommand", (_LazyCommand,), {"command": self}),
        )(_placeholder)


def command(
    config: str | None = None,
    options: Sequence[str | Option] = (),
    example: str = "",
    name: str | None = None,
) -> Callable[[Callable[..., None]], Command]:
    """Declares a command.

    Args:
        config: ``module:Class`` of its configuration, which the function receives as ``config``.
        options: fields of that class to offer as options; ``Option`` where the name or the placeholder differs.
            ``--seed``, ``--device``, ``--config``, ``--set``, ``--memory`` and ``--help-config`` come with the
            configuration.
        example: one command line for the help.
        name: of the command; None: the function's name with dashes.
    """
    return lambda function: Command(function, config, options, example, name)


class _LazyCommand(TyperCommand):
    """A command whose parameters are built when the command line is parsed, completed or explained."""

    command: ClassVar[Command]
    _built = False

    def get_params(self, ctx: Any) -> list[Any]:
        """Builds the parameters on the first call."""
        if not self._built:
            built = self.command.click_command()
            self.params, self.callback, self._built = built.params, built.callback, True
        return super().get_params(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Answers ``--help-config`` before a missing argument can be reported."""
        words = args[: args.index("--")] if "--" in args else args
        if "--help-config" in words and self.command.config_path is not None and not ctx.resilient_parsing:
            from jean_cli.help_config import print_keys

            command = self.command
            flags = {option.field: option.name for option in command.options.values() if not option.hidden}
            print_keys(command.name, command.config_class(), flags, json_output="--json" in words)
            raise typer.Exit
        return super().parse_args(ctx, args)


def _placeholder() -> None:
    """Stands in for the function until the parameters are built."""


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
