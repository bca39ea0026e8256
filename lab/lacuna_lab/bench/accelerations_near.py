"""How near two tokens were where an answer went another way than it should: rounding decides between equals only."""

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
    """Nats between the two likeliest tokens where the answer to the last of `requests` ceases to be `other`.

    `decoder` has read nothing yet. The earlier requests are those of the same session, because prompts follow from
    them. None when the plain loop gives `other`: then there was no such place.
    """
    plans = [prompt_for(decoder, request) for request in requests]
    request, plan = requests[-1], plans[-1]
    text = decoder.tokenizer
    hole, store = Hole(plan.healed_prefix, request.stop, text), PrefixCache(decoder.caches.forward)
    chooser = Sampler(Sampling(), text.banned, text.size)
    choose = decoder.choice(hole, chooser, FileIndex(request.parts, plan.healed_prefix, text), request.parts, 0)
    ended = False
    while not ended:
        logits = store.compute_logits_after([*plan.ids, *hole.tokens], CancelToken())
        token, logprob = choose(logits)
        best = [score for _, score in chooser.top_logprobs(2)]
        hole.take(token, logprob)
        shown, ended = hole.fill().text, hole.reason is not None
        if not other.startswith(shown) or (ended and shown != other):
            return best[0] - best[1] if len(best) > 1 else math.inf
    return None
