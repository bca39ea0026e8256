"""`lacuna bench`: the commands that measure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lacuna_inference.errors import BadRequest
from lacuna_inference.models.loading.sources import configure_libraries
from lacuna_server import settings as settings_module
from lacuna_server.cli_options import MODEL_HELP, Given, Json, LlamaCpp, command

bench_app = typer.Typer(no_args_is_help=True, help="Measure how fast models run on this machine.")


@bench_app.command("decode")
def bench_decode(
    models: Annotated[
        list[str] | None, typer.Option("--model", help="bundled, or a published shape (CodeGen-350M); repeatable.")
    ] = None,
    dtypes: Annotated[
        list[str] | None, typer.Option("--dtype", help="float32, float16, bfloat16 or int8; repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    llama_cpp: LlamaCpp = None,
    repeats: Annotated[int, typer.Option(min=1, help="Passes of each kind; the median counts.")] = 15,
    json: Json = False,
) -> None:
    """Measure tokens per second and the share of memory bandwidth, by forward and number of tokens per pass."""
    configure_libraries()
    from lacuna_lab.bench.shapes import SHAPES
    from lacuna_lab.commands import bench as bench_command

    names = models or ["bundled"]
    if llama_cpp and "bundled" not in names:
        raise BadRequest("--llama-cpp is compared with the bundled model.", "Add --model bundled.")
    if unknown := [name for name in names if name not in ("bundled", *SHAPES)]:
        raise BadRequest(f"There is no shape called {unknown[0]}.", f"Known: bundled, {', '.join(SHAPES)}.")
    bench_command.decode(names, dtypes or ["float32"], device, repeats, json, llama_cpp or [])


@dataclass(frozen=True, slots=True)
class TypingOptions:
    """What is typed."""

    files: Annotated[int, typer.Option(min=1, help="Number of held-out files to type into.")] = 3
    runs: Annotated[int, typer.Option(min=1, help="Positions in each file where some lines are typed.")] = 2
    keys: Annotated[int, typer.Option(min=1, help="Maximum keys per file.")] = 200
    seed: Annotated[int, typer.Option(help="Random seed for files, positions and gaps.")] = 0


@bench_app.command("typing")
@command
def bench_typing(
    given: Annotated[dict[str, Any], Given("model", "device", "dtype", "max_tokens")],
    typed: TypingOptions,
    llama_cpp: LlamaCpp = None,
    ctranslate2: Annotated[
        list[Path] | None,
        typer.Option(help="Also measure CTranslate2 with this model folder; repeatable."),
    ] = None,
    chart: Annotated[Path | None, typer.Option(help="Also plot the times to this PNG file.")] = None,
    json: Json = False,
) -> None:
    """Measure the latency of each key while typing, with each acceleration switched off, and with other engines."""
    configure_libraries()
    from lacuna_lab.commands import bench as bench_command

    plan = bench_command.TypingPlan(typed.files, typed.runs, typed.keys, typed.seed)
    others = bench_command.Others(llama_cpp or [], ctranslate2 or [])
    bench_command.typing(settings_module.load(**given), plan, others, json, chart)


@dataclass(frozen=True, slots=True)
class AblationOptions:
    """What is typed, and whether torch.compile is measured."""

    files: Annotated[int, typer.Option(min=1, help="Number of held-out files to type into.")] = 3
    keys: Annotated[int, typer.Option(min=1, help="Maximum keys per file.")] = 60
    seed: Annotated[int, typer.Option(help="Random seed for files and positions.")] = 0
    repeats: Annotated[int, typer.Option(min=1, help="Repetitions for each file.")] = 1
    compiles: Annotated[
        bool, typer.Option("--compile", help="Also measure torch.compile, which takes long to load.")
    ] = False


@bench_app.command("accelerations")
@command
def bench_accelerations(
    typed: AblationOptions,
    given: Annotated[dict[str, Any], Given("device", "dtype", "max_tokens")],
    model: Annotated[str | None, typer.Argument(help=MODEL_HELP)] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the table, JSON and chart to this folder.")] = None,
    json: Json = False,
) -> None:
    """Measure the speedup of each acceleration on this machine, alone and combined, and whether it changes answers."""
    configure_libraries()
    from lacuna_lab.commands import bench_accelerations as bench

    plan = bench.AccelerationsPlan(typed.files, typed.keys, typed.seed, typed.repeats, typed.compiles)
    bench.run(settings_module.load(model=model, **given), plan, out, json)


@bench_app.command("answers")
@command
def bench_answers(
    given: Annotated[dict[str, Any], Given("model", "device", "dtype", "max_tokens")],
    files: Annotated[int, typer.Option(min=1, help="Number of held-out files.")] = 20,
    per_file: Annotated[int, typer.Option(min=1, help="Requests of each kind per file.")] = 6,
    seed: Annotated[int, typer.Option(help="Random seed for files and positions.")] = 0,
    llama_cpp: LlamaCpp = None,
    json: Json = False,
) -> None:
    """Measure tokens per second for whole answers, with and without drafts, in one decode loop for each forward."""
    configure_libraries()
    from lacuna_lab.commands import bench as bench_command

    bench_command.answers(settings_module.load(**given), files, per_file, seed, llama_cpp or [], json)


@bench_app.command("steadiness")
@command
def bench_steadiness(
    given: Annotated[dict[str, Any], Given("model", "device", "dtype")],
    requests: Annotated[int, typer.Option(min=1, help="Requests during which memory is measured.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Random seed for files and positions.")] = 0,
    json: Json = False,
) -> None:
    """Measure the latency of edits during decoding, the latency of cancellation, and memory growth."""
    configure_libraries()
    from lacuna_lab.commands import bench as bench_command

    bench_command.steadiness(settings_module.load(**given), requests, seed, json)


@bench_app.command("lsp")
def bench_lsp(
    seconds: Annotated[float, typer.Option(min=0.1, help="Duration in seconds.")] = 60,
    rate: Annotated[float, typer.Option(min=1, help="Keys per second, over three documents.")] = 200,
    seed: Annotated[int, typer.Option(help="Random seed for keys and cancellations.")] = 0,
    json: Json = False,
) -> None:
    """Stress the server without a model: its own latency, one answer for each request, memory, correct texts."""
    configure_libraries()
    from lacuna_lab.commands import bench as bench_command

    bench_command.lsp(seconds, rate, seed, json)


@dataclass(frozen=True, slots=True)
class UserOptions:
    """How many users type, and for how long."""

    users: Annotated[list[int] | None, typer.Option(min=1, help="Number of users who type; repeatable.")] = None
    seconds: Annotated[float, typer.Option(min=1, help="Seconds for each number of users and each server.")] = 20
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds; the servers take turns.")] = 2
    batch: Annotated[int, typer.Option(min=1, help="Maximum requests in one batch, for Lacuna.")] = 8
    seed: Annotated[int, typer.Option(help="Random seed for files and keys.")] = 0


@bench_app.command("http")
@command
def bench_http(
    given: Annotated[dict[str, Any], Given("model", "family", "device")],
    typed: UserOptions,
    llama_cpp: LlamaCpp = None,
    transformers: Annotated[
        bool, typer.Option("--transformers", help="Also measure `transformers serve --continuous-batching`.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure `lacuna serve` and other servers with users who type: requests answered before the next key."""
    configure_libraries()
    from lacuna_lab.commands import bench_http as bench

    users = typed.users or (1, 4, 16, 64)
    plan = bench.HttpBenchPlan(users, typed.seconds, typed.rounds, typed.seed, typed.batch)
    bench.run(settings_module.load(**given), plan, llama_cpp or [], transformers, json)


