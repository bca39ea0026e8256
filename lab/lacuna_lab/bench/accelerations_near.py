"""How near two tokens were where an answer went another way than it should: rounding decides between equals only."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lacuna_inference.api import CancelToken, Request, Sampling
from lacuna_inference.cache.prefix_cache import PrefixStore
from lacuna_inference.decoding.answer import planned
from lacuna_inference.decoding.hole import Hole
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.sampler import Chooser
from lacuna_inference.in_file.index import History


def gap(decoder: Decoder, requests: Sequence[Request], other: str) -> float | None:
    """Nats between the two likeliest tokens where the answer to the last of `requests` ceases to be `other`.

    `decoder` has read nothing yet. The earlier requests are those of the same session, because prompts follow from
    them. None when the plain loop gives `other`: then there was no such place.
    """
    plans = [planned(decoder, request) for request in requests]
    request, plan = requests[-1], plans[-1]
    text = decoder.text
    hole, store = Hole(plan.begun, request.stop, text), PrefixStore(decoder.stores.forward)
    chooser = Chooser(Sampling(), text.banned, text.size)
    choose = decoder.choice(hole, chooser, History(request.parts, plan.begun, text), request.parts, 0)
    ended = False
    while not ended:
        logits = store.after([*plan.ids, *hole.tokens], CancelToken())
        token, logprob = choose(logits)
        best = [score for _, score in chooser.likeliest(2)]
        hole.take(token, logprob)
        shown, ended = hole.fill().text, hole.reason is not None
        if not other.startswith(shown) or (ended and shown != other):
            return best[0] - best[1] if len(best) > 1 else math.inf
    return None
