"""The training loop: resumable, seeded, logged. One process, CPU or one GPU, bfloat16 products over fp32 weights."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from training.batches import Batch, batches, prefetched
from training.corpus import read_documents
from training.model import Model, Shape, loss_of
from training.optim import optimizers, schedule
from training.paths import Paths


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """The parameters of one call of `train`. Lengths are in tokens, times in seconds."""

    until: int
    decay: int = 0
    rows: int = 32
    length: int = 512
    muon_lr: float = 0.01
    adam_lr: float = 0.0015
    warm_up: int = 300_000
    seed: int = 1
    compiled: bool = True
    save_every: float = 240.0
    report_every: int = 20
    validate_every: int = 100
    validation_batches: int = 4


@dataclass(slots=True)
class Progress:
    """How far the weights have been trained; stored in the checkpoint and with the exported model."""

    tokens: int = 0
    seconds: float = 0.0
    resumes: int = 0
    since_warm_up: int = 0


def train(paths: Paths, plan: TrainingPlan, target: Path | None = None, shape: Shape | None = None) -> Progress:
    """Trains from `paths.checkpoint`, or from scratch, until `plan.until` tokens were seen.

    With `plan.decay`, the learning rate decays to zero over the last `decay` tokens. The result is written to `target`
    (by default the checkpoint that training started from) at the end, every `save_every` seconds, and on SIGTERM or
    SIGINT. An interrupted call from the same checkpoint to the same `target` is continued.
    Raises ValueError for rows that are longer than the model's context.
    """
    target = target or paths.checkpoint
    start, branch = _start(paths, target, plan)
    torch.manual_seed(plan.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, optims, progress = _restored(start, plan, shape, device)
    if plan.length > model.shape.context:
        raise ValueError(f"rows of {plan.length} tokens are longer than the context of {model.shape.context}")
    validation = _validation(paths, plan)
    loss_function = _loss_function(plan, device)
    with closing(_stream(paths, plan, progress)) as stream, _stop_signals() as stopping:
        clock, saved, steps, losses = time.monotonic(), time.monotonic(), 0, []
        first_tokens = progress.tokens
        while progress.tokens < plan.until and not stopping:
            factor = _factor(plan, progress)
            loss = _step(model, optims, loss_function, next(stream), factor, device)
            losses.append(loss)
            steps += 1
            progress.tokens += plan.rows * plan.length
            progress.since_warm_up += plan.rows * plan.length
            now = time.monotonic()
            if steps % plan.report_every == 0 or steps == 1:
                speed = (progress.tokens - first_tokens) / (now - clock)
                record = {
                    "tokens": progress.tokens,
                    "loss": sum(losses) / len(losses),
                    "factor": factor,
                    "tokens_per_s": speed,
                }
                losses.clear()
                if steps % plan.validate_every == 0:
                    record["held_out"] = _validate(model, loss_function, validation, device)
                _report(paths.log, record)
            if now - saved > plan.save_every:
                progress.seconds += now - saved
                saved = now
                save(target, model, optims, progress, branch)
        progress.seconds += time.monotonic() - saved
        _report(paths.log, {"tokens": progress.tokens, "held_out": _validate(model, loss_function, validation, device)})
        save(target, model, optims, progress, branch)
    return progress


def save(
    target: Path,
    model: Model,
    optims: tuple[torch.optim.Optimizer, ...],
    progress: Progress,
    branch: Sequence[int] = (),
) -> None:
    """Writes a checkpoint to a temporary file and renames it, so that an interruption leaves a valid checkpoint.

    `branch` identifies the call that wrote it, if `target` is not the main checkpoint.
    """
    state = {
        "shape": asdict(model.shape),
        "model": model.state_dict(),
        "optimizers": [o.state_dict() for o in optims],
        "progress": asdict(progress),
        "branch": list(branch),
    }
    temporary = target.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(target)


def load(source: Path) -> tuple[Model, Progress, dict[str, Any]]:
    """The model, the progress and the whole content of checkpoint `source`."""
    state = torch.load(source, map_location="cpu", weights_only=True)
    model = Model(Shape(**state["shape"]))
    model.load_state_dict(state["model"])
    return model, Progress(**state["progress"]), state


def _start(paths: Paths, target: Path, plan: TrainingPlan) -> tuple[Path, Sequence[int]]:
    """The checkpoint to start from, and what distinguishes this call from others with the same target."""
    if target == paths.checkpoint or not paths.checkpoint.exists():
        return target, ()
    branch = [load(paths.checkpoint)[1].tokens, plan.until, plan.decay]
    interrupted = target.exists() and load(target)[2].get("branch") == branch
    return (target if interrupted else paths.checkpoint), branch


def _restored(
    start: Path, plan: TrainingPlan, shape: Shape | None, device: str
) -> tuple[Model, tuple[torch.optim.Optimizer, ...], Progress]:
    if not start.exists():
        model = Model(shape or Shape()).to(device)
        return model, optimizers(model, plan.muon_lr, plan.adam_lr), Progress()
    model, progress, state = load(start)
    model.to(device)
    optims = optimizers(model, plan.muon_lr, plan.adam_lr)
    progress.resumes += 1
    if len(state["optimizers"]) == len(optims):
        for optim, optim_state in zip(optims, state["optimizers"], strict=True):
            optim.load_state_dict(optim_state)  # includes the saved run's rates, which the plan's replace
        for optim, rate in zip(optims, (plan.muon_lr, plan.adam_lr), strict=True):
            for group in optim.param_groups:
                group["base_lr"] = rate
    else:  # only weights, as from an exported model: the momenta start from zero, so warm up again
        progress.since_warm_up = 0
    return model, optims, progress


def _stream(paths: Paths, plan: TrainingPlan, progress: Progress) -> Generator[Batch, None, None]:
    tokenizer = Tokenizer.from_file(str(paths.tokenizer))
    documents = list(read_documents(paths.train_corpus))
    return prefetched(batches(documents, tokenizer, plan.rows, plan.length, plan.seed + 1000 * progress.resumes))


def _validation(paths: Paths, plan: TrainingPlan) -> list[Batch]:
    tokenizer = Tokenizer.from_file(str(paths.tokenizer))
    documents = list(read_documents(paths.held_out_corpus))
    return list(islice(batches(documents, tokenizer, plan.rows, plan.length, seed=7), plan.validation_batches))


def _loss_function(plan: TrainingPlan, device: str) -> Any:
    def function(model: Model, ids: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16):
            return loss_of(model, model.embedding.weight, ids, targets, weights)

    return torch.compile(function) if plan.compiled else function


def _factor(plan: TrainingPlan, progress: Progress) -> float:
    warm = min(1.0, (progress.since_warm_up + 1) / plan.warm_up)
    return min(warm, schedule(progress.tokens, 0, plan.until - plan.decay, plan.until) if plan.decay else 1.0)


def _step(
    model: Model,
    optims: tuple[torch.optim.Optimizer, ...],
    loss_function: Any,
    batch: Batch,
    factor: float,
    device: str,
) -> float:
    loss = loss_function(model, *(tensor.to(device, non_blocking=True) for tensor in batch))
    loss.backward()
    nn.utils.clip_grad_norm_([model.embedding.weight], 1.0)
    for optim in optims:
        for group in optim.param_groups:
            group["lr"] = factor * group.setdefault("base_lr", group["lr"])
        optim.step()
        optim.zero_grad()
    return float(loss.detach())


@torch.no_grad()
def _validate(model: Model, loss_function: Any, validation: list[Batch], device: str) -> float:
    losses = [float(loss_function(model, *(tensor.to(device) for tensor in batch))) for batch in validation]
    return sum(losses) / len(losses)


def _report(log: Path, record: dict[str, float]) -> None:
    record = {key: round(value, 4) for key, value in record.items()}
    print(json.dumps(record), flush=True)
    with log.open("a") as file:
        file.write(json.dumps(record) + "\n")


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Yields a list that is empty until the process receives a stop signal."""
    received: list[int] = []
    signals = (signal.SIGTERM, signal.SIGINT)
    previous = [signal.signal(number, lambda n, _: received.append(n)) for number in signals]
    try:
        yield received
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)
