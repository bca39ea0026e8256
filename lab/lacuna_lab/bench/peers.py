"""Contestants without a server: `generate()` for every keystroke, llama.cpp as its plug-ins use it, and CTranslate2.

They get the same windows of the same text, keystroke by keystroke, and only their computation is timed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from lacuna_inference.api import ModelOptions
from lacuna_inference.engine import assemble
from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt.families import Layout
from lacuna_inference.prompt.planner import PromptSpec, plan
from lacuna_inference.prompt.tokenizer import PromptTokenizer
from lacuna_lab.bench import llama_cpp
from lacuna_lab.bench.typing_bench import Run, TypedAnswer
from lacuna_lab.bench.typing_trace import Key, TypingTrace

Generate = Callable[[list[int]], list[int]]
"""Prompt ids -> generated ids."""


class Peer:
    """Another engine, used with the tokenizer and the windows of a Lacuna model."""

    def __init__(
        self, tokenizer: PromptTokenizer, context: int, max_tokens: int, generate: Generate, suffix_last: bool = False
    ) -> None:
        self._tokenizer, self._context, self._max_tokens = tokenizer, context, max_tokens
        self._generate, self._suffix_last = generate, suffix_last

    def drive(self, session: TypingTrace) -> Run:
        """Answers keystroke by keystroke, without pauses, which would change nothing for these engines."""
        process = psutil.Process()
        before = process.cpu_times()
        answers = [self._answer(session.name, key) for key in session.keys]
        after = process.cpu_times()
        cpu_s = after.user + after.system - before.user - before.system
        return Run(answers, cpu_s, process.memory_info().rss)

    def _answer(self, name: str, key: Key) -> TypedAnswer:
        started = time.perf_counter()
        ids = self._generate(self._prompt(name, key))
        line = self._tokenizer.decode([i for i in ids if i not in self._tokenizer.ends]).split("\n")[0]
        return TypedAnswer(time.perf_counter() - started, key.gap_s, line, jumped=key.jumped)

    def _prompt(self, name: str, key: Key) -> list[int]:
        parts = (key.text[: key.cursor], key.text[key.cursor :])
        ids = list(
            plan(PromptSpec(parts, name, self._max_tokens, layout=Layout.CANONICAL), self._tokenizer, self._context).ids
        )
        return _suffix_last(ids, self._tokenizer) if self._suffix_last else ids


def by_generate(options: ModelOptions, max_tokens: int, whole: bool) -> Peer:
    """transformers' `generate()`, from scratch for each keystroke.

    With `whole` it is called as usual, with a `max_length` only; otherwise it also stops at the end of the line.
    """
    import torch

    from lacuna_inference.models.transformers_forward import TransformersForward

    loaded = assemble.load_model(replace(options, forward="transformers"), lambda *_: None)
    assert isinstance(loaded.forward, TransformersForward)
    tokenizer, model = loaded.decoder.tokenizer, loaded.forward.model
    ends = [*tokenizer.ends] if whole else [*tokenizer.ends, *tokenizer.newlines]

    def generate(ids: list[int]) -> list[int]:
        prompt = torch.tensor([ids], device=loaded.device)
        with torch.inference_mode():
            output = model.generate(  # type: ignore[operator]
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=False,
                max_length=len(ids) + max_tokens,
                eos_token_id=ends,
            )
        return list(map(int, output[0, len(ids) :]))

    return Peer(tokenizer, loaded.decoder.context, max_tokens, generate)


def by_ctranslate2(options: ModelOptions, folder: Path, max_tokens: int) -> Peer:
    """CTranslate2 with the same weights, converted. It evaluates every prompt from scratch.

    Raises BadRequest if the library or the model is missing.
    """
    try:
        import ctranslate2  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BadRequest("CTranslate2 is not installed.", "Run pip install ctranslate2, or omit it.") from error
    if not (folder / "model.bin").is_file():
        raise BadRequest(f"{folder} is not a CTranslate2 model.", "Write one with ct2-transformers-converter.")
    loaded = assemble.load_model(options, lambda *_: None)
    tokenizer = loaded.decoder.tokenizer
    names = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
    generator = ctranslate2.Generator(str(folder), compute_type=loaded.dtype, intra_threads=os.cpu_count() or 1)
    ends = sorted({*tokenizer.ends, *tokenizer.newlines})

    def generate(ids: list[int]) -> list[int]:
        prompt = [names[token] for token in ids]
        results = generator.generate_batch(
            [prompt], max_length=max_tokens, include_prompt_in_result=False, end_token=ends
        )
        return list(results[0].sequences_ids[0])

    return Peer(tokenizer, loaded.decoder.context, max_tokens, generate)


def by_llama_cpp(options: ModelOptions, file: Path, max_tokens: int, suffix_last: bool) -> Peer:
    """llama.cpp, which reuses the common prefix of two prompts.

    `suffix_last` uses the prompt layout of llama.vim, with the prefix before the suffix.
    """
    loaded = assemble.load_model(options, lambda *_: None)
    tokenizer, context = loaded.decoder.tokenizer, loaded.decoder.context
    llama = llama_cpp.load(file, context)
    stops = {*tokenizer.ends, *tokenizer.newlines}

    def generate(ids: list[int]) -> list[int]:
        generated: list[int] = []
        for token in llama.generate(ids, temp=0.0, repeat_penalty=1.0):
            if token in stops or len(generated) >= max_tokens:
                break
            generated.append(token)
        return generated

    return Peer(tokenizer, context, max_tokens, generate, suffix_last)


def _suffix_last(ids: Sequence[int], tokenizer: PromptTokenizer) -> list[int]:
    """A suffix-first prompt of the bundled model with prefix and suffix swapped, at the same length."""
    first, second, third = (tokenizer.sentinel(f"<|mask:{number}|>") for number in range(3))
    begin, middle, end = ids.index(first), ids.index(second), ids.index(third)
    return [*ids[:begin], *ids[middle + 1 : end], first, *ids[begin + 1 : middle], second, third]
