"""llama.cpp as a forward writes what its own server writes."""

from __future__ import annotations

import json
import os
import random
from contextlib import closing
from pathlib import Path

import pytest

from lacuna_inference.api import ModelOptions, Raw, Request, Stop, TokenizeOptions
from lacuna_inference.engine.engine import ModelEngine
from lacuna_lab.bench.model.questions import Question
from lacuna_lab.bench.model.rivals import LlamaServer

CODER = Path(os.environ.get("LACUNA_MODELS") or ".models") / "qwen2.5-coder-0.5b.gguf"
HOW = "python tests/models/fetch.py FOLDER, then make test-models FOLDER=FOLDER"
HOLES = int(os.environ.get("LACUNA_HOLES") or 6)
CONTEXT, ANSWER_TOKENS, AROUND = 512, 24, 400
"""Tokens of the context and of an answer, and code points around a hole."""
PREFIX, SUFFIX, MIDDLE = "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"

pytestmark = [
    pytest.mark.models,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not CODER.is_file(), reason=f"no real models are named: {HOW}"),
]


def prompts(count: int) -> list[str]:
    """Places in the standard library where a line was cut off in its middle."""
    rng, found = random.Random(count), list[str]()
    files = sorted(Path(json.__file__).parent.parent.glob("*.py"))
    while len(found) < count:
        text = rng.choice(files).read_text(encoding="utf-8", errors="ignore")
        lines = [line for line in text.splitlines(keepends=True) if len(line.strip()) > 20]
        if not lines:
            continue
        line = rng.choice(lines)
        at = text.index(line) + rng.randrange(len(line) - len(line.lstrip()), len(line) - 1)
        end = text.index("\n", at)
        before, after = text[max(0, at - AROUND) : at], text[end : end + AROUND]
        found.append(f"{PREFIX}{before}{SUFFIX}{after}{MIDDLE}")
    return found


def tokens_of(engine: ModelEngine, prompt: str) -> tuple[int, ...]:
    result = engine.submit(Request((prompt,), raw=Raw.YES, tokenize=TokenizeOptions())).result(300)
    return tuple(token.id for token in result.prompt_logprobs if token.id is not None)


@pytest.mark.parametrize("drafts", [0, None], ids=["without drafts", "with drafts"])
def test_greedy_answers_are_those_of_llama_cpps_server(drafts: int | None) -> None:
    pytest.importorskip("xllamacpp")
    options = ModelOptions(str(CODER), device="cpu", context=CONTEXT, forward="llama.cpp", draft_tokens=drafts)
    engine = ModelEngine(options)
    engine.start()
    differing = list[tuple[str, str]]()
    with closing(engine), closing(LlamaServer(CODER, CONTEXT)) as server:
        for prompt in prompts(HOLES):
            ids = tokens_of(engine, prompt)
            request = Request(("",), stop=Stop(ANSWER_TOKENS), ids=ids)
            ours = engine.submit(request).result(300).candidates[0].text
            theirs = server.ask(Question(ids=ids, max_tokens=ANSWER_TOKENS)).text
            differing += [] if ours == theirs else [(ours, theirs)]
    assert len(differing) <= max(1, 0.05 * HOLES), differing  # drafts and ties may change one
