"""The command line: parses, calls, prints. Errors are one line with the remedy; the exit code tells the kind."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, BinaryIO, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from lacuna_inference import __version__
from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_inference.models.sources import go_offline
from lacuna_server import settings as settings_module
from lacuna_server.cli_bench import bench_app
from lacuna_server.cli_bundle import bundle_app
from lacuna_server.cli_options import (
    Context,
    Device,
    DeviceMap,
    Devices,
    Dtype,
    Family,
    MaxTokens,
    Model,
    Revision,
    SpreadOver,
    TrustRemoteCode,
)
from lacuna_server.commands import complete as complete_command
from lacuna_server.commands import models as models_command
from lacuna_server.core.private import LogFile
from lacuna_server.settings import Level

USAGE, FAILURE, INTERRUPTED = 2, 1, 130

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="AI code completion on your own hardware.",
)  # fmt: skip
models_app = typer.Typer(no_args_is_help=True, help="Look at, fetch and convert models.")
app.add_typer(models_app, name="models")
app.add_typer(bench_app, name="bench")
app.add_typer(bundle_app, name="bundle")


def run(streams: tuple[BinaryIO, BinaryIO] | None = None) -> NoReturn:
    """Runs the command of sys.argv and exits: 0, 1 for a failure, 2 for bad use, 130 after Ctrl-C.

    `streams` are stdin and stdout where the protocol owns them. `--debug` anywhere lets tracebacks through.
    """
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        result = app(arguments, prog_name="lacuna", standalone_mode=False, obj=streams)
        code = result if isinstance(result, int) else 0
    except LacunaError as error:
        if debug:
            raise
        code = _complain(str(error), USAGE if isinstance(error, BadRequest) else FAILURE)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILURE
    except Exception as error:
        if debug:
            raise
        usage = getattr(error, "exit_code", None)  # typer's own usage errors carry one
        formatted = getattr(error, "format_message", None)
        message = formatted() if formatted else f"{type(error).__name__}: {error}. Run again with --debug."
        code = _complain(message, usage if isinstance(usage, int) else FAILURE)
    sys.exit(code)


def _complain(message: str, code: int) -> int:
    """Prints one line to stderr; styled only on a terminal."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble(("lacuna: ", "bold red"), " ".join(message.split())))
    return code


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lacuna {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """AI code completion on your own hardware. Nothing leaves this machine. `--debug` shows tracebacks."""


@app.command()
def complete(
    file: Annotated[str, typer.Argument(help="A source file, or - for standard input.")],
    at: Annotated[
        str | None, typer.Option(help="LINE:COLUMN of the cursor, both from 1. Or mark holes with <FILL>.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the code.")] = False,
    allow_secrets: Annotated[
        bool, typer.Option("--allow-secrets", help="Also a file whose name says that it holds passwords or keys.")
    ] = False,
    candidates: Annotated[int, typer.Option(min=1, max=8, help="Number of suggestions.")] = 1,
    model: Model = None,
    family: Family = None,
    device: Device = None,
    dtype: Dtype = None,
    revision: Revision = None,
    device_map: DeviceMap = None,
    devices: Devices = None,
    spread: SpreadOver = None,
    trust_remote_code: TrustRemoteCode = None,
    context: Context = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Complete a file at a cursor and print it with the suggestion in place."""
    go_offline()
    settings = settings_module.load(
        model=model, family=family, device=device, dtype=dtype, revision=revision, device_map=device_map,
        devices=devices, spread=spread,
        trust_remote_code=trust_remote_code, context=context, max_tokens=max_tokens, candidates=candidates,
    )  # fmt: skip
    complete_command.run(settings, file, at, json, allow_secrets)


@app.command()
def lsp(
    typer_context: typer.Context,
    tcp: Annotated[str | None, typer.Option(help="Listen on HOST:PORT (loopback) instead of stdio.")] = None,
    stdio: Annotated[bool, typer.Option("--stdio", help="Speak over stdin and stdout; the default.")] = False,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_file: Annotated[Path | None, typer.Option(help="Write the log there instead of to stderr.")] = None,
    engine: Annotated[str | None, typer.Option(help="Ask this server instead of running a model.")] = None,
    engine_kind: Annotated[
        str | None, typer.Option(help="What that server is: lacuna, openai, llama.cpp, ollama, tgi or tabby.")
    ] = None,
    engine_token_file: Annotated[Path | None, typer.Option(help="File with the token that it wants.")] = None,
    engine_ca_file: Annotated[
        Path | None, typer.Option(help="File with the only certificates (PEM) trusted for it.")
    ] = None,
    model: Model = None,
    family: Family = None,
    device: Device = None,
    dtype: Dtype = None,
    revision: Revision = None,
    device_map: DeviceMap = None,
    devices: Devices = None,
    spread: SpreadOver = None,
    trust_remote_code: TrustRemoteCode = None,
    context: Context = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Run the language server."""
    from lacuna_server.lsp import app as server_app
    from lacuna_server.lsp import transport

    settings, complaints = settings_module.load_leniently(
        model=model, family=family, device=device, dtype=dtype, revision=revision, device_map=device_map,
        devices=devices, spread=spread,
        trust_remote_code=trust_remote_code, context=context, max_tokens=max_tokens,
        log_level=log_level, log_file=log_file,
        engine=engine, engine_kind=engine_kind, engine_token_file=engine_token_file,
        engine_ca_file=engine_ca_file,
    )  # fmt: skip
    _start_logging(settings.log_level, settings.log_file)
    if tcp:
        transport.parse_loopback(tcp)
        if stdio:
            raise BadRequest("--stdio and --tcp exclude each other.", "Leave one of them out.")
        transport.serve_tcp(server_app.build(settings, complaints), tcp)
    streams: tuple[BinaryIO, BinaryIO] = typer_context.obj or (sys.stdin.buffer, sys.stdout.buffer)
    transport.serve_stdio(server_app.build(settings, complaints), streams)


@app.command()
def serve(
    model: Model = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on; another than loopback needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any free one.")] = 5000,
    token_file: Annotated[Path | None, typer.Option(help="A file with the token that callers must send.")] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Let everybody in, at any address.")] = False,
    cors: Annotated[
        list[str] | None, typer.Option(help="Origin of a web page that may ask, or '*'; repeatable.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate file (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key file (PEM).")] = None,
    queue: Annotated[int, typer.Option(min=1, help="Most requests that wait or run; more get 503.")] = 64,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds after which an answer ends.")] = 60.0,
    max_body: Annotated[int, typer.Option(min=1024, help="Most bytes of a request's body.")] = 8 * 2**20,
    batch: Annotated[int | None, typer.Option(min=1, help="Most requests answered side by side.")] = None,
    ray: Annotated[
        str | None, typer.Option(help="Run the model in a Ray cluster: its address, auto, or local for a new one.")
    ] = None,
    replicas: Annotated[str, typer.Option(help="With --ray: how often, as 2, or 1-4 as many as are needed.")] = "1",
    replica_gpus: Annotated[float, typer.Option(min=0, help="With --ray: GPUs of each.")] = 0,
    family: Family = None,
    revision: Revision = None,
    device: Device = None,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
    devices: Devices = None,
    spread: SpreadOver = None,
    context: Context = None,
    trust_remote_code: TrustRemoteCode = None,
    log_level: Annotated[Level | None, typer.Option(help="debug, info, warning or error.")] = None,
    alias: Annotated[str, typer.Option(help="The name by which callers know the model.")] = "",
) -> int:
    """Serve a model over HTTP: JSON, OpenAI's completions, llama.cpp's infill, Ollama's generate, a playground."""
    go_offline()
    from lacuna_server.commands import serve as serve_command
    from lacuna_server.http.gateway import Limits

    settings = settings_module.load(
        model=model, family=family, revision=revision, device=device, dtype=dtype, device_map=device_map,
        devices=devices, spread=spread,
        context=context, trust_remote_code=trust_remote_code, batch=batch, log_level=log_level,
    )  # fmt: skip
    _start_logging(settings.log_level, settings.log_file)
    place = serve_command.Place(host, port, token_file, no_auth, tuple(cors or ()), tls_cert, tls_key, alias)
    engine = serve_command.engine(settings, ray, replicas, replica_gpus)
    return serve_command.run(engine, place, Limits(queue, timeout), max_body)


@app.command()
def stats(
    days: Annotated[int, typer.Option(min=1, help="The last so many days that have counts.")] = 14,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how many suggestions were shown, accepted and kept. Counted on this machine only."""
    from lacuna_server.commands import stats as stats_command

    stats_command.run(days, json)


@app.command("eval")
def evaluate(
    model: Model = None,
    also: Annotated[
        list[str] | None, typer.Option(help="Another model to judge on the same holes; repeatable.")
    ] = None,
    files: Annotated[list[Path] | None, typer.Option(help="Judge on these files or folders instead.")] = None,
    file_count: Annotated[int, typer.Option(min=1, help="Number of files.")] = 60,
    per_file: Annotated[int, typer.Option(min=1, help="Holes of each kind in a file.")] = 4,
    seed: Annotated[int, typer.Option(help="Chooses files and holes.")] = 0,
    chart: Annotated[Path | None, typer.Option(help="Also draw exact match into this PNG file.")] = None,
    layout: Annotated[
        bool, typer.Option("--layout", help="Lay the prompts out both ways, anchored and canonical.")
    ] = False,
    problems: Annotated[
        Path | None, typer.Option(help="Judge on HumanEval or HumanEval-Infilling: its .jsonl or .jsonl.gz file.")
    ] = None,
    problem_count: Annotated[int | None, typer.Option(min=1, help="With --problems: only the first so many.")] = None,
    samples: Annotated[int, typer.Option(min=1, max=200, help="With --problems: answers to each, for pass@k.")] = 1,
    execute: Annotated[
        bool, typer.Option("--execute", help="With --problems: run what the model writes, and score pass@k.")
    ] = False,
    processes: Annotated[
        int,
        typer.Option(min=1, help="Processes that answer side by side on a CPU, each with its own copy of the model."),
    ] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    family: Family = None,
    device: Device = None,
    dtype: Dtype = None,
    context: Context = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Measure how well a model fills holes in code it has not seen, beside a copier without a model."""
    go_offline()
    if problems is None and (execute or samples > 1 or problem_count is not None):
        raise BadRequest("--execute, --samples and --problem-count belong to a benchmark.", "Name it with --problems.")
    if problems is not None and (files or chart or layout or processes > 1):
        raise BadRequest(
            "--files, --chart, --layout and --processes do not go with --problems.", "Leave one of them out."
        )
    from lacuna_server.commands import evaluate as evaluate_command
    from lacuna_server.commands import problems as problems_command
    from lacuna_server.lab.evaluation.problems import MOST_TOKENS

    if problems is not None:
        max_tokens = max_tokens or MOST_TOKENS
    settings = settings_module.load(
        model=model, family=family, device=device, dtype=dtype, context=context, max_tokens=max_tokens
    )
    if problems is not None:
        problems_command.judge(settings, also or [], problems, samples, problem_count, execute, json)
        return
    evaluate_command.evaluate(
        settings, also or [], files or [], file_count, per_file, seed, json, chart, layout, processes
    )


@app.command()
def resources(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="bundled, a model folder, a config.json, a hub id, or a published shape (CodeGen-6B)."),
    ] = None,
    gpu: Annotated[list[str] | None, typer.Option(help="Also judge a card of this size (16GB); repeatable.")] = None,
    context: Annotated[int | None, typer.Option(min=32, help="Tokens of context; the model's own by default.")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Load and generate, and record what that takes beside the estimate.")
    ] = False,
    dtypes: Annotated[
        list[str] | None, typer.Option("--dtype", help="What to measure: fp32, fp16, bf16, int8, int4; repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to measure: auto, cpu, cuda, cuda:N.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell from a model's config what it needs, whether it fits, and how much context, before it is loaded."""
    go_offline()
    from lacuna_server.commands import resources as resources_command

    wanted = resources_command.Wanted(context, gpu or [], measure, dtypes or [], device)
    resources_command.run(models or ["bundled"], wanted, json)


@app.command()
def precision(
    model: Annotated[
        str | None, typer.Argument(help="bundled, a model folder, a hub id, or a published shape (CodeGen-350M).")
    ] = None,
    reference: Annotated[str, typer.Option(help="What the others are measured against.")] = "fp32",
    test: Annotated[str, typer.Option(help="Dtypes to measure, with commas.")] = "fp16,bf16,int8,int4",
    text: Annotated[list[Path] | None, typer.Option(help="Your own files or folders instead of held-out code.")] = None,
    tokens: Annotated[int, typer.Option(min=16, help="Positions whose distributions are compared.")] = 8192,
    holes: Annotated[int, typer.Option(min=0, help="Suggestions that are compared; 0 for none.")] = 200,
    seed: Annotated[int, typer.Option(help="Chooses files and holes.")] = 0,
    speed: Annotated[bool, typer.Option(help="Also measure the speed of each dtype.")] = True,
    out: Annotated[Path | None, typer.Option(help="Also write the report, JSON and charts into this folder.")] = None,
    work: Annotated[Path | None, typer.Option(help="Where the reference's logits lie while it works.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep them, to measure other dtypes later.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    family: Family = None,
    device: Device = None,
    context: Context = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Measure what half precision and weights of few bits cost in accuracy, with a verdict for each."""
    go_offline()
    from lacuna_server.commands import precision as precision_command

    settings = settings_module.load(model=model, family=family, device=device, context=context, max_tokens=max_tokens)
    wanted = precision_command.Wanted(reference, test, text or [], tokens, holes, seed, speed, out, work, keep)
    precision_command.run(settings, wanted, json)


@app.command()
def doctor(model: Model = None, family: Family = None, device: Device = None, dtype: Dtype = None) -> int:
    """Check everything a completion needs, and say what to do about what is wrong."""
    go_offline()
    from lacuna_server.commands import doctor as doctor_command

    return doctor_command.run(settings_module.load(model=model, family=family, device=device, dtype=dtype))


@models_app.command("list")
def models_list() -> None:
    """List the models on this disk."""
    go_offline()
    models_command.list_models()


@models_app.command("info")
def models_info(
    model: Annotated[str, typer.Argument(help="bundled, a model folder, or a hub id on this disk.")] = "bundled",
    family: Family = None,
    revision: Revision = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a model's size, prompt family and context, and whether it fits."""
    go_offline()
    models_command.info(settings_module.load(model=model, family=family, revision=revision), json)


@models_app.command("fetch")
def models_fetch(
    hub_id: Annotated[str, typer.Argument(help="For example facebook/incoder-1B.")], revision: Revision = None
) -> None:
    """Download a model from the hub. The only command that uses the network."""
    models_command.fetch(hub_id, revision)


@models_app.command("convert")
def models_convert(
    folder: Annotated[str, typer.Argument(help="A model folder, or a hub id on this disk, with pickled weights.")],
    dtype: Annotated[str | None, typer.Option(help="Convert the weights to float16, bfloat16 or float32.")] = None,
    revision: Revision = None,
    force: Annotated[bool, typer.Option("--force", help="Replace safetensors that are there already.")] = False,
) -> None:
    """Convert pickled weights to safetensors, once."""
    go_offline()
    models_command.convert(folder, dtype, revision, force)


def _start_logging(level: Level, file: Path | None) -> None:
    """Logs to stderr or a file. pygls logs whole messages, user code included: silent unless debugging."""
    handler = LogFile(file) if file else logging.StreamHandler(sys.stderr)
    logging.basicConfig(
        level=level.upper(), handlers=[handler], format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    logging.getLogger("pygls").setLevel(logging.DEBUG if level == "debug" else logging.CRITICAL)
    for name in ("httpx", "httpcore"):  # they have a line for each request, so for each key
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    logging.captureWarnings(True)