@dataclass(frozen=True, slots=True)
class ModelBenchOptions:
    """What both are asked."""

    part: Annotated[
        list[str] | None,
        typer.Option(help="keys, first, holes, prompt, memory, decode, start or problems; repeatable; all by default."),
    ] = None
    file: Annotated[Path | None, typer.Option(help="File to type into; by default a held-out one.")] = None
    keys: Annotated[int, typer.Option(min=1, help="Keys that are typed into two lines.")] = 101
    seed: Annotated[int, typer.Option(help="Random seed for files and positions.")] = 0
    problems: Annotated[
        Path | None, typer.Option(help="Also fill the lines of HumanEval-SingleLineInfilling.jsonl.gz.")
    ] = None
    problems_count: Annotated[int, typer.Option(min=1, help="Use only the first problems, this many.")] = 200
    cache_reuse: Annotated[
        int, typer.Option(min=0, help="Least tokens of a chunk that llama.cpp moves in its KV cache; 0 for never.")
    ] = 256


@bench_app.command("model")
@command
def bench_model(
    model: Annotated[str, typer.Argument(help="A GGUF file, or the name of one from: lacuna models list.")],
    given: Annotated[dict[str, Any], Given("family", "device", "context", "max_tokens")],
    asked: ModelBenchOptions,
    out: Annotated[Path | None, typer.Option(help="Also write the table and JSON to this folder.")] = None,
    json: Json = False,
) -> None:
    """Compare Lacuna with llama.cpp's server on one GGUF file: typed keys, answers, prompts, memory, start."""
    configure_libraries()
    from lacuna_lab.commands import bench_model as bench

    plan = bench.ModelBenchPlan(
        asked.part or [], asked.file, asked.keys, asked.seed, asked.problems, asked.problems_count, asked.cache_reuse
    )
    bench.compare(settings_module.load(model=model, **given), plan, out, json)
