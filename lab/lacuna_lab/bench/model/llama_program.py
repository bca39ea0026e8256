"""llama.cpp's own server from the package xllamacpp, as a program that ends with its stdin."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from lacuna_lab.bench.model.child import say_ready
from lacuna_lab.bench.model.questions import N_PREDICT
from lacuna_server.stdio import guard


def main(arguments: list[str]) -> None:
    """Serves a GGUF file on loopback. The arguments are those of `_serve`."""
    source, target = guard()
    server = _serve(arguments[0], *map(int, arguments[1:]))
    target.write(say_ready(url=server.listening_address).encode() + b"\n")
    target.flush()
    source.read()


def _serve(file: str, context: int, threads: int, cache_reuse: int, gpu: int) -> Any:
    """The running server: `context` and the least chunk of `cache_reuse` in tokens; `gpu` is 0 to use none."""
    xllamacpp: Any = import_module("xllamacpp")  # has no types, and is missing in most installations
    parameters = xllamacpp.CommonParams()
    parameters.model.path = file
    parameters.n_ctx, parameters.n_parallel, parameters.port = context, 1, 0
    # /infill cuts what is around a hole to a batch, and refuses what is then longer than the context
    parameters.n_batch = min(parameters.n_batch, max(context // 2, context - N_PREDICT))
    parameters.n_cache_reuse = cache_reuse
    if not gpu:
        parameters.n_gpu_layers = 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    return xllamacpp.Server(parameters)


if __name__ == "__main__":
    main(sys.argv[1:])
