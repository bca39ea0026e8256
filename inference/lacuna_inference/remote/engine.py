"""The `Engine` protocol over HTTP: asks another server, leaves when a request is cancelled, comes back when it is lost.

One thread with an event loop of its own; nothing of it blocks who asks.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from lacuna_inference.api import CancelToken, CompletionResult, EngineState, ModelFacts, Phase, Request
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.engine.listeners import Listener, Listeners
from lacuna_inference.engine.scheduler import resolve
from lacuna_inference.errors import BadRequest, EngineUnavailable, LacunaError, RequestCancelled
from lacuna_inference.prompt.families import by_name
from lacuna_inference.remote import address, answers, exchange
from lacuna_inference.remote.server_kinds import SERVER_KINDS, Json, Setting

logger = logging.getLogger(__name__)

CANCEL_S = 0.01
"""How often a running request looks whether it was cancelled."""
FIRST_RETRY_S, MAX_RETRY_S = 0.25, 10.0
"""Between two attempts to reach the server; doubled after each."""
LOADING_S = 0.5
"""Between two looks at a server that answers, but is not ready."""
_NO_SUCH_PLACE = (301, 302, 307, 308, 404, 405, 410)
TIMEOUT = httpx.Timeout(120.0, connect=5.0)


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """Which server, of which kind (see `wires.WIRES`); how its model is prompted where that is ours to do."""

    url: str
    kind: str = "lacuna"
    token: str | None = None
    model: str = ""
    family: str | None = None
    context: int = 2048
    ca_file: Path | None = None
    """Certificates (PEM) that are trusted instead of the usual authorities'."""


class RemoteEngine:
    """The `Engine` that asks a server. See `api.Engine` for what its methods promise."""

    def __init__(self, options: RemoteOptions, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Raises BadRequest for a kind or a family that is not known, and for what else cannot be used of `options`."""
        if options.kind not in SERVER_KINDS:
            raise BadRequest(
                f"Servers of the kind {options.kind!r} are not known.", f"Known are {', '.join(SERVER_KINDS)}."
            )
        if options.token and not (options.token.isascii() and options.token.isprintable()):
            raise BadRequest("The token for the server cannot be sent.", "It may have letters, digits and signs only.")
        self._wire = SERVER_KINDS[options.kind]
        family = None if options.family is None else by_name(options.family)
        self._setting = Setting(options.model, family, options.context)
        self._facts = ModelFacts()
        self._listeners = Listeners()
        self._changed = threading.RLock()
        self._jobs: list[RequestState] = []
        self._closed = False
        self._caller = uuid.uuid4().hex
        there = address.parsed(options.url, (self._wire.ready, *self._wire.endpoints))
        self._http = _client(options, there, transport)
        self._url = str(there.url).rstrip("/")
        """As it is shown: without a password that may have stood in it."""
        self._loop = asyncio.new_event_loop()
        self._state = EngineState(Phase.UNLOADED, model=options.model or self._url)
        self._thread = threading.Thread(target=self._run, name="lacuna-remote", daemon=True)

    @property
    def state(self) -> EngineState:
        return self._state

    def start(self) -> None:
        with self._changed:
            if self._thread.ident is None and not self._closed:
                self._enter(Phase.LOADING, "connecting")
                self._thread.start()

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
                resolve(older, RequestCancelled("A newer request took this one's place."))
            self._jobs.append(job)
            self.start()
            self._loop.call_soon_threadsafe(self._begin, job)
        return job.future

    def watch(self, listener: Listener) -> None:
        with self._changed:
            self._listeners.add(listener, self._state)

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
        """Tries until the server is ready, or says that it wants another token."""
        wait = FIRST_RETRY_S
        while not self._ready.is_set():
            try:
                response = await self._http.get(self._wire.ready)
                if response.status_code in (401, 403):
                    self._enter(Phase.FAILED, f"{self._url} wants another token. Check engine_token_file.")
                    return
                if response.status_code in _NO_SUCH_PLACE:
                    self._enter(Phase.FAILED, f"{self._url} has no {self._wire.ready}. Check engine_kind.")
                    return
                if response.status_code != httpx.codes.OK:
                    self._enter(Phase.LOADING, f"{self._url} answers {response.status_code}: is it loading?")
                    await asyncio.sleep(LOADING_S)
                    continue
                told = answers.fields(response)
                self._setting = replace(self._setting, model=await self._model(told))
                self._facts = ModelFacts(languages=self._wire.languages(told))
                self._ready.set()
                model = self._setting.model
                self._enter(Phase.WARM, f"{model} at {self._url}" if model else self._url)
            except httpx.LocalProtocolError:  # of our own making; its text may hold what we send
                self._enter(Phase.FAILED, f"What is sent to {self._url} is no HTTP. Check its address and the token.")
                return
            except httpx.HTTPError as error:
                if (refusal := address.refused(error)) is not None:
                    self._enter(Phase.FAILED, f"{self._url} {refusal}")
                    return
                self._enter(Phase.UNREACHABLE, f"{self._url} does not answer ({_why(error)}); it is tried again")
                await asyncio.sleep(wait)
                wait = min(2 * wait, MAX_RETRY_S)
            except Exception as error:
                kind = type(error).__name__
                self._enter(Phase.FAILED, f"{self._url} answers what is not understood ({kind}). Check engine_kind.")
                return

    async def _model(self, told: Json) -> str:
        """The name of the model: as it was given, or as the server tells it."""
        if self._setting.model or self._wire.listed is None:
            return self._setting.model or self._wire.models(told)
        return self._wire.models(answers.fields(await self._http.get(self._wire.listed)))

    async def _answer(self, job: RequestState) -> None:
        pending = asyncio.ensure_future(self._asked(job.request))
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
            resolve(job, EngineUnavailable(f"{self._url} does not answer ({_why(error)}).", "It is tried again."))
        except Exception as error:
            logger.error("The server's answer is not understood (%s).", type(error).__name__)  # its text may hold code
            resolve(job, EngineUnavailable(f"{self._url} answers what is not understood: {type(error).__name__}."))
        finally:
            pending.cancel()
            with self._changed:
                self._jobs.remove(job)

    async def _asked(self, request: Request) -> CompletionResult:
        await self._ready.wait()
        request = replace(request, caller=self._caller)
        return await exchange.completions(request, self._wire, self._setting, self._post)

    async def _post(self, path: str, body: Json) -> Any:
        return answers.content(await self._http.post(path, json=body))

    def _lost(self, error: Exception) -> None:
        self._ready.clear()
        if self._connecting.done():
            self._enter(Phase.UNREACHABLE, f"{self._url} does not answer ({_why(error)}); it is tried again")
            self._connecting = self._loop.create_task(self._connect())

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
    options: RemoteOptions, there: address.Address, transport: httpx.AsyncBaseTransport | None
) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    return httpx.AsyncClient(
        base_url=there.url,
        headers=headers,
        auth=None if options.token else there.login,
        timeout=TIMEOUT,
        transport=transport,
        trust_env=False,
        verify=True if options.ca_file is None else address.trusting(options.ca_file),
    )


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
