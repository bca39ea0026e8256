"""The command line: parses arguments and calls the commands. An error is one line with its remedy, and an exit code."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NoReturn

import typer

from lacuna_inference import __version__
from lacuna_inference.errors import BadRequest
from lacuna_inference.models.loading.sources import configure_libraries
from lacuna_lab.cli.bench import bench_app
from lacuna_lab.cli.gate import gate_app
from lacuna_lab.cli.judge import lab_app
from lacuna_lab.cli.replay import replay_app
from lacuna_server import exit_codes
from lacuna_server import settings as settings_module
from lacuna_server.cli_bundle import bundle_app
from lacuna_server.cli_cache import cache_app
from lacuna_server.cli_models import models_app
from lacuna_server.cli_options import MODEL_SETTINGS, Candidates, Given, Json, command
from lacuna_server.commands import complete as complete_command
from lacuna_server.private import LogFile
from lacuna_server.settings_schema import Level

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="AI code completion on your own hardware.",
)  # fmt: skip
app.add_typer(lab_app)
app.add_typer(replay_app)
app.add_typer(models_app, name="models")
app.add_typer(bench_app, name="bench")
app.add_typer(gate_app, name="gate")
app.add_typer(bundle_app, name="bundle")
app.add_typer(cache_app, name="cache")


def run(streams: tuple[BinaryIO, BinaryIO] | None = None) -> NoReturn:
    """Runs the command in sys.argv and ends the process with one of the codes in `exit_codes.MEANINGS`.

    `streams` are stdin and stdout if they are reserved for the protocol. `--debug` anywhere shows tracebacks.
    """
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    exit_codes.end(
        lambda: app(arguments, prog_name="lacuna", standalone_mode=False, obj=streams), debug="--debug" in sys.argv
    )


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"lacuna {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """AI code completion on your own hardware. Nothing leaves this machine. `--debug` shows tracebacks."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """The file to complete, and the cursor."""

    file: Annotated[str, typer.Argument(help="A source file, or - for standard input.")]
    at: Annotated[
        str | None, typer.Option(help="LINE:COLUMN of the cursor, both from 1. Alternatively, mark holes with <FILL>.")
    ] = None
    allow_secrets: Annotated[
        bool, typer.Option("--allow-secrets", help="Allow a file whose name suggests passwords or keys.")
    ] = False


@app.command()
@command
def complete(
    source: SourceOptions, given: Annotated[dict[str, Any], Given(*MODEL_SETTINGS)], candidates: Candidates = 1,
    json: Json = False,
) -> None:  # fmt: skip
    """Complete a file at a cursor and print it with the suggestion in place."""
    configure_libraries()
    settings = settings_module.load(**given, candidates=candidates)
    complete_command.run(settings, source.file, source.at, json, source.allow_secrets)


@app.command()
@command
def lsp(
    typer_context: typer.Context,
    given: Annotated[
        dict[str, Any],
        Given("log_level", "log_file", "engine", "engine_kind", "engine_token_file", "engine_ca_file", *MODEL_SETTINGS),
    ],
    tcp: Annotated[str | None, typer.Option(help="Listen on HOST:PORT (loopback) instead of stdio.")] = None,
    stdio: Annotated[bool, typer.Option("--stdio", help="Use stdin and stdout; the default.")] = False,
) -> None:
    """Run the language server."""
    from lacuna_server.lsp import app as server_app
    from lacuna_server.lsp import transport

    settings, warnings = settings_module.load_leniently(**given)
    _start_logging(settings.log_level, settings.log_file)
    if tcp:
        transport.parse_loopback(tcp)
        if stdio:
            raise BadRequest("--stdio and --tcp are mutually exclusive.", "Omit one of them.")
        transport.serve_tcp(server_app.build(settings, warnings), tcp)
    streams: tuple[BinaryIO, BinaryIO] = typer_context.obj or (sys.stdin.buffer, sys.stdout.buffer)
    transport.serve_stdio(server_app.build(settings, warnings), streams)


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """Where the HTTP server listens, and which clients it accepts."""

    host: Annotated[str, typer.Option(help="Address to listen on; any other than loopback needs a token.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 5000
    token_file: Annotated[Path | None, typer.Option(help="File with the token that clients must send.")] = None
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Accept clients without a token, at any address.")] = False
    cors: Annotated[
        list[str] | None, typer.Option(help="Origin of web pages that may send requests, or '*'; repeatable.")
    ] = None
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate file (PEM).")] = None
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key file (PEM).")] = None
    alias: Annotated[str, typer.Option(help="Name under which the model is served.")] = ""


@dataclass(frozen=True, slots=True)
class LimitOptions:
    """Limits on requests."""

    queue: Annotated[int, typer.Option(min=1, help="Maximum requests that wait or run; others get 503.")] = 64
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds after which an answer ends.")] = 60.0
    max_body: Annotated[int, typer.Option(min=1024, help="Maximum size of a request body in bytes.")] = 8 * 2**20


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Options for running the model in a Ray cluster."""

    ray: Annotated[
        str | None, typer.Option(help="Run the model in a Ray cluster: its address, auto, or local for a new one.")
    ] = None
    replicas: Annotated[
        str, typer.Option(help="With --ray: number of replicas, for example 2, or 1-4 to scale with demand.")
    ] = "1"
    replica_gpus: Annotated[float, typer.Option(min=0, help="With --ray: GPUs for each replica.")] = 0


