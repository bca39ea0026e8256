"""Helpers for the tests: a cursor mark in the text, small tokenizers, tiny models, a scripted backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from lacuna_inference.api import ModelFacts
from lacuna_inference.cache.pool import PrefixCachePool
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.engine.assemble import LoadedModel
from lacuna_inference.forward import Step
from lacuna_inference.prompt.families import Family, by_name
from lacuna_inference.prompt.tokenizer import PromptTokenizer
from lacuna_server.core.snapshot import Snapshot

MARK = "|"


def at_cursor(marked: str, path: str | None = "test.py") -> Snapshot:
    """A snapshot of `marked` with the cursor at its only MARK."""
    assert marked.count(MARK) == 1, f"one cursor mark, please: {marked!r}"
    offset = marked.index(MARK)
    return Snapshot(marked.replace(MARK, ""), offset, path, "test", language="python", uri_path=path or "")


def byte_tokenizer(special: Sequence[str] = (), merges: Sequence[str] = (), words: bool = False) -> Tokenizer:
    """Byte-level tokenizer: ids 0 to 255 are the bytes in the order of ByteLevel's alphabet, then merges, then special.

    Each of `merges` is two byte-level symbols with a blank between them, as in a merges file. With `words` a text is
    split into words first, as GPT-2's tokenizer does.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: number for number, symbol in enumerate(alphabet)}
    pairs = []
    for merge in merges:
        left, right = merge.split(" ")
        pairs.append((left, right))
        vocabulary[left + right] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def family_text(name: str, extra: Sequence[str] = (), words: bool = False) -> PromptTokenizer:
    """A family with a byte tokenizer that has its sentinels and, for causal masking, the first four masks."""
    family = by_name(name)
    masks = [family.mask(i) for i in range(4)] if family.mask else []
    special = list(dict.fromkeys([*family.sentinels, *masks, *family.ends, *extra]))
    return PromptTokenizer(byte_tokenizer(special, words=words), family)


@dataclass
class ScriptedCache:
    """A cache of tokens. `rolls_back` says whether it can."""

    rolls_back: bool = True
    tokens: list[int] = field(default_factory=list)
    nbytes: int = 1000

    @property
    def length(self) -> int:
        return len(self.tokens)

    def rollback(self, length: int) -> int:
        del self.tokens[length if self.rolls_back else 0 :]
        return len(self.tokens)


@dataclass
class ScriptedForward:
    """A `Forward` that makes the token that `script` names for the tokens so far the likeliest.

    `on_step` is called with the number of the step after its tokens are in the cache; it may raise or cancel.
    """

    vocabulary: int
    script: Callable[[list[int]], int]
    on_step: Callable[[int], None] = lambda _: None
    rolls_back: bool = True
    max_draft_tokens: int = 0
    kv_caches: list[ScriptedCache] = field(default_factory=list)
    steps: int = 0
    widths: list[int] = field(default_factory=list)
    batches: bool = True
    passes: list[int] = field(default_factory=list)

    @property
    def tokens(self) -> list[int]:
        """The tokens of the latest KV cache."""
        return self.kv_caches[-1].tokens

    def new_kv_cache(self) -> ScriptedCache:
        self.kv_caches.append(ScriptedCache(self.rolls_back))
        return self.kv_caches[-1]

    def step_batch(self, steps: Sequence[Step]) -> list[torch.Tensor] | None:
        """One forward pass when `batches` is on; the number of steps of each pass is recorded."""
        if not self.batches:
            return None
        self.passes.append(len(steps))
        return [self.step(step.ids, step.kv_cache, step.n_logits) for step in steps]

    def step(self, ids: Sequence[int], kv_cache: ScriptedCache, n_logits: int = 1) -> torch.Tensor:
        self.steps += 1
        self.widths.append(len(ids))
        logits = torch.zeros(n_logits, self.vocabulary)
        kv_cache.tokens += ids
        for row in range(n_logits):
            length = len(kv_cache.tokens) - n_logits + row + 1
            logits[row, self.script(kv_cache.tokens[:length])] = 10.0
        self.on_step(self.steps)
        return logits


