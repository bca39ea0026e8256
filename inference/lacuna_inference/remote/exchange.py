"""Turns a request into completions, with as many HTTP requests as its holes and candidates take."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lacuna_inference.api import Candidate, CompletionResult, Fill, Request, RequestMetrics, StopReason
from lacuna_inference.decoding import stopping
from lacuna_inference.decoding.context_stop import context_stop
from lacuna_inference.errors import BadRequest
from lacuna_inference.remote import answers
from lacuna_inference.remote.answers import GeneratedText
from lacuna_inference.remote.json_form import request_to_json
from lacuna_inference.remote.server_kinds import (
    LACUNA_PATH,
    HttpRequest,
    Json,
    ServerKind,
    Setting,
    unsupported_feature,
)

Post = Callable[[str, Json], Awaitable[Any]]
"""Posts a body to a path of the server and returns the JSON of its answer. Raises LacunaError."""
_SEED_LIMIT = 2**31


async def completions(request: Request, kind: ServerKind, setting: Setting, post: Post) -> CompletionResult:
    """The answer of the server that `post` reaches. Raises LacunaError, and what `post` raises.

    There are fewer candidates than requested if the server returned fewer, or if it repeated a text and `distinct`
    candidates were requested.
    """
    request = replace(request, candidates=max(1, request.candidates))
    if kind.build is None:
        return answers.lacuna(await post(LACUNA_PATH, request_to_json(request)), request)
    if (feature := unsupported_feature(request)) is not None:
        raise BadRequest(f"Servers of this kind do not support {feature}.", "Use lacuna serve.")
    client = _HoleClient(kind.build, kind, setting, post)
    first_fills = await client.fills(_hole(request, ()), request.candidates)
    filled = await asyncio.gather(*(_filled(client, request, fill) for fill in first_fills))
    return CompletionResult(_candidates(filled, request), RequestMetrics(forward="remote"), setting.model)


@dataclass(frozen=True, slots=True)
class _HoleClient:
    """Requests fills for one hole at a time."""

    build: Callable[[Request, Setting, int], HttpRequest]
    kind: ServerKind
    setting: Setting
    post: Post

    async def fills(self, request: Request, candidates: int) -> list[Fill]:
        """At least one fill for the only hole of `request`. Greedy fills are all equal and requested once."""
        wanted = candidates if request.sampling.temperature > 0 else 1
        fills = await self._several(request, wanted)
        more = (self._send(_seeded(request, seed), 1) for seed in _seeds(request, len(fills), wanted))
        outcomes = await asyncio.gather(*more, return_exceptions=True)
        fills += [fill for outcome in outcomes if not isinstance(outcome, BaseException) for fill in outcome]
        error = next((outcome for outcome in outcomes if isinstance(outcome, BaseException)), None)
        if not fills and error is not None:
            raise error
        return fills[:wanted] or [Fill("", StopReason.END_OF_HOLE, 0, 0.0)]

    async def _several(self, request: Request, wanted: int) -> list[Fill]:
        """Several fills in one answer; none if only one is wanted, or if the server does not return several."""
        if wanted == 1 or not self.kind.several:
            return []
        try:
            return (await self._send(request, wanted))[:wanted]
        except BadRequest:
            return []

    async def _send(self, request: Request, candidates: int) -> list[Fill]:
        http_request = self.build(request, self.setting, candidates)
        texts = self.kind.read(await self.post(http_request.path, http_request.body))
        return [_fill(text, http_request, request, self.setting) for text in texts]


async def _filled(client: _HoleClient, request: Request, first: Fill) -> Candidate:
    """Fills the holes after the first one in order."""
    fills = [first]
    while len(fills) < len(request.parts) - 1:
        fills.append((await client.fills(_hole(request, fills), 1))[0])
    return Candidate(tuple(fills))


def _hole(request: Request, fills: Sequence[Fill]) -> Request:
    """A request for the next hole after those that are filled. Later holes are left empty."""
    number = len(fills)
    before = "".join(part + fill.text for part, fill in zip(request.parts, fills, strict=False))
    after = request.parts[number + 1 :]
    return replace(request, parts=(before + request.parts[number], *(("".join(after),) if after else ())))


def _candidates(filled: Sequence[Candidate], request: Request) -> tuple[Candidate, ...]:
    if not request.distinct:
        greedy = request.sampling.temperature == 0
        return tuple(filled) * request.candidates if greedy else tuple(filled)
    texts: dict[tuple[str, ...], Candidate] = {}
    for candidate in filled:
        texts.setdefault(tuple(fill.text for fill in candidate.fills), candidate)
    return tuple(texts.values())


def _seeds(request: Request, first: int, wanted: int) -> list[int | None]:
    """Seeds for the candidates from number `first` on; reproducible if the request has a seed."""
    if wanted == 1:
        return [request.sampling.seed]
    start = random.randrange(1, _SEED_LIMIT) if request.sampling.seed is None else request.sampling.seed
    return [start + number for number in range(first, wanted)]


def _seeded(request: Request, seed: int | None) -> Request:
    return replace(request, sampling=replace(request.sampling, seed=seed))


def _fill(generated: GeneratedText, http_request: HttpRequest, request: Request, setting: Setting) -> Fill:
    """A fill with the text up to its end by Lacuna's own stop rules, which the server may not know."""
    text, reason = generated.text, StopReason.MAX_TOKENS if generated.cut else StopReason.END_OF_HOLE
    ends = [position for end in setting.family.ends if (position := text.find(end)) >= 0]
    if ends:
        text, reason = text[: min(ends)], StopReason.END_OF_HOLE
    text = http_request.shown.unescape(text)
    cuts = [stopping.text_stop(text, request.stop)]
    if len(request.parts) > 1 and request.stop.outside:
        cuts.append(context_stop(request.parts[0], request.parts[1], request.path, request.stop).find(text))
    if (cut := min((cut for cut in cuts if cut is not None), default=None)) is not None:
        text, reason = text[: cut[0]], cut[1]
    if request.stop.truncate_before is not None:
        text = stopping.truncate_before(text, request.stop.truncate_before)
    return Fill(text, reason, 0, 0.0)