@app.command()
@command
def serve(
    listen: ListenOptions,
    limits: LimitOptions,
    cluster: RayOptions,
    given: Annotated[
        dict[str, Any],
        Given("model", "family", "revision", "device", "dtype", "device_map", "devices", "spread", "context", "batch",
              "trust_remote_code", "log_level"),
    ],
) -> int:  # fmt: skip
    """Serve a model over HTTP: JSON, OpenAI's completions, llama.cpp's infill, Ollama's generate, a playground."""
    configure_libraries()
    from lacuna_server.commands import serve as serve_command
    from lacuna_server.http.gateway import GatewayLimits

    settings = settings_module.load(**given)
    _start_logging(settings.log_level, settings.log_file)
    address = serve_command.ListenAddress(
        listen.host, listen.port, listen.token_file, listen.no_auth, tuple(listen.cors or ()),
        listen.tls_cert, listen.tls_key, listen.alias,
    )  # fmt: skip
    engine = serve_command.engine(settings, cluster.ray, cluster.replicas, cluster.replica_gpus)
    gateway_limits = GatewayLimits(limits.queue, limits.timeout, settings.languages)
    return serve_command.run(engine, address, gateway_limits, limits.max_body)


@app.command()
def context(
    place: Annotated[str, typer.Argument(help="FILE:LINE or FILE:LINE:COLUMN of the cursor, both from 1.")],
    root: Annotated[
        Path | None, typer.Option(help="The workspace's folder; the Git repository of the file by default.")
    ] = None,
    characters: Annotated[int, typer.Option(min=0, help="Maximum length of the excerpts.")] = 1600,
    json: Json = False,
) -> None:
    """Show what a model is shown of other files at a cursor: what the code refers to, and what is like it."""
    from lacuna_server.commands import context as context_command

    context_command.run(settings_module.load(), place, root, characters, json)


@app.command()
def stats(
    days: Annotated[int, typer.Option(min=1, help="Number of days to show, counting only days with data.")] = 14,
    json: Json = False,
) -> None:
    """Show how many suggestions were shown and accepted, and what was learned. Counted on this machine only."""
    from lacuna_server.commands import stats as stats_command

    stats_command.run(days, json)


@app.command()
@command
def doctor(given: Annotated[dict[str, Any], Given("model", "family", "device", "dtype")]) -> int:
    """Check everything that completion needs, and say how to fix problems."""
    configure_libraries()
    from lacuna_server.commands import doctor as doctor_command

    return doctor_command.run(settings_module.load(**given))


def _start_logging(level: Level, file: Path | None) -> None:
    """Logs to stderr or a file. pygls logs whole messages, including user code, so it is silenced unless debugging."""
    handler = _log_handler(file) if file else logging.StreamHandler(sys.stderr)
    logging.basicConfig(
        level=level.upper(), handlers=[handler], format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    logging.getLogger("pygls").setLevel(logging.DEBUG if level == "debug" else logging.CRITICAL)
    for name in ("httpx", "httpcore"):  # they log each request, so each keystroke
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    logging.captureWarnings(True)


def _log_handler(file: Path) -> logging.Handler:
    try:
        return LogFile(file.expanduser())
    except OSError as error:
        raise BadRequest(f"The log file {file} cannot be opened: {error.strerror}.", "Check --log-file.") from error
