"""workspace/executeCommand: the server's own commands. Invalid arguments get an InvalidParams error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from lsprotocol.types import LSPErrorCodes
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams

from lacuna_inference.errors import LacunaError
from lacuna_server.core.gate import Verdict
from lacuna_server.lsp.features import loading
from lacuna_server.lsp.features.status import notify, status
from lacuna_server.lsp.language_server import LacunaServer
from lacuna_server.lsp.to_lsp import ACCEPT
from lacuna_server.statistics import read


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Nothing(_Arguments):
    """No arguments."""


class Accepted(_Arguments):
    """The id of a suggestion, and the number of its characters accepted so far; None for all of them."""

    id: str
    length: int | None = Field(None, ge=1)


class Rejected(_Arguments):
    id: str


class Snooze(_Arguments):
    minutes: float = Field(ge=0, le=24 * 60)


class SelectModel(_Arguments):
    model: str = Field(min_length=1)


def register(server: LacunaServer) -> None:
    """Registers the commands. Each takes one object, or nothing."""

    def command(name: str, kind: type[_Arguments]) -> Callable[[Callable[..., Any]], None]:
        def decorate(handler: Callable[..., Any]) -> None:
            @server.command(name)
            async def run(ls: LacunaServer, *arguments: Any) -> Any:
                return await handler(ls, _parse(kind, arguments))

        return decorate

    @command(ACCEPT, Accepted)
    async def accept(ls: LacunaServer, arguments: Accepted) -> bool:
        return ls.session.feedback.accept(arguments.id, arguments.length)

    @command("lacuna.reject", Rejected)
    async def reject(ls: LacunaServer, arguments: Rejected) -> bool:
        return ls.session.feedback.reject(arguments.id)

    @command("lacuna.status", Nothing)
    async def show_status(ls: LacunaServer, _: Nothing) -> dict[str, Any]:
        return status(ls)

    @command("lacuna.explain", Nothing)
    async def explain(ls: LacunaServer, _: Nothing) -> dict[str, Any] | None:
        return _explanation(ls)

    @command("lacuna.snooze", Snooze)
    async def snooze(ls: LacunaServer, arguments: Snooze) -> dict[str, Any]:
        ls.session.snoozed_until = time.monotonic() + 60 * arguments.minutes
        notify(ls)
        return status(ls)

    @command("lacuna.restartEngine", Nothing)
    async def restart(ls: LacunaServer, _: Nothing) -> None:
        ls.session.supervisor.renew(ls.session.settings)
        loading.start(ls)

    @command("lacuna.selectModel", SelectModel)
    async def select(ls: LacunaServer, arguments: SelectModel) -> dict[str, Any]:
        if refusal := await ls.session.choose("model", arguments.model):
            raise JsonRpcInvalidParams(refusal)
        loading.start(ls)
        return status(ls)

    @command("lacuna.models", Nothing)
    async def models(ls: LacunaServer, _: Nothing) -> list[dict[str, Any]]:
        from lacuna_inference.models.on_disk import on_disk

        options = ls.session.settings.model_options()
        return [asdict(model) for model in await asyncio.to_thread(on_disk, options)]

    @command("lacuna.statistics", Nothing)
    async def statistics(ls: LacunaServer, _: Nothing) -> dict[str, Any]:
        session = ls.session
        session.statistics.save()
        try:
            days = {} if session.statistics.file is None else read(session.statistics.file)
        except LacunaError as error:
            raise JsonRpcException(str(error), LSPErrorCodes.RequestFailed) from None
        return {
            "kept": session.statistics.file is not None,
            "days": {day: asdict(counts) for day, counts in days.items()},
            "latency": asdict(session.latencies.summary()),
        }


def _parse(kind: type[_Arguments], arguments: tuple[Any, ...]) -> _Arguments:
    """Parses the only argument as `kind`. Raises JsonRpcInvalidParams with one sentence."""
    argument = arguments[0] if len(arguments) == 1 else {} if not arguments else None
    try:
        return kind.model_validate(argument)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise JsonRpcInvalidParams(
            f"The arguments are invalid: {where + ': ' if where else ''}{problem['msg']}."
        ) from None  # the original error quotes the arguments


def _explanation(ls: LacunaServer) -> dict[str, Any] | None:
    """The last answer, what it cost, and why it was shown, cut or withheld."""
    answer = ls.session.last
    if answer is None:
        return None
    return {
        "suggestions": len(answer.texts),
        "withheld": answer.withheld,
        "reason": answer.withheld.sentence if answer.withheld else None,
        "detail": answer.detail,
        "stop": answer.stop,
        "cut": answer.cut,
        "cached": answer.cached,
        "confidence": answer.confidence,
        "verdict": _without_code(answer.verdict) if answer.verdict else None,
        "delay_s": answer.delay_s,
        "model": answer.model,
        "counters": asdict(answer.metrics),
        "other_files": _shown_of_other_files(ls),
    }


def _without_code(verdict: Verdict) -> dict[str, Any]:
    fields = asdict(verdict)
    del fields["judged"]
    return fields


def _shown_of_other_files(ls: LacunaServer) -> list[dict[str, Any]]:
    """Definitions and passages that the prompt had, and why. A passage has no name, and no line."""
    context = ls.session.other_files.shown(ls.session.last_document)
    if context is None:
        return []
    from lacuna_server.workspace import Why
    from lacuna_server.workspace.index import shown_path

    roots = ls.session.folders.paths()
    definitions = [(one.definition, one.why.value) for one in context.definitions]
    named = [
        {"name": found.name, "path": shown_path(found.path, roots), "line": found.line, "why": why}
        for found, why in definitions
    ]
    return named + [{"name": "", "path": one.path, "line": 0, "why": Why.SIMILAR.value} for one in context.passages]
