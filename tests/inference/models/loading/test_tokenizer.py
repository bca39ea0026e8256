"""Tokenizers with tokens that the model has no embeddings for, and with ids that no token has."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import byte_tokenizer, tiny_model
from tokenizers import Tokenizer, models, processors

from lacuna_inference.api import CancelToken, ModelOptions, Request, Sampling, Stop
from lacuna_inference.decoding.answer import answer
from lacuna_inference.decoding.sampler import Sampler
from lacuna_inference.engine import assemble
from lacuna_inference.engine.assemble import LoadedModel
from lacuna_inference.errors import BadRequest
from lacuna_inference.models.loading import config
from lacuna_inference.models.loading.tokenizer import truncated
from lacuna_inference.prompt.families import by_name

SENTINELS = list(dict.fromkeys(by_name("starcoder").sentinels))
ROWS = 256 + len(SENTINELS)


def folder_with(folder: Path, tokenizer: Tokenizer, rows: int = ROWS, **changed: Any) -> Path:
    tiny_model("llama", rows, **changed).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def load(folder: Path, **chosen: Any) -> LoadedModel:
    return assemble.load_model(ModelOptions(str(folder), context=128, device="cpu", **chosen), lambda *_: None)


def written(loaded: LoadedModel, request: Request) -> str:
    """The text of the answer, by the model and everything that mixes into it."""
    found = answer(loaded.decoder, loaded.name, request, CancelToken(), time.perf_counter())
    return found.candidates[0].fills[0].text


def special(tokenizer: Tokenizer) -> None:
    tokenizer.add_special_tokens(["<pad>"])


def plain(tokenizer: Tokenizer) -> None:
    tokenizer.add_tokens(["<pad>"])


@pytest.mark.parametrize("add", [special, plain])
@pytest.mark.parametrize("forward", ["own", "transformers"])
def test_a_token_after_the_last_row_is_text(tmp_path: Path, add: Callable[[Tokenizer], None], forward: str) -> None:
    tokenizer = byte_tokenizer(SENTINELS)
    add(tokenizer)
    loaded = load(folder_with(tmp_path, tokenizer), forward=forward)
    assert loaded.family.name == "starcoder"
    text = loaded.decoder.tokenizer
    assert text.size == ROWS
    assert len(text.encode("<pad>")) == len("<pad>")
    request = Request(("x = '<pad>'\ny = ", "\n# <pad>\n"), stop=Stop(max_tokens=5), sampling=Sampling(1.0, seed=1))
    assert isinstance(written(loaded, request), str)
    for wrong in (ROWS, -1, 10**6):
        with pytest.raises(BadRequest, match="a token id that the model does not know"):
            written(loaded, Request(("",), ids=(5, wrong), stop=Stop(max_tokens=5)))


def test_sentinels_without_rows_are_not_sentinels(tmp_path: Path) -> None:
    loaded = load(folder_with(tmp_path, byte_tokenizer(SENTINELS), rows=257))
    assert loaded.family.name == "plain"
    assert len(loaded.decoder.tokenizer.encode("<fim_prefix>")) > 1
    assert isinstance(written(loaded, Request(("<fim_prefix>x = ",), stop=Stop(max_tokens=3))), str)


def test_end_tokens_without_rows_are_dropped(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, byte_tokenizer(), eos_token_id=[5, 999_999])
    assert load(folder).decoder.tokenizer.ends == {5}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, []), (2, [2]), ([2, 0], [2, 0]), (300, []), ("2", []), ([True, None, -1, 7], [7]), ({}, [])],
)
def test_end_tokens_are_the_valid_ones_of_the_config(value: Any, expected: list[int]) -> None:
    assert config.end_ids({"eos_token_id": value, "vocab_size": 300}) == expected


def test_ids_without_a_token_are_never_sampled(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, byte_tokenizer(SENTINELS), rows=300)
    content = json.loads((folder / "tokenizer.json").read_text())
    for token in content["added_tokens"]:
        token["id"] += 20
    (folder / "tokenizer.json").write_text(json.dumps(content))
    text = load(folder).decoder.tokenizer
    assert [text.sentinel(sentinel) for sentinel in SENTINELS] == list(range(276, 276 + len(SENTINELS)))
    gap = set(range(256, 276))
    assert gap <= text.banned
    logits = torch.zeros(300)
    logits[260] = 10.0
    chooser = Sampler(Sampling(1.0, seed=1), text.banned, 280)
    assert not gap & {chooser.choose(logits)[0] for _ in range(50)}


@pytest.mark.parametrize("banned", [[], [3], [3, 7], [3, 8, 100], [8], range(100)])
def test_banned_ids_may_lie_after_the_rows(banned: list[int]) -> None:
    chooser = Sampler(Sampling(), banned, 50)
    chosen, _ = chooser.choose(torch.arange(8.0))
    assert chosen == max(set(range(8)) - set(banned), default=0)
    assert np.isneginf(chooser._scores[[i for i in banned if i < 8]]).all()


def test_a_tokenizer_is_shortened_with_the_merges_of_the_lost_tokens() -> None:
    whole = byte_tokenizer(["<a>"], merges=["a b", "ab c"])
    whole.add_special_tokens(["<b>"])
    whole.post_processor = processors.TemplateProcessing("<b> $A", None, [("<b>", whole.token_to_id("<b>"))])
    assert truncated(whole, whole.get_vocab_size()) is whole
    for known, tokens in [(259, ["abc"]), (258, ["abc"]), (257, ["ab", "c"]), (256, ["a", "b", "c"])]:
        short = truncated(whole, known)
        assert max(short.get_vocab().values()) < known
        assert short.encode("abc").tokens == tokens
        assert short.encode("<a>", add_special_tokens=False).ids != [whole.token_to_id("<a>")] or known > 258
        assert max(short.encode("abc").ids) < known


def test_a_unigram_tokenizer_is_shortened() -> None:
    whole = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0), ("b", -1.0), ("ab", -0.5)], unk_id=0))
    assert truncated(whole, 3).encode("ab").tokens == ["a", "b"]
