"""The gap between the two most likely tokens where an answer diverges: rounding may only decide between near equals."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lacuna_inference.api import CancelToken, Request, Sampling
from lacuna_inference.cache.prefix_cache import PrefixCache
from lacuna_inference.decoding.answer import prompt_for
from lacuna_inference.decoding.hole import Hole
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.sampler import Sampler
from lacuna_inference.in_file.index import FileIndex


def gap(decoder: Decoder, requests: Sequence[Request], other: str) -> float | None:
    """Nats between the two most likely tokens where the answer to the last of `requests` diverges from `other`.

    `decoder` must not have read anything yet. The earlier requests are those of the same session, because prompts
    depend on them. None when the plain loop gives `other`, so that nothing diverges.
    """
    plans = [prompt_for(decoder, request) for request in requests]
    request, plan = requests[-1], plans[-1]
    tokenizer = decoder.tokenizer
    hole, cache = Hole(plan.healed_prefix, request.stop, tokenizer), PrefixCache(decoder.caches.forward)
    sampler = Sampler(Sampling(), tokenizer.banned, tokenizer.size)
    index = FileIndex(request.parts, plan.healed_prefix, tokenizer)
    choose = decoder.choice(hole, sampler, index, request.parts, 0)
    ended = False
    while not ended:
        logits = cache.compute_logits_after([*plan.ids, *hole.tokens], CancelToken())
        token, logprob = choose(logits)
        best = [score for _, score in sampler.top_logprobs(2)]
        hole.take(token, logprob)
        shown, ended = hole.fill().text, hole.reason is not None
        if not other.startswith(shown) or (ended and shown != other):
            return best[0] - best[1] if len(best) > 1 else math.inf
    return None
