"""Command line of the pipeline: `python -m training corpus | tokenizer | train | export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.paths import DEFAULT_ROOT, Paths

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Make the bundled model, step by step.")
Root = Annotated[Path, typer.Option(help="Folder for everything the steps write.")]


@app.command()
def corpus(root: Root = DEFAULT_ROOT) -> None:
    """Collect Python source from the standard library and the installed packages."""
    from training.corpus import collect

    report = collect(Paths(root))
    typer.echo(f"{report.totals}\nleft out: {report.left_out}")


@app.command()
def tokenizer(root: Root = DEFAULT_ROOT) -> None:
    """Learn the byte-level BPE from the training part."""
    from training.tokenizer import train_tokenizer

    typer.echo(f"{train_tokenizer(Paths(root)).get_vocab_size()} tokens")


@app.command()
def train(
    until: Annotated[int, typer.Option(help="Stop when this many tokens were seen, earlier runs counted in.")],
    decay: Annotated[int, typer.Option(help="Let the learning rate fall to zero over so many last tokens.")] = 0,
    target: Annotated[Path | None, typer.Option(help="Write here instead of over the checkpoint.")] = None,
    rows: Annotated[int, typer.Option(help="Rows of a batch.")] = 32,
    length: Annotated[int, typer.Option(help="Tokens of a row.")] = 512,
    muon_lr: Annotated[float, typer.Option(help="Learning rate of the matrices.")] = 0.01,
    adam_lr: Annotated[float, typer.Option(help="Learning rate of embeddings and norms.")] = 0.0015,
    compiled: Annotated[bool, typer.Option(help="Compile the step (needs a C++ compiler on a CPU).")] = True,
    root: Root = DEFAULT_ROOT,
) -> None:
    """Train from the last checkpoint, or from nothing."""
    from training.train import Plan, train

    plan = Plan(until=until, decay=decay, rows=rows, length=length, muon_lr=muon_lr, adam_lr=adam_lr, compiled=compiled)
    typer.echo(train(Paths(root), plan, target))


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
    typer.echo(export(paths, source or paths.checkpoint, target, context))


@app.command()
def keep(root: Root = DEFAULT_ROOT) -> None:
    """Keep the last checkpoint's weights in the repository, to go on from them later."""
    from training.trunk import keep

    typer.echo(keep(Paths(root)))


@app.command()
def resume(root: Root = DEFAULT_ROOT) -> None:
    """Make a checkpoint of the weights that the repository keeps, and take over the bundled tokenizer."""
    from training.trunk import resume

    typer.echo(resume(Paths(root)))


if __name__ == "__main__":
    app()