def until(happened: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Waits until `happened`; fails after `limit_s` seconds."""
    end = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def scripted_decoder(
    fill: str,
    family: str = "incoder",
    on_step: Callable[[int], None] = lambda _: None,
    max_draft_tokens: int = 0,
    otherwise: str = "",
) -> Decoder:
    """A decoder whose model writes `fill` after the last sentinel and then closes the hole; `otherwise`
    where it must begin with another token, after that.

    It knows nothing of a healed prefix: let the text before the hole end with a line end, or `fill` begin with
    that line.
    """
    text = family_text(family)
    end = min(text.ends) if text.family.name != "incoder" else text.sentinel("<|endofmask|>")
    answer, other = [*text.encode(fill), end], [end, *text.encode(otherwise), end]
    masks = [text.sentinel(text.family.mask(i)) for i in range(4)] if text.family.mask else []
    masks += [text.sentinel(piece) for piece in text.family.infill or () if isinstance(piece, str)]

    def script(tokens: list[int]) -> int:
        hole = max((number for number, token in enumerate(tokens) if token in masks), default=0)
        written = tokens[hole + 1 :]
        ids = other if otherwise and written[:1] not in ([], answer[:1]) else answer
        return ids[min(len(written), len(ids) - 1)]

    return Decoder(PrefixCachePool(ScriptedForward(text.size, script, on_step)), text, 512, max_draft_tokens)


def echoing_decoder() -> Decoder:
    """A decoder whose model repeats the first letter of the text forever."""
    text = family_text("incoder")
    special = set(range(256, text.size))
    newline = text.encode("\n")[0]

    def script(tokens: list[int]) -> int:
        return next((token for token in tokens if token not in special and token != newline), newline)

    return Decoder(PrefixCachePool(ScriptedForward(text.size, script)), text, 512)


def loaded(decoder: Decoder, family: Family | None = None) -> LoadedModel:
    text = decoder.tokenizer
    facts = ModelFacts(text.family.name, "llama", 1_500_000, 6_000_000, "float32", decoder.context, text.size)
    return LoadedModel(decoder, "scripted", family or text.family, "cpu", "float32", facts=facts)


_LLAMA_SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
}
_GRANITE = {
    "embedding_multiplier": 3.0,
    "attention_multiplier": 0.15,
    "residual_multiplier": 0.4,
    "logits_scaling": 1.6,
}
TINY: dict[str, dict[str, Any]] = {
    "codegen": {"n_embd": 64, "n_layer": 2, "n_head": 4, "rotary_dim": 8, "n_positions": 128, "n_ctx": 128},
    "xglm": {"d_model": 64, "num_layers": 2, "attention_heads": 4, "ffn_dim": 128, "max_position_embeddings": 128},
    "llama": _LLAMA_SHAPE,
    "mistral": {**_LLAMA_SHAPE, "head_dim": 24},
    "qwen2": _LLAMA_SHAPE,
    "qwen3": {**_LLAMA_SHAPE, "head_dim": 24},
    "granite": {**_LLAMA_SHAPE, **_GRANITE},
    "granitemoehybrid": {
        **_LLAMA_SHAPE, **_GRANITE, "num_local_experts": 0, "layer_types": ["full_attention"] * 2,
        "shared_intermediate_size": 96, "position_embedding_type": "rope", "mamba_n_heads": 8,
    },
    "gemma": {**_LLAMA_SHAPE, "head_dim": 24},
    "starcoder2": _LLAMA_SHAPE,
    "gpt_bigcode": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "gpt_neox": {**_LLAMA_SHAPE, "max_position_embeddings": 128},
}  # fmt: skip


_DELTA_NET: dict[str, Any] = {
    **_LLAMA_SHAPE, "head_dim": 16, "layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2,
    "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16, "linear_conv_kernel_dim": 4,
}  # fmt: skip
_MAMBA: dict[str, Any] = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_chunk_size": 16}
HYBRID: dict[str, dict[str, Any]] = {
    "qwen3_5_text": _DELTA_NET,
    "qwen3_next": {
        **_DELTA_NET, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
    },
    "granitemoehybrid": {
        **_LLAMA_SHAPE, **_GRANITE, **_MAMBA, "num_local_experts": 2, "shared_intermediate_size": 96,
        "layer_types": ["linear_attention", "full_attention"],
    },
    "falcon_h1": {**_LLAMA_SHAPE, **_MAMBA, "head_dim": 16, "mamba_d_ssm": 128, "mamba_n_groups": 1},
    "lfm2": {**_LLAMA_SHAPE, "layer_types": ["conv", "full_attention"], "conv_L_cache": 3},
    "jamba": {
        **_LLAMA_SHAPE, "attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2, "mamba_d_state": 8,
    },
    "mamba2": {
        "hidden_size": 64, "num_hidden_layers": 2, "state_size": 16, "num_heads": 8, "head_dim": 16, "n_groups": 1,
        "chunk_size": 16,
    },
}  # fmt: skip
"""Models with states that cannot be rolled back; only transformers runs them."""


def tiny_model(model_type: str, vocabulary: int = 300, shape: dict[str, Any] | None = None, **changed: Any) -> Any:
    """A random fp32 model of an architecture, of its `TINY` shape or another; the same weights every time."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    ids = {"bos_token_id": 0, "eos_token_id": None, "pad_token_id": 1}
    config = AutoConfig.for_model(
        model_type, vocab_size=vocabulary, **{**(shape or TINY[model_type]), **ids, **changed}
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "norm" not in name:  # wide enough that greedy choices have no ties
                parameter.normal_(std=0.15)
            elif parameter.ndim == 1:  # norms and biases, which would all be one or zero
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model.eval()


def save_tiny_model(folder: Path, model_type: str = "llama", family: str = "starcoder") -> Path:
    """A model folder with random weights and a byte tokenizer that has the family's sentinels."""
    sentinels = [*by_name(family).sentinels, *by_name(family).ends]
    tokenizer = byte_tokenizer(list(dict.fromkeys(sentinels)))
    model = tiny_model(model_type, tokenizer.get_vocab_size() + 8)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


class CountingTokenizer:
    """A tokenizer that counts encode calls, their characters, and decoded ids."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.encode_special_tokens = True  # setting it on this object does not reach the tokenizer
        self._tokenizer = tokenizer
        self.calls = self.characters = self.decoded = 0

    def as_tokenizer(self) -> Tokenizer:
        return self  # type: ignore[return-value]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode(self, text: str, **options: Any) -> Any:
        self.calls += 1
        self.characters += len(text)
        return self._tokenizer.encode(text, **options)

    def encode_batch_fast(self, texts: Sequence[str], **options: Any) -> Any:
        self.calls += 1
        self.characters += sum(map(len, texts))
        return self._tokenizer.encode_batch_fast(texts, **options)

    def decode(self, ids: Sequence[int], **options: Any) -> str:
        self.decoded += len(ids)
        return self._tokenizer.decode(ids, **options)
