"""Contestants without a server: `generate()` for every key, llama.cpp with its plug-ins' requests, and CTranslate2.

They get the same windows of the same text, one key after the other, and only what they compute is timed.
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

Write = Callable[[list[int]], list[int]]
"""Prompt ids -> ids of the answer."""


class Peer:
    """A way to write behind prompts, with the tokenizer and the windows of a Lacuna model."""

    def __init__(
        self, tokenizer: PromptTokenizer, context: int, max_tokens: int, write: Write, suffix_last: bool = False
    ) -> None:
        self._tokenizer, self._context, self._max_tokens = tokenizer, context, max_tokens
        self._write, self._suffix_last = write, suffix_last

    def drive(self, session: TypingTrace) -> Run:
        """One key after the other, without pauses; a pause would change nothing for them."""
        process = psutil.Process()
        before = process.cpu_times()
        answers = [self._answer(session.name, key) for key in session.keys]
        after = process.cpu_times()
        cpu_s = after.user + after.system - before.user - before.system
        return Run(answers, cpu_s, process.memory_info().rss)

    def _answer(self, name: str, key: Key) -> TypedAnswer:
        started = time.perf_counter()
        ids = self._write(self._prompt(name, key))
        line = self._tokenizer.decode([i for i in ids if i not in self._tokenizer.ends]).split("\n")[0]
        return TypedAnswer(time.perf_counter() - started, key.gap_s, line, jumped=key.jumped)

    def _prompt(self, name: str, key: Key) -> list[int]:
        parts = (key.text[: key.cursor], key.text[key.cursor :])
        ids = list(
            plan(PromptSpec(parts, name, self._max_tokens, layout=Layout.CANONICAL), self._tokenizer, self._context).ids
        )
        return _suffix_last(ids, self._tokenizer) if self._suffix_last else ids


def by_generate(options: ModelOptions, max_tokens: int, whole: bool) -> Peer:
    """The way many begin: transformers' `generate()` from nothing for each key.

    `whole` as it is mostly called, with nothing but a `max_length`; else it ends with the line.
    """
    import torch

    from lacuna_inference.models.transformers_forward import TransformersForward

    loaded = assemble.load_model(replace(options, forward="transformers"), lambda *_: None)
    assert isinstance(loaded.forward, TransformersForward)
    text, model = loaded.decoder.tokenizer, loaded.forward.model
    ends = [*text.ends] if whole else [*text.ends, *text.newlines]

    def write(ids: list[int]) -> list[int]:
        prompt = torch.tensor([ids], device=loaded.device)
        with torch.inference_mode():
            written = model.generate(  # type: ignore[operator]
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=False,
                max_length=len(ids) + max_tokens,
                eos_token_id=ends,
            )
        return list(map(int, written[0, len(ids) :]))

    return Peer(text, loaded.decoder.context, max_tokens, write)


def by_ctranslate2(options: ModelOptions, folder: Path, max_tokens: int) -> Peer:
    """CTranslate2 with the same weights, converted; it reads every prompt from nothing.

    Raises BadRequest when it cannot be had.
    """
    try:
        import ctranslate2  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BadRequest("CTranslate2 is not installed.", "pip install ctranslate2, or leave it out.") from error
    if not (folder / "model.bin").is_file():
        raise BadRequest(f"{folder} is no model of CTranslate2.", "Write one: ct2-transformers-converter.")
    loaded = assemble.load_model(options, lambda *_: None)
    text = loaded.decoder.tokenizer
    names = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
    generator = ctranslate2.Generator(str(folder), compute_type=loaded.dtype, intra_threads=os.cpu_count() or 1)
    ends = sorted({*text.ends, *text.newlines})

    def write(ids: list[int]) -> list[int]:
        prompt = [names[token] for token in ids]
        found = generator.generate_batch(
            [prompt], max_length=max_tokens, include_prompt_in_result=False, end_token=ends
        )
        return list(found[0].sequences_ids[0])

    return Peer(text, loaded.decoder.context, max_tokens, write)


def by_llama_cpp(options: ModelOptions, file: Path, max_tokens: int, suffix_last: bool) -> Peer:
    """llama.cpp, which keeps the common beginning of two prompts.

    `suffix_last` lays the prompt out as llama.vim has it laid out: what is typed stands before the suffix.
    """
    loaded = assemble.load_model(options, lambda *_: None)
    text, context = loaded.decoder.tokenizer, loaded.decoder.context
    llama = llama_cpp.load(file, context)
    stops = {*text.ends, *text.newlines}

    def write(ids: list[int]) -> list[int]:
        written: list[int] = []
        for token in llama.generate(ids, temp=0.0, repeat_penalty=1.0):
            if token in stops or len(written) >= max_tokens:
                break
            written.append(token)
        return written

    return Peer(text, context, max_tokens, write, suffix_last)


def _suffix_last(ids: Sequence[int], tokenizer: PromptTokenizer) -> list[int]:
    """A suffix-first prompt of the bundled model with prefix and suffix exchanged, at the same length."""
    first, second, third = (tokenizer.sentinel(f"<|mask:{number}|>") for number in range(3))
    begin, middle, end = ids.index(first), ids.index(second), ids.index(third)
    return [*ids[:begin], *ids[middle + 1 : end], first, *ids[begin + 1 : middle], second, third]
