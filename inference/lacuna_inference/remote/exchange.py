"""From a request to completions: as many questions to a server as it takes for its holes and candidates."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lacuna_inference.api import Candidate, CompletionResult, Fill, Request, RequestMetrics, StopReason
from lacuna_inference.decoding import stopping
from lacuna_inference.errors import BadRequest
from lacuna_inference.remote import answers
from lacuna_inference.remote.answers import Written
from lacuna_inference.remote.json_form import request_to_json
from lacuna_inference.remote.server_kinds import (
    LACUNA_PATH,
    HttpQuestion,
    Json,
    ServerKind,
    Setting,
    refusal,
)

Post = Callable[[str, Json], Awaitable[Any]]
"""Posts a body to a path of the server and returns the JSON of its answer. Raises LacunaError."""
_SEEDS = 2**31


async def completions(request: Request, wire: ServerKind, setting: Setting, post: Post) -> CompletionResult:
    """The answer of a server behind `post`. Raises LacunaError, and what `post` raises.

    Candidates are fewer than asked for where the server gave fewer, or the same text more than once and `distinct` ones
    were asked for.
    """
    request = replace(request, candidates=max(1, request.candidates))
    if wire.ask is None:
        return answers.whole(await post(LACUNA_PATH, request_to_json(request)), request)
    if (what := refusal(request)) is not None:
        raise BadRequest(f"Servers of this kind are not asked for {what}.", "Ask lacuna serve.")
    asker = _Asker(wire.ask, wire, setting, post)
    healed_prefix = await asker.fills(_hole(request, ()), request.candidates)
    filled = await asyncio.gather(*(_filled(asker, request, fill) for fill in healed_prefix))
    return CompletionResult(_candidates(filled, request), RequestMetrics(forward="remote"), setting.model)


@dataclass(frozen=True, slots=True)
class _Asker:
    """Asks about one hole at a time."""

    ask: Callable[[Request, Setting, int], HttpQuestion]
    wire: ServerKind
    setting: Setting
    post: Post

    async def fills(self, request: Request, candidates: int) -> list[Fill]:
        """At least one fill for the one hole of `request`; greedy ones are all the same, and asked for once."""
        wanted = candidates if request.sampling.temperature > 0 else 1
        found = await self._at_once(request, wanted)
        more = (self._once(_seeded(request, number), 1) for number in _numbers(request, len(found), wanted))
        outcomes = await asyncio.gather(*more, return_exceptions=True)
        found += [fill for outcome in outcomes if not isinstance(outcome, BaseException) for fill in outcome]
        failed = next((outcome for outcome in outcomes if isinstance(outcome, BaseException)), None)
        if not found and failed is not None:
            raise failed
        return found[:wanted] or [Fill("", StopReason.END_OF_HOLE, 0, 0.0)]

    async def _at_once(self, request: Request, wanted: int) -> list[Fill]:
        """Several fills in one answer; none where only one is wanted, or the server refuses to give several."""
        if wanted == 1 or not self.wire.several:
            return []
        try:
            return (await self._once(request, wanted))[:wanted]
        except BadRequest:
            return []

    async def _once(self, request: Request, candidates: int) -> list[Fill]:
        question = self.ask(request, self.setting, candidates)
        written = self.wire.read(await self.post(question.path, question.body))
        return [_fill(text, question, request, self.setting) for text in written]


async def _filled(asker: _Asker, request: Request, first: Fill) -> Candidate:
    """Fills the holes behind the first one, each with those before it already filled."""
    fills = [first]
    while len(fills) < len(request.parts) - 1:
        fills.append((await asker.fills(_hole(request, fills), 1))[0])
    return Candidate(tuple(fills))


def _hole(request: Request, fills: Sequence[Fill]) -> Request:
    """A request for the hole behind those that are filled. What is missing behind it is left out."""
    number = len(fills)
    before = "".join(part + fill.text for part, fill in zip(request.parts, fills, strict=False))
    after = request.parts[number + 1 :]
    return replace(request, parts=(before + request.parts[number], *(("".join(after),) if after else ())))


def _candidates(filled: Sequence[Candidate], request: Request) -> tuple[Candidate, ...]:
    if not request.distinct:
        greedy = request.sampling.temperature == 0
        return tuple(filled) * request.candidates if greedy else tuple(filled)
    texts: dict[tuple[str, ...], Candidate] = {}
    for completion in filled:
        texts.setdefault(tuple(fill.text for fill in completion.fills), completion)
    return tuple(texts.values())


def _numbers(request: Request, first: int, wanted: int) -> list[int | None]:
    """Seeds for the candidates that are still wanted: the same ones again where the request has a seed."""
    if wanted == 1:
        return [request.sampling.seed]
    start = random.randrange(1, _SEEDS) if request.sampling.seed is None else request.sampling.seed
    return [start + number for number in range(first, wanted)]


def _seeded(request: Request, seed: int | None) -> Request:
    return replace(request, sampling=replace(request.sampling, seed=seed))


def _fill(written: Written, question: HttpQuestion, request: Request, setting: Setting) -> Fill:
    """What our own rules leave of a text: they end it also where the server does not know them."""
    text, reason = written.text, StopReason.MAX_TOKENS if written.cut else StopReason.END_OF_HOLE
    ends = [place for end in setting.family.ends if (place := text.find(end)) >= 0]
    if ends:
        text, reason = text[: min(ends)], StopReason.END_OF_HOLE
    text = question.shown.undone(text)
    if (cut := stopping.text_stop(text, request.stop)) is not None:
        text, reason = text[: cut[0]], cut[1]
    if request.stop.truncate_before is not None:
        text = stopping.truncate_before(text, request.stop.truncate_before)
    return Fill(text, reason, 0, 0.0)
