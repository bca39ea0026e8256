"""Lacuna's engine as a program: a question is a line of JSON on stdin, an answer one on stdout.

It uses the public API of the engine, with the requests that the language server makes.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from lacuna_inference.api import ModelOptions, Phase, Raw, Request, Stop, TokenizeOptions
from lacuna_inference.engine.assemble import LoadedModel, load_model
from lacuna_inference.engine.engine import ModelEngine, Progress
from lacuna_inference.forward import PREFILL_CHUNK, exporting
from lacuna_inference.models.loading.sources import configure_libraries
from lacuna_lab.bench.model.child import say_ready
from lacuna_lab.bench.model.questions import Question
from lacuna_server.stdio import guard

_WARM_UP = Request(("",), tokenize=TokenizeOptions())


def main(arguments: list[str]) -> None:
    """Answers until stdin ends. The only argument are the `ModelOptions` as JSON."""
    source, target = guard()
    configure_libraries()
    options = _options(json.loads(arguments[0]))
    loaded: list[LoadedModel] = []
    engine = ModelEngine(options, partial(_load, options, loaded))
    engine.submit(_WARM_UP).result()
    if engine.state.phase is not Phase.WARM:
        sys.exit(engine.state.message)
    facts = engine.state.facts
    _write(target, say_ready(context=facts.context, dtype=facts.dtype, family=facts.family))
    for line in source:
        _write(target, json.dumps(_answer(engine, loaded[0], json.loads(line))))
    engine.close()


def _options(given: dict[str, Any]) -> ModelOptions:
    """`ModelOptions` from what JSON made of them."""
    folders = {name: Path(given[name]) for name in ("kv_cache_folder", "packed_folder") if given[name] is not None}
    return ModelOptions(**{**given, "devices": tuple(given["devices"]), **folders})


def _load(options: ModelOptions, loaded: list[LoadedModel], progress: Progress) -> LoadedModel:
    loaded.append(load_model(options, progress))
    return loaded[0]


def _write(target: BinaryIO, line: str) -> None:
    target.write(line.encode() + b"\n")
    target.flush()


def _answer(engine: ModelEngine, model: LoadedModel, asked: dict[str, Any]) -> dict[str, Any]:
    if "tokenize" in asked:
        request = Request((asked["tokenize"],), raw=Raw.YES, tokenize=TokenizeOptions())
        tokens = engine.submit(request).result().prompt_logprobs
        return {"ids": [token.id for token in tokens]}
    if "kv" in asked:
        return {"bytes": _kv_bytes(model, asked["kv"]), "held": model.decoder.caches.kv_nbytes}
    result = engine.submit(request_of(Question(**{**asked, "ids": tuple(asked["ids"])}))).result()
    metrics = result.metrics
    return {
        "text": result.candidates[0].text,
        "read": metrics.prompt_tokens - metrics.reused_tokens,
        "read_s": metrics.first_token_s,
        "evaluated": metrics.evaluated_tokens,
        "decoded": max(0, metrics.generated_tokens - 1),
        "decode_s": metrics.total_s - metrics.first_token_s if metrics.generated_tokens > 1 else 0.0,
    }


def request_of(question: Question) -> Request:
    """The request that the language server would make. Nothing is prefetched: no time passes between two questions."""
    stop = Stop(question.max_tokens, single_line=question.single_line)
    document = question.document or None
    if question.ids:
        return Request(("",), stop=replace(stop, single_line=False), ids=question.ids)
    narrow = question.may_be_narrow
    return Request((question.prefix, question.suffix), question.path, stop, document_id=document, may_be_narrow=narrow)


def _kv_bytes(model: LoadedModel, tokens: int) -> int:
    """Bytes of a KV cache that has read `tokens` tokens. The engine's thread may be using the model meanwhile."""
    assert model.forward is not None
    if (forward := exporting(model.forward)) is not None:
        return math.prod(forward.kv_shape(tokens)) * forward.kv_dtype.itemsize
    kv_cache = model.forward.new_kv_cache()
    for start in range(0, tokens, PREFILL_CHUNK):
        model.forward.step([1] * min(PREFILL_CHUNK, tokens - start), kv_cache)
    return int(kv_cache.nbytes)


if __name__ == "__main__":
    main(sys.argv[1:])
