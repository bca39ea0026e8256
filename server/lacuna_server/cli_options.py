"""Options of the command line: those that are settings, and groups of options that commands take as one object."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import typer

T = TypeVar("T")

MODEL_HELP = "bundled, a model folder, a GGUF file, or a name from: lacuna models list."
Model = Annotated[str | None, typer.Option(help=MODEL_HELP)]
Family = Annotated[str | None, typer.Option(help="Prompt family, if it is not recognized.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Devices = Annotated[str | None, typer.Option(help="Several devices, for example 0,1 for two GPUs.")]
SpreadOver = Annotated[
    str | None, typer.Option("--spread", help="How to use several devices: replicas, tensor or layers.")
]
Dtype = Annotated[str | None, typer.Option(help="auto, float32, float16 or bfloat16.")]
Revision = Annotated[str | None, typer.Option(help="Branch or commit of a hub model.")]
DeviceMap = Annotated[str | None, typer.Option(help="auto: spread the model over several devices.")]
TrustRemoteCode = Annotated[
    bool | None, typer.Option("--trust-remote-code", help="Run code that comes with the model.")
]
Context = Annotated[int | None, typer.Option(help="Maximum tokens of prompt and answer together.")]
LlamaCpp = Annotated[
    list[Path] | None, typer.Option(help="Also measure llama.cpp, with this GGUF file of the same model; repeatable.")
]
MaxTokens = Annotated[int | None, typer.Option(help="Maximum tokens in a suggestion.")]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.")]
LogFile = Annotated[Path | None, typer.Option(help="Write the log to this file instead of stderr.")]
Engine = Annotated[str | None, typer.Option(help="Use the model of this server instead of running one.")]
EngineKind = Annotated[
    str | None, typer.Option(help="The server's kind: lacuna, openai, llama.cpp, ollama, tgi or tabby.")
]
EngineTokenFile = Annotated[Path | None, typer.Option(help="File with the server's token.")]
EngineCaFile = Annotated[
    Path | None, typer.Option(help="File with the only certificates (PEM) to trust for the server.")
]
Batch = Annotated[int | None, typer.Option(min=1, help="Maximum requests in one batch.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Candidates = Annotated[int, typer.Option(min=1, max=8, help="Number of suggestions.")]

SETTINGS: dict[str, Any] = {
    "model": Model, "family": Family, "revision": Revision, "device": Device, "dtype": Dtype, "devices": Devices,
    "spread": SpreadOver, "device_map": DeviceMap, "trust_remote_code": TrustRemoteCode, "context": Context,
    "max_tokens": MaxTokens, "batch": Batch, "log_level": LogLevel, "log_file": LogFile, "engine": Engine,
    "engine_kind": EngineKind, "engine_token_file": EngineTokenFile, "engine_ca_file": EngineCaFile,
}  # fmt: skip
"""The options that are settings, by the setting's name."""
MODEL_SETTINGS = ("model", "family", "device", "dtype", "revision", "device_map", "devices", "spread",
                  "trust_remote_code", "context", "max_tokens")  # fmt: skip
"""Settings that choose a model and how it runs."""


class Given:
    """Annotates a parameter that receives the values given for these settings, by name, for `settings.load`."""

    def __init__(self, *names: str) -> None:
        self.names = names


def command(function: Callable[..., T]) -> Callable[..., T]:
    """Expands parameters that are groups of options: dataclasses whose fields are options, and `Given` settings.

    Returns a function with one parameter for each option, as typer requires, that calls `function` with the groups.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    signature = inspect.signature(function)
    groups = {name: list(_options(hints[name])) for name in signature.parameters if _is_group(hints[name])}
    expanded: list[Parameter] = []
    for name, parameter in signature.parameters.items():
        expanded += groups.get(name, [parameter.replace(annotation=hints[name], kind=Parameter.KEYWORD_ONLY)])

    @functools.wraps(function)
    def run(**values: Any) -> T:
        for name, options in groups.items():
            group = {option.name: values.pop(option.name) for option in options}
            values[name] = hints[name](**group) if is_dataclass(hints[name]) else group
        return function(**values)

    setattr(run, "__signature__", signature.replace(parameters=expanded))  # noqa: B010
    run.__annotations__ = {option.name: option.annotation for option in expanded} | {"return": hints.get("return")}
    return run


def _is_group(hint: Any) -> bool:
    return is_dataclass(hint) or any(isinstance(extra, Given) for extra in get_args(hint)[1:])


def _options(hint: Any) -> Iterator[Parameter]:
    if get_origin(hint) is Annotated:
        names = next(extra.names for extra in get_args(hint)[1:] if isinstance(extra, Given))
        yield from (Parameter(n, Parameter.KEYWORD_ONLY, default=None, annotation=SETTINGS[n]) for n in names)
        return
    kinds = typing.get_type_hints(hint, include_extras=True)
    for field in fields(hint):
        default = Parameter.empty if field.default is MISSING else field.default
        yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=kinds[field.name])
