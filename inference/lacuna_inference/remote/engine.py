"""The `Engine` protocol over HTTP: forwards requests to a server, disconnects on cancellation, and reconnects.

Runs its own event loop in a thread; no method blocks on the network.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from lacuna_inference.api import CancelToken, CompletionResult, EngineState, ModelFacts, Phase, Request
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.engine.scheduler import resolve
from lacuna_inference.engine.threaded import ThreadedEngine
from lacuna_inference.errors import BadRequest, EngineUnavailable, LacunaError, RequestCancelled
from lacuna_inference.prompt.families import by_name
from lacuna_inference.remote import address, answers, exchange
from lacuna_inference.remote.server_kinds import SERVER_KINDS, Json, Setting

logger = logging.getLogger(__name__)

CANCEL_S = 0.01
"""Interval at which a running request checks for cancellation."""
FIRST_RETRY_S, MAX_RETRY_S = 0.25, 10.0
"""Wait between two attempts to reach the server; doubled after each."""
LOADING_S = 0.5
"""Wait between two checks of a server that answers but is not ready."""
_NO_SUCH_PATH = (301, 302, 307, 308, 404, 405, 410)
TIMEOUT = httpx.Timeout(120.0, connect=5.0)


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """The server and its kind (see `SERVER_KINDS`), and how to prompt its model if Lacuna builds the prompt."""

    url: str
    kind: str = "lacuna"
    token: str | None = None
    model: str = ""
    family: str | None = None
    context: int = 2048
    ca_file: Path | None = None
    """Certificates (PEM) to trust instead of the usual authorities."""


class RemoteEngine(ThreadedEngine):
    """The `Engine` that forwards to a server. See `api.Engine` for the contract of its methods."""

    def __init__(self, options: RemoteOptions, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Raises BadRequest for an unknown kind or family, and for other invalid `options`."""
        if options.kind not in SERVER_KINDS:
            raise BadRequest(
                f"Servers of the kind {options.kind!r} are not known.", f"Known are {', '.join(SERVER_KINDS)}."
            )
        if options.token and not (options.token.isascii() and options.token.isprintable()):
            raise BadRequest("The token for the server cannot be sent.", "It may hold only printable ASCII.")
        self._kind = SERVER_KINDS[options.kind]
        family = None if options.family is None else by_name(options.family)
        self._setting = Setting(options.model, family, options.context)
        self._facts = ModelFacts()
        self._jobs: list[RequestState] = []
        self._caller = uuid.uuid4().hex
        server = address.parsed(options.url, (self._kind.ready, *self._kind.endpoints))
        self._http = _client(options, server, transport)
        self._url = str(server.url).rstrip("/")
        """The URL for messages, without a password."""
        self._loop = asyncio.new_event_loop()
        super().__init__(EngineState(Phase.UNLOADED, model=options.model or self._url), "lacuna-remote")

    def submit(self, request: Request, cancel: CancelToken | None = None) -> Future[CompletionResult]:
        job = RequestState(request, cancel or CancelToken())
        with self._changed:
            if self._closed or self._state.phase is Phase.FAILED:
                job.future.set_exception(EngineUnavailable("The server is not there.", self._state.message))
                return job.future
            for older in [
                j
                for j in self._jobs
                if request.document_id is not None and j.request.document_id == request.document_id
            ]:
                older.cancel.cancel()
                resolve(older, RequestCancelled("The request was replaced by a newer one."))
            self._jobs.append(job)
            self.start()
            self._loop.call_soon_threadsafe(self._begin, job)
        return job.future

    def read_ahead(self, request: Request, cancel: CancelToken, beside: bool = False) -> Future[bool]:
        """Reads nothing: the server's time is others'."""
        nothing: Future[bool] = Future()
        nothing.set_result(True)
        return nothing

    def close(self, timeout: float = 2.0) -> bool:
        with self._changed:
            self._closed = True
            for job in self._jobs:
                job.cancel.cancel()
                resolve(job, EngineUnavailable("The engine was closed."))
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._ready = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._connecting = self._loop.create_task(self._connect())
        try:
            self._loop.run_forever()
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(self._http.aclose())
        finally:
            self._loop.close()

    def _begin(self, job: RequestState) -> None:
        task = self._loop.create_task(self._answer(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        """Retries until the server is ready, or until it fails in a way that only the user can fix."""
        wait = FIRST_RETRY_S
        while not self._ready.is_set():
            try:
                response = await self._http.get(self._kind.ready)
                if response.status_code in (401, 403):
                    self._enter(Phase.FAILED, f"{self._url} requires another token. Check engine_token_file.")
                    return
                if response.status_code in _NO_SUCH_PATH:
                    self._enter(Phase.FAILED, f"{self._url} has no {self._kind.ready}. Check engine_kind.")
                    return
                if response.status_code != httpx.codes.OK:
                    self._enter(Phase.LOADING, f"{self._url} answers {response.status_code}: is it loading?")
                    await asyncio.sleep(LOADING_S)
                    continue
                status = answers.fields(response)
                self._setting = replace(self._setting, model=await self._model(status))
                self._facts = self._kind.facts(status)
                self._ready.set()
                model = self._setting.model
                self._enter(Phase.WARM, f"{model} at {self._url}" if model else self._url)
            except httpx.LocalProtocolError:  # raised for our own request; its text may quote it
                self._enter(Phase.FAILED, f"Requests to {self._url} are not valid HTTP. Check the address and token.")
                return
            except httpx.HTTPError as error:
                if (refusal := address.refused(error)) is not None:
                    self._enter(Phase.FAILED, f"{self._url} {refusal}")
                    return
                self._enter(Phase.UNREACHABLE, f"{self._url} does not answer ({_reason(error)}); retrying")
                await asyncio.sleep(wait)
                wait = min(2 * wait, MAX_RETRY_S)
            except Exception as error:
                name = type(error).__name__
                self._enter(Phase.FAILED, f"The answer of {self._url} is not understood ({name}). Check engine_kind.")
                return

    async def _model(self, status: Json) -> str:
        """The name of the model: the user's, or the one that the server reports."""
        if self._setting.model or self._kind.listed is None:
            return self._setting.model or self._kind.models(status)
        return self._kind.models(answers.fields(await self._http.get(self._kind.listed)))

    async def _answer(self, job: RequestState) -> None:
        pending = asyncio.ensure_future(self._completions(job.request))
        try:
            while not pending.done() and not job.cancel.cancelled:
                await asyncio.wait({pending}, timeout=CANCEL_S)
            if not pending.done():
                resolve(job, RequestCancelled())
            else:
                resolve(job, pending.result())
        except LacunaError as error:
            resolve(job, error)
        except httpx.TransportError as error:
            self._lost(error)
            resolve(job, EngineUnavailable(f"{self._url} does not answer ({_reason(error)}).", "Lacuna tries again."))
        except Exception as error:
            logger.error("The server's answer is not understood (%s).", type(error).__name__)  # its text may hold code
            resolve(job, EngineUnavailable(f"The answer of {self._url} is not understood: {type(error).__name__}."))
        finally:
            pending.cancel()
            with self._changed:
                self._jobs.remove(job)

    async def _completions(self, request: Request) -> CompletionResult:
        await self._ready.wait()
        request = replace(request, caller=self._caller)
        return await exchange.completions(request, self._kind, self._setting, self._post)

    async def _post(self, path: str, body: Json) -> Any:
        return answers.content(await self._http.post(path, json=body))

    def _lost(self, error: Exception) -> None:
        self._ready.clear()
        if self._connecting.done():
            self._enter(Phase.UNREACHABLE, f"{self._url} does not answer ({_reason(error)}); retrying")
            self._connecting = self._loop.create_task(self._connect())

    def _enter_loading(self) -> None:
        self._enter(Phase.LOADING, "connecting")

    def _enter(self, phase: Phase, message: str) -> None:
        with self._changed:
            model = self._setting.model or self._url
            self._state = EngineState(phase, float(phase is Phase.WARM), message, model, self._facts)
            self._listeners.notify(self._state)
            if phase is Phase.FAILED:
                for job in self._jobs:
                    resolve(job, EngineUnavailable("The server is not there.", message))
                    job.cancel.cancel()


def _client(
    options: RemoteOptions, server: address.Address, transport: httpx.AsyncBaseTransport | None
) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    return httpx.AsyncClient(
        base_url=server.url,
        headers=headers,
        auth=None if options.token else server.login,
        timeout=TIMEOUT,
        transport=transport,
        trust_env=False,
        verify=True if options.ca_file is None else address.trusting(options.ca_file),
    )


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
