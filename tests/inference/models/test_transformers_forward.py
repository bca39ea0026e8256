"""The decode path against transformers' own: the tokens of generate(), and the logits of a full forward."""

from __future__ import annotations

import pytest
import torch
from helpers import TINY, tiny_model

from lacuna_inference.api import CancelToken
from lacuna_inference.cache.prefix_cache import PrefixCache
from lacuna_inference.models.transformers_forward import TransformersForward
from lacuna_lab.evaluation.scoring import logprobs

PROMPT = [7, 12, 31, 5, 99, 250, 18, 44, 3, 61, 73, 120]
OTHER = [*PROMPT[:5], 8, 9, 10, 200, 201]


@pytest.fixture(scope="module", params=list(TINY))
def model(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    return tiny_model(request.param)


def greedy(cache: PrefixCache, prompt: list[int], count: int) -> list[int]:
    tokens: list[int] = []
    while len(tokens) < count:
        tokens.append(int(cache.compute_logits_after([*prompt, *tokens], CancelToken()).argmax()))
    return tokens


def generated(model, prompt: list[int], count: int) -> list[int]:  # type: ignore[no-untyped-def]
    ids = torch.tensor([prompt])
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count, min_new_tokens=count
    )
    return out[0, len(prompt) :].tolist()


def full_logits(model, ids: list[int]) -> torch.Tensor:  # type: ignore[no-untyped-def]
    with torch.inference_mode():
        return model(torch.tensor([ids]), position_ids=torch.arange(len(ids))[None]).logits[0, -1]


def test_greedy_tokens_equal_generate_with_reuse_and_rollback(model) -> None:  # type: ignore[no-untyped-def]
    cache = PrefixCache(TransformersForward(model))
    for prompt in (PROMPT, OTHER, PROMPT[:3], [*PROMPT, 17, 18]):
        assert greedy(cache, prompt, 16) == generated(model, prompt, 16)


def test_logprobs_are_those_of_a_full_forward(model) -> None:  # type: ignore[no-untyped-def]
    found = logprobs(TransformersForward(model), PROMPT)
    expected = [full_logits(model, PROMPT[:n]).log_softmax(-1)[PROMPT[n]] for n in range(1, len(PROMPT))]
    assert (found - torch.stack(expected)).abs().max() <= 1e-5


def test_a_full_sliding_window_is_recomputed_instead_of_cropped() -> None:
    model = tiny_model("starcoder2", sliding_window=8)
    cache = PrefixCache(TransformersForward(model))
    for prompt in (PROMPT, OTHER):
        assert greedy(cache, prompt, 8) == generated(model, prompt, 8)


def test_logits_equal_a_full_forward_after_every_kind_of_step(model) -> None:  # type: ignore[no-untyped-def]
    forward = TransformersForward(model)
    kv_cache = forward.new_kv_cache()
    held: list[int] = []

    def check(ids: list[int], n_logits: int = 1) -> None:
        logits = forward.step(ids, kv_cache, n_logits)
        held.extend(ids)
        assert kv_cache.length == len(held)
        for row in range(n_logits):
            expected = full_logits(model, held[: len(held) - n_logits + row + 1])
            assert (logits[row] - expected).abs().max() <= 1e-5

    check(PROMPT)
    check([4])
    check(OTHER, n_logits=4)
    kv_cache.rollback(9)
    del held[9:]
    check([77])
    check(OTHER)
    kv_cache.rollback(0)
    held.clear()
    check(OTHER)
