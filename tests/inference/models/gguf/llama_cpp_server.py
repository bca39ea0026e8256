"""llama.cpp's ids of texts, from a server on loopback with a tiny model that has another model's tokenizer."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gguf_files import write_gguf


class LlamaCpp:
    """Runs llama.cpp in this process. Needs the package xllamacpp."""

    def __init__(self, metadata: Mapping[str, Any], folder: Path) -> None:
        import xllamacpp

        tokenizer = {key: value for key, value in metadata.items() if key.startswith("tokenizer.ggml.")}
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(write_gguf(folder / "tiny.gguf", tokenizer, with_model=True))
        parameters.n_ctx, parameters.n_parallel, parameters.port, parameters.warmup = 512, 1, 0, False
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
        self._server = xllamacpp.Server(parameters)
        self._connection = http.client.HTTPConnection(self._server.listening_address.removeprefix("http://"))

    def ids(self, text: str, special: bool) -> list[int]:
        """The ids of `text`; with `special`, those of whole prompts: with BOS, and with control tokens recognized."""
        body = json.dumps({"content": text, "add_special": special, "parse_special": special})
        self._connection.request("POST", "/tokenize", body, {"Content-Type": "application/json"})
        tokens: list[int] = json.load(self._connection.getresponse())["tokens"]
        return tokens
