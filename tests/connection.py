"""The language server in the test's own process: messages in, messages out, and a scripted engine."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from lacuna_inference.api import Engine
from lacuna_server.lsp import app
from lacuna_server.lsp.language_server import LacunaServer
from lacuna_server.settings import load_leniently


class Connection:
    """A server without a process: messages in, messages out."""

    def __init__(
        self, engine: Engine, encoding: str = "utf-16", params: dict[str, Any] | None = None, **capabilities: Any
    ) -> None:
        """`capabilities` and `params` go into the initialize request, beside inline completion and `encoding`."""
        self.sent: list[dict[str, Any]] = []
        settings, warnings = load_leniently(statistics=False)
        self.server: LacunaServer = app.build(settings, warnings, make_engine=lambda _: engine)
        self.server.protocol.set_writer(self, include_headers=False)  # type: ignore[arg-type]
        known = {"general": {"positionEncodings": [encoding]}, "textDocument": {"inlineCompletion": {}}}
        whole = {"processId": None, "rootUri": None, "capabilities": {**known, **capabilities}, **(params or {})}
        self.send({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": whole})

    def write(self, data: bytes) -> None:
        self.sent.append(json.loads(data))

    def send(self, message: object) -> None:
        self.server.protocol.receive(message if isinstance(message, bytes) else json.dumps(message).encode())

    def notify(self, method: str, params: object) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    async def call(self, method: str, params: object) -> dict[str, Any]:
        return (await self.answered(method, params))[-1]

    async def answered(self, method: str, params: object) -> list[dict[str, Any]]:
        """Everything that was sent up to the answer, which is the last."""
        self.send({"jsonrpc": "2.0", "id": "asked", "method": method, "params": params})
        while not (found := [n for n, message in enumerate(self.sent) if message.get("id") == "asked"]):
            await asyncio.sleep(0)
        messages = self.sent[: found[0] + 1]
        self.sent.clear()
        return messages

    async def ask(self, uri: str, **extra: Any) -> list[str]:
        params = {"textDocument": {"uri": uri}, "position": {"line": 0, "character": 0}, **extra}
        answer = await self.call("textDocument/inlineCompletion", {"context": {"triggerKind": 1}, **params})
        return [item["insertText"] for item in answer["result"]["items"]]

    async def reason(self) -> str | None:
        explained = await self.call("workspace/executeCommand", {"command": "lacuna.explain"})
        return explained["result"]["withheld"]  # type: ignore[no-any-return]

    async def shown(self) -> str:
        """The next message that is shown to the user."""
        while not (found := [m for m in self.sent if m.get("method") == "window/showMessage"]):
            await asyncio.sleep(0)
        return found[0]["params"]["message"]  # type: ignore[no-any-return]

    def logged(self) -> list[str]:
        return texts_of(self.sent, "window/logMessage")


def texts_of(messages: list[dict[str, Any]], method: str) -> list[str]:
    return [message["params"]["message"] for message in messages if message.get("method") == method]
