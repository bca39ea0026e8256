"""`lacuna bench model`: Lacuna and llama.cpp's server on one GGUF file; prints a table or JSON, and writes both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lacuna_inference.api import ModelOptions
from lacuna_inference.errors import BadRequest
from lacuna_lab.bench.model import figures, questions, rivals, run
from lacuna_lab.bench.model.parts import Part
from lacuna_lab.bench.model.rivals import Contestant, Lacuna, LlamaServer
from lacuna_lab.evaluation import files, problems
from lacuna_lab.evaluation.files import SourceFile
from lacuna_server.commands.show import stderr
from lacuna_server.settings import Settings

if TYPE_CHECKING:
    from lacuna_inference.models.loading.sources import ModelFolder

NAME = "model"
"""Base name of the files that are written."""
_TEXTS = 12
_F16_BYTES = 2
_KV_BYTES, _PACKED_BYTES = 2**29, 2**32
"""For what a restarted server has kept, as by default."""
_LONGEST = "max_position_embeddings"


@dataclass(frozen=True, slots=True)
class ModelBenchPlan:
    """What is measured: all parts if none is named; the file to type into, or one of the held-out files."""

    parts: Sequence[str]
    file: Path | None
    keys: int
    seed: int
    problems: Path | None
    problems_count: int
    cache_reuse: int


def compare(settings: Settings, plan: ModelBenchPlan, folder: Path | None, as_json: bool) -> None:
    """Measures and prints. Raises a LacunaError before measuring if the results could not be written."""
    from lacuna_inference.models.loading import sources

    if unknown := [name for name in plan.parts if name not in set(Part)]:
        raise BadRequest(f"There is no part called {unknown[0]!r}.", f"Known: {', '.join(Part)}.")
    options = settings.model_options()
    model = sources.find(options.model, options.revision)
    options = replace(options, context=min(options.context, model.config.get(_LONGEST, options.context)))
    if model.gguf is None:
        raise BadRequest(f"{settings.model} is not a GGUF file, which llama.cpp needs.", "Name one.")
    if folder is not None:
        _prepare(folder)
    if not rivals.is_installed():
        stderr.print(rivals.INSTALL)
    chosen = _chosen(settings, options.context, plan)
    with TemporaryDirectory() as folder_kept:
        starter = _Processes(options, model.path, plan.cache_reuse, Path(folder_kept))
        found = run.measure(chosen, starter, _sizes(model, options), stderr.print)
    content = {**_about(model, options, chosen), "figures": [figure.as_json() for figure in found]}
    lines = [*_sentences(content), "", *figures.table(found)]
    if folder is not None:
        _write(folder, content, lines)
    print(json.dumps(content, indent=1) if as_json else "\n".join(lines))  # noqa: T201


@dataclass(frozen=True, slots=True)
class _Processes:
    """Starts the contestants' processes."""

    options: ModelOptions
    file: Path
    cache_reuse: int
    kept: Path
    """For what Lacuna keeps between starts."""

    def lacuna(self, drafts: bool = True) -> Lacuna:
        return Lacuna(self.options if drafts else replace(self.options, draft_tokens=0))

    def restarted_lacuna(self) -> Lacuna:
        options = replace(self.options, kv_cache_folder=self.kept / "kv", kv_cache_disk_bytes=_KV_BYTES)
        return Lacuna(replace(options, packed_folder=self.kept / "weights", packed_disk_bytes=_PACKED_BYTES))

    def peer(self) -> Contestant | None:
        if not rivals.is_installed():
            return None
        return LlamaServer(self.file, self.options.context, self.cache_reuse, self.options.device != "cpu")


def _chosen(settings: Settings, context: int, plan: ModelBenchPlan) -> run.Plan:
    texts = files.held_out(_TEXTS, plan.seed)
    typed = _named(plan.file) if plan.file else _longest_lines(texts, plan.keys)
    keys = questions.typed_keys(typed, plan.keys, settings.max_tokens)
    if not keys:
        raise BadRequest(f"{typed.name} has no two lines of code.", "Name another with --file.")
    tasks = problems.read(plan.problems)[: plan.problems_count] if plan.problems else []
    wanted = frozenset(map(Part, plan.parts or Part)) - (frozenset() if tasks else {Part.PROBLEMS})
    return run.Plan(wanted, keys, texts, context, tasks, settings.max_tokens, plan.seed)


def _named(path: Path) -> SourceFile:
    (found,) = files.any_text([path])
    return found


def _longest_lines(texts: Sequence[SourceFile], keys: int) -> SourceFile:
    """The first file in which all keys are typed among whole windows, or else any."""
    for file in texts:
        first, lines = questions.two_lines(file.text, keys), file.text.count("\n")
        if first is not None and questions.LINES_BEFORE <= first < lines - questions.LINES_AFTER:
            return file
    return texts[0]


def _sizes(model: ModelFolder, options: ModelOptions) -> run.Sizes:
    config = model.config
    heads = int(config.get("num_key_value_heads") or config["num_attention_heads"])
    head_dim = int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])
    kv_token = 2 * int(config["num_hidden_layers"]) * heads * head_dim * _F16_BYTES
    return run.Sizes(sum(path.stat().st_size for path in model.weight_files), kv_token * options.context)


def _about(model: ModelFolder, options: ModelOptions, plan: run.Plan) -> dict[str, Any]:
    first = plan.keys[0].question
    return {
        "model": model.path.name,
        "device": options.device,
        "context": options.context,
        "cores": rivals.cores(),
        "typed_into": first.path,
        "keys": len(plan.keys),
        "peer": rivals.version(),
    }


def _sentences(about: dict[str, Any]) -> list[str]:
    peer = f"llama.cpp's server (xllamacpp {about['peer']})" if about["peer"] else "nothing else"
    return [
        f"{about['model']}, {about['cores']} cores, context {about['context']}: Lacuna and {peer}, each in a process "
        f"of its own, in turns. {about['keys']} keys typed into two lines of {about['typed_into']}, one line greedily. "
        "A ratio above 1 says that Lacuna is better."
    ]


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(f"{folder} cannot be created: {error.strerror or error}.", "Name another folder.") from error


def _write(folder: Path, content: dict[str, Any], lines: Sequence[str]) -> None:
    try:
        (folder / f"{NAME}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / f"{NAME}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BadRequest(
            f"{folder} cannot be written to: {error.strerror or error}.", "Name another folder."
        ) from error
    stderr.print(f"wrote {folder / NAME}.md and .json")
