"""Command line of the pipeline: `python -m training STEP`. CONTRIBUTING.md lists the steps in order."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lacuna_lab.cli import command
from training.paths import DEFAULT_ROOT, RANKER, Paths

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Build the bundled model, step by step.")
Root = Annotated[Path, typer.Option(help="Folder for everything the steps write.")]


@app.command()
def corpus(root: Root = DEFAULT_ROOT) -> None:
    """Collect Python source from the standard library and the installed packages."""
    from training.corpus import collect

    paths = Paths(root)
    with logged(paths, "corpus") as result:
        report = collect(paths)
        result |= {"totals": report.totals, "left_out": report.left_out}


@app.command()
def tokenizer(root: Root = DEFAULT_ROOT) -> None:
    """Train the byte-level BPE tokenizer on the training part."""
    from training.tokenizer import train_tokenizer

    paths = Paths(root)
    with logged(paths, "tokenizer") as result:
        result["vocabulary"] = train_tokenizer(paths).get_vocab_size()


@dataclass(frozen=True, slots=True)
class StepOptions:
    """How a training step is done."""

    rows: Annotated[int, typer.Option(help="Rows of a batch.")] = 32
    length: Annotated[int, typer.Option(help="Tokens of a row.")] = 512
    muon_lr: Annotated[float, typer.Option(help="Learning rate of the matrices.")] = 0.01
    adam_lr: Annotated[float, typer.Option(help="Learning rate of embeddings and norms.")] = 0.0015
    compiled: Annotated[bool, typer.Option(help="Compile the step (needs a C++ compiler on a CPU).")] = True


@app.command()
@command
def train(
    until: Annotated[int, typer.Option(help="Stop when this many tokens were seen, earlier runs counted in.")],
    steps: StepOptions,
    decay: Annotated[int, typer.Option(help="Let the learning rate fall to zero over this many last tokens.")] = 0,
    target: Annotated[Path | None, typer.Option(help="Write here instead of over the checkpoint.")] = None,
    root: Root = DEFAULT_ROOT,
) -> None:
    """Train from the last checkpoint, or from scratch."""
    from training.train import TrainingPlan, train

    plan = TrainingPlan(until=until, decay=decay, **asdict(steps))
    paths = Paths(root)
    with logged(paths, "train") as result:
        result |= asdict(train(paths, plan, target))


@app.command()
def evaluate(
    source: Annotated[Path | None, typer.Option(help="Checkpoint to read instead of the last one.")] = None,
    context: Annotated[int, typer.Option(help="Context the model was trained on, in tokens.")] = 512,
    file_count: Annotated[int, typer.Option(help="Number of held-out files.")] = 40,
    per_file: Annotated[int, typer.Option(help="Holes of each kind per file.")] = 2,
    root: Root = DEFAULT_ROOT,
) -> None:
    """Evaluate a checkpoint as `lacuna eval` does, next to the model bundled now."""
    from lacuna_inference.models.loading.sources import configure_libraries
    from lacuna_lab.commands.evaluate import EvaluationPlan, evaluate_folder
    from training.export import export

    configure_libraries()
    paths, target = Paths(root), root / "evaluated"
    export(paths, source or paths.checkpoint, target, context)
    evaluate_folder(target, ["bundled"], EvaluationPlan((), file_count, per_file))


@app.command()
def ranker(
    target: Annotated[Path, typer.Option(help="File to write.")] = RANKER,
    file_count: Annotated[int, typer.Option(help="Files of the training part.")] = 6000,
    per_file: Annotated[int, typer.Option(help="Holes per file.")] = 8,
    root: Root = DEFAULT_ROOT,
) -> None:
    """Fit the ranker of fill candidates: `ranker.safetensors` in `lacuna_inference.in_file.candidates`."""
    from training.ranker import fit

    paths = Paths(root)
    with logged(paths, "ranker") as result:
        result |= {"file": str(target), "nats_per_hole_with_candidates": fit(paths, file_count, per_file, target)}


@app.command()
def export(
    target: Annotated[Path, typer.Option(help="Folder to write.")],
    source: Annotated[Path | None, typer.Option(help="Checkpoint to read instead of the last one.")] = None,
    context: Annotated[int, typer.Option(help="Context the model was trained on, in tokens.")] = 512,
    root: Root = DEFAULT_ROOT,
) -> None:
    """Write the model as a folder that transformers and Lacuna load."""
    from training.export import export

    paths = Paths(root)
    with logged(paths, "export") as result:
        result |= {"folder": str(target), **asdict(export(paths, source or paths.checkpoint, target, context))}


@app.command()
def gguf(
    target: Annotated[Path, typer.Option(help="File to write.")],
    source: Annotated[Path | None, typer.Option(help="Exported folder; the bundled model by default.")] = None,
    half: Annotated[bool, typer.Option(help="Write matrices in fp16 instead of fp32.")] = True,
) -> None:
    """Write an exported model as a GGUF file, for llama.cpp."""
    from lacuna_inference.models.loading.sources import bundled_folder
    from training.gguf_file import write_gguf

    write_gguf(source or bundled_folder(), target, half)
    typer.echo(f"{target}: {target.stat().st_size / 2**20:.0f} MiB")


@app.command()
def resume(
    source: Annotated[Path | None, typer.Option(help="Exported folder; the bundled model by default.")] = None,
    force: Annotated[bool, typer.Option(help="Overwrite an existing checkpoint.")] = False,
    root: Root = DEFAULT_ROOT,
) -> None:
    """Turn an exported model into a checkpoint, to continue training from it."""
    from lacuna_inference.models.loading.sources import bundled_folder
    from training.resume import resume

    paths = Paths(root)
    with logged(paths, "resume") as result:
        result |= asdict(resume(paths, source or bundled_folder(), force))


@contextmanager
def logged(paths: Paths, step: str) -> Iterator[dict[str, Any]]:
    """Prints and logs the start of `step`, its duration and its result. A user's mistake gives no traceback."""
    result: dict[str, Any] = {}
    start = time.time()
    paths.root.mkdir(parents=True, exist_ok=True)

    def log(**values: Any) -> None:
        line = json.dumps({"step": step, "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **values})
        typer.echo(line)
        with paths.steps_log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    log(began=True)
    try:
        yield result
    except (ValueError, OSError) as error:
        log(seconds=round(time.time() - start, 1), failed=str(error))
        raise typer.Exit(1) from error
    log(seconds=round(time.time() - start, 1), result=result)


if __name__ == "__main__":
    app()
