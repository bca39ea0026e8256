"""Stress test: fast typing in several documents with random cancels. Is each request answered once, and how soon?"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from lacuna_lab.bench import scripted
from lacuna_lab.quantiles import quantile

_URIS = ("file:///stress/one.py", "file:///stress/two.py", "file:///stress/three.py")
_INSERTED = ("a", "b", " ", "(", "\n", "\r\n", "é", "漢", "📦")
_START = "def f(x):\n    return x + 1  # 漢字 📦\r\n\n" * 40
_CANCEL_SHARE = 0.2
"""Share of the requests that are cancelled immediately."""
_JUMP_SHARE, _DELETE_SHARE = 0.05, 0.3
"""Shares of the keystrokes before which the cursor jumps, and of those that delete."""
_WARM_UP_SHARE = 0.1
"""Share of the run after which memory is first measured."""
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class StressFigures:
    """`own_*_s`: from sending a request to reading its answer, without the engine's time and deliberate delays.

    `unanswered`, `answered_twice` and `unknown` count ids. `growth` is of the server's resident memory, in bytes.
    """

    seconds: float
    keys: int
    requests: int
    cancels: int
    suggestions: int
    unanswered: int
    answered_twice: int
    unknown: int
    own_p50_s: float
    own_p99_s: float
    growth: int
    texts_equal: bool


def measure(seconds: float, rate: float, environment: Mapping[str, str], seed: int = 0) -> StressFigures:
    """Types `rate` keys per second for `seconds`; a request follows each."""
    client = _Client(environment)
    rng = random.Random(seed)
    texts: dict[str, str] = dict.fromkeys(_URIS, _START)
    cursors: dict[str, int] = dict.fromkeys(_URIS, 0)
    try:
        client.begin(texts)
        started, resident, number, cancels = time.perf_counter(), 0, 0, 0
        while (elapsed := time.perf_counter() - started) < seconds:
            if not resident and elapsed >= _WARM_UP_SHARE * seconds:
                resident = client.resident()
            uri = rng.choice(_URIS)
            at = rng.randrange(len(texts[uri]) + 1) if rng.random() < _JUMP_SHARE else cursors[uri]
            texts[uri], change, cursors[uri] = _key(texts[uri], at, rng)
            number += 1
            client.notify("textDocument/didChange", _change_params(uri, number, change))
            position = _position(texts[uri], cursors[uri])
            request = client.request("textDocument/inlineCompletion", _completion_params(uri, position))
            if rng.random() < _CANCEL_SHARE:
                cancels += 1
                client.notify("$/cancelRequest", {"id": request})
            time.sleep(max(0.0, started + number / rate - time.perf_counter()))
        client.wait_for_answers()
        growth = client.resident() - resident
        equal = all(client.call(scripted.TEXT, {"uri": uri})["result"] == text for uri, text in texts.items())
        own = client.own
        return StressFigures(
            seconds=seconds,
            keys=number,
            requests=len(client.sent),
            cancels=cancels,
            suggestions=len(own),
            unanswered=len(client.sent.keys() - client.answers.keys()),
            answered_twice=sum(count > 1 for count in client.answers.values()),
            unknown=len(client.answers.keys() - client.sent.keys()),
            own_p50_s=quantile(own, 0.5),
            own_p99_s=quantile(own, 0.99),
            growth=growth,
            texts_equal=equal,
        )
    finally:
        client.close()


def table(figures: StressFigures) -> Iterator[str]:
    """The figures as a Markdown table, line by line."""
    yield "| what | figure |"
    yield "| --- | --- |"
    yield f"| keys, each with a request | {figures.keys} in {figures.seconds:.0f} s |"
    yield f"| requests cancelled | {figures.cancels} |"
    yield f"| answered with a suggestion | {figures.suggestions} |"
    yield (
        f"| ids without an answer, with two, unknown | "
        f"{figures.unanswered}, {figures.answered_twice}, {figures.unknown} |"
    )
    yield f"| the server's own time, p50 | {1000 * figures.own_p50_s:.1f} ms |"
    yield f"| the server's own time, p99 | {1000 * figures.own_p99_s:.1f} ms |"
    yield f"| growth of resident memory | {figures.growth / 2**20:+.1f} MiB |"
    yield f"| texts equal at the end | {'yes' if figures.texts_equal else 'NO'} |"


def _key(text: str, at: int, rng: random.Random) -> tuple[str, dict[str, Any], int]:
    """A random keystroke at `at`: the text after it, the change, and the new cursor."""
    if text[at - 1 : at + 1] == "\r\n":
        at += 1
    deleted = 1 if rng.random() < _DELETE_SHARE and at < len(text) and text[at : at + 2] != "\r\n" else 0
    inserted = "" if deleted else rng.choice(_INSERTED)
    if text[at - 1 : at] == "\r" and (inserted[:1] == "\n" or text[at + deleted : at + deleted + 1] == "\n"):
        deleted, inserted = 0, "x"  # a lone CR and an LF would become one line end
    change = {"range": {"start": _position(text, at), "end": _position(text, at + deleted)}, "text": inserted}
    after = text[:at] + inserted + text[at + deleted :]
    return after, change, at + len(inserted)


def _position(text: str, offset: int) -> dict[str, int]:
    """In UTF-16 units."""
    before = text[:offset].replace("\r\n", " \n").replace("\r", "\n")
    start = before.rfind("\n") + 1
    return {"line": before.count("\n"), "character": len(before[start:].encode("utf-16-le")) // 2}


def _change_params(uri: str, version: int, change: dict[str, Any]) -> dict[str, Any]:
    return {"textDocument": {"uri": uri, "version": version}, "contentChanges": [change]}


def _completion_params(uri: str, position: dict[str, int]) -> dict[str, Any]:
    return {"textDocument": {"uri": uri}, "position": position, "context": {"triggerKind": 2}}


@dataclass(slots=True)
class _Client:
    """An LSP client over stdio that records when each id was sent and answered."""

    environment: Mapping[str, str]
    sent: dict[int, float] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)
    own: list[float] = field(default_factory=list)
    _results: dict[int, Any] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        command = [sys.executable, "-P", "-m", scripted.__name__]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(self.environment)
        )
        threading.Thread(target=self._read, daemon=True).start()

    def begin(self, texts: Mapping[str, str]) -> None:
        self.call("initialize", {"processId": None, "rootUri": None, "capabilities": _CAPABILITIES})
        self.notify("initialized", {})
        for uri, text in texts.items():
            item = {"uri": uri, "languageId": "python", "version": 0, "text": text}
            self.notify("textDocument/didOpen", {"textDocument": item})
        while self.call("workspace/executeCommand", {"command": "lacuna.status"})["result"]["phase"] != "warm":
            time.sleep(0.01)
        self.sent.clear()
        self.answers.clear()

    def request(self, method: str, params: object) -> int:
        number = len(self._results)
        self._results[number] = None
        self.sent[number] = time.perf_counter()
        self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return number

    def notify(self, method: str, params: object) -> None:
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def call(self, method: str, params: object) -> dict[str, Any]:
        """Sends a request and waits for its answer, without counting it. Raises TimeoutError."""
        number = self.request(method, params)
        with self._changed:
            if not self._changed.wait_for(lambda: self._results[number] is not None, _TIMEOUT_S):
                raise TimeoutError(f"{method} was not answered.")
        del self.sent[number]
        del self.answers[number]
        answer: dict[str, Any] = self._results[number]
        return answer

    def wait_for_answers(self) -> None:
        """Waits until every request is answered, or the timeout has passed."""
        with self._changed:
            self._changed.wait_for(lambda: self.sent.keys() <= self.answers.keys(), _TIMEOUT_S)

    def resident(self) -> int:
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _send(self, message: object) -> None:
        body = json.dumps(message).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._process.stdin.flush()

    def _read(self) -> None:
        out = self._process.stdout
        assert out is not None
        while header := out.readline():
            length = int(header.split(b":")[1])
            while out.readline().strip():
                pass
            message = json.loads(out.read(length))
            if "method" not in message:
                self._record(message, time.perf_counter())

    def _record(self, message: dict[str, Any], now: float) -> None:
        number = int(message.get("id") or 0)
        with self._changed:
            self.answers[number] += 1
            self._results[number] = message
            items = (message.get("result") or {}).get("items") if isinstance(message.get("result"), dict) else None
            if items:
                self.own.append(now - self.sent[number] - float(items[0]["insertText"]))
            self._changed.notify_all()


_CAPABILITIES = {"textDocument": {"inlineCompletion": {}}, "general": {"positionEncodings": ["utf-16"]}}
