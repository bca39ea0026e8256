"""Writes docs/cli.md, the command line reference, from the signatures of the commands."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from typer.models import ArgumentInfo, OptionInfo

from lacuna_server import cli_options, exit_codes
from lacuna_server.cli import app
from lacuna_server.settings import Settings

HEAD = """\
# Command line

<!-- Written by `make docs` from the commands themselves. -->

Options that are settings default to their `LACUNA_*` environment variable and to `lacuna.toml`: see the
[table of settings](settings.md). `--help` after any command prints its options, and `--debug` anywhere shows the
traceback of an error. Results go to stdout, messages about them to stderr.
"""


_SHARED = [get_args(hint)[1] for hint in vars(cli_options).values() if get_origin(hint) is Annotated]
"""The declarations of options shared by several commands, most of which are settings."""
_KINDS = {Path: "path", int: "whole number", float: "number", str: "text"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument or an option in the signature of its command. `kind` is the type of one value."""

    name: str
    info: ArgumentInfo | OptionInfo
    kind: Any
    repeats: bool
    default: Any

    @property
    def is_flag(self) -> bool:
        return self.kind is bool


@dataclass(frozen=True, slots=True)
class Command:
    """A command: the words that call it, and its function."""

    words: str
    callback: Callable[..., Any]

    @property
    def help(self) -> str:
        return " ".join((self.callback.__doc__ or "").split())

    def parameters(self, kind: type[ArgumentInfo] | type[OptionInfo]) -> list[Parameter]:
        """Its arguments or its options, by `kind`."""
        hints = typing.get_type_hints(self.callback, include_extras=True)
        signature = inspect.signature(self.callback).parameters
        parameters = [_parameter(name, hints[name], p.default) for name, p in signature.items()]
        return [p for p in parameters if p is not None and isinstance(p.info, kind)]


def page() -> str:
    """The whole page, as Markdown."""
    commands = list(_commands(app, "lacuna"))
    return "\n".join([HEAD, *_overview(commands), "", *_exit_codes(), *_sections(commands)]) + "\n"


def _commands(group: typer.Typer, words: str) -> Iterator[Command]:
    for info in group.registered_commands:
        assert info.callback is not None
        yield Command(f"{words} {info.name or info.callback.__name__}", info.callback)
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from _commands(inner.typer_instance, f"{words} {inner.name}" if isinstance(inner.name, str) else words)


def _parameter(name: str, hint: Any, default: Any) -> Parameter | None:
    """The parameter of a signature, or None for those that typer fills in automatically."""
    if get_origin(hint) is not Annotated:
        return None
    kind, info = get_args(hint)[:2]
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (one for one in get_args(kind) if one is not type(None))
    repeats = get_origin(kind) is list
    return Parameter(name, info, get_args(kind)[0] if repeats else kind, repeats, default)


def _overview(commands: Sequence[Command]) -> Iterator[str]:
    yield from _table("command", "what it does")
    for command in commands:
        yield _row(f"[`{command.words}`](#{command.words.replace(' ', '-')})", command.help.split(". ")[0].rstrip("."))


def _exit_codes() -> Iterator[str]:
    yield from ("## Exit codes", "")
    yield from _table("code", "meaning")
    yield from (_row(f"{code}", meaning) for code, meaning in exit_codes.MEANINGS.items())


def _sections(commands: Sequence[Command]) -> Iterator[str]:
    for command in commands:
        arguments, options = command.parameters(ArgumentInfo), command.parameters(OptionInfo)
        usage = [command.words, *(["[OPTIONS]"] if options else []), *map(_usage, arguments)]
        yield from ("", f"## {command.words}", "", f"    {' '.join(usage)}", "", command.help)
        if arguments:
            yield from ("", *_table("argument", "default", "meaning"))
            yield from (_row(f"`{_usage(one)}`", _default(one), one.info.help or "") for one in arguments)
        if options:
            yield from ("", *_table("option", "value", "default", "meaning"))
            yield from (_row(_names(one), _value(one), _default(one), one.info.help or "") for one in options)


def _table(*heads: str) -> list[str]:
    return [_row(*heads), "| " + " | ".join("---" for _ in heads) + " |"]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|").replace("<", r"\<") for cell in cells) + " |"


def _usage(argument: Parameter) -> str:
    """An argument in the usage line."""
    word = argument.name.upper() + ("..." if argument.repeats else "")
    return word if argument.default is inspect.Parameter.empty else f"[{word}]"


def _names(option: Parameter) -> str:
    plain = option.name.replace("_", "-")
    given = _declared(option) or [f"--{plain}", *([f"--no-{plain}"] if option.is_flag else [])]
    return ", ".join(f"`{name}`" for name in given)


def _declared(parameter: Parameter) -> list[str]:
    """The option names given explicitly. In Annotated, typer stores the first of them as `default`."""
    info = parameter.info
    return [name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str)]


def _value(option: Parameter) -> str:
    """The value of an option: its choices, its range, or its kind. Empty for a flag."""
    if option.is_flag:
        return ""
    if get_origin(option.kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(option.kind))
    low, high = option.info.min, option.info.max
    if low is None:
        return _KINDS[option.kind]
    return f"{low:g} or more" if high is None else f"{low:g} to {high:g}"


def _default(parameter: Parameter) -> str:
    """The default. For an option that overrides a setting, it is the setting's default."""
    default, shown = parameter.default, parameter.info.show_default
    field = Settings.model_fields.get(parameter.name)
    if default is inspect.Parameter.empty:
        return "required"
    if isinstance(shown, str):
        return shown
    if default is None and field is not None and any(parameter.info is info for info in _SHARED):
        default = field.default
    if default in (None, False, ""):
        return ""
    return "on" if default is True else f"`{default}`"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
