"""A language server that uses `lacuna serve`: same answers, no torch, cancels that arrive, a server that stops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from raw_client import RawClient
from serving import Process, until

from lacuna_inference.api import CancelToken, ModelOptions, Request, Sampling, Stop
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.errors import RequestCancelled
from lacuna_inference.remote.engine import RemoteEngine, RemoteOptions

URI = "file:///project/a.py"
TEXT = "import logging\n\nlogger = logging.\n"
TOKEN = "a-token-of-twenty-signs"
REQUESTS = [
    Request(("import logging\n\nlogger = logging.", "\n"), path="a.py"),
    Request(("def f(x):\n    return x", "\n"), stop=Stop(single_line=True), document_id="d"),
    Request(("def f(x):\n    return x.", "\n"), stop=Stop(single_line=True), document_id="d"),
    Request(("x = [", "]\ny = [", "]\n"), stop=Stop(8)),
    Request(("import ",), candidates=3, sampling=Sampling(0.8, 0.9, seed=3), stop=Stop(5)),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("serve")
    (folder / "token").write_text(TOKEN)
    with Process(folder / "log", "--token-file", str(folder / "token")) as process:
        yield process


def test_a_remote_engine_gives_the_answers_of_a_local_one(served: Process) -> None:
    local, remote = ModelEngine(ModelOptions()), RemoteEngine(RemoteOptions(served.url, token=TOKEN))
    for request in REQUESTS:
        here, there = local.submit(request).result(60), remote.submit(request).result(60)
        for ours, theirs in zip(here.candidates, there.candidates, strict=True):
            assert [(f.text, f.reason) for f in theirs.fills] == [(f.text, f.reason) for f in ours.fills]
            assert [f.mean_logprob for f in theirs.fills] == pytest.approx(
                [f.mean_logprob for f in ours.fills], abs=1e-4
            )
        assert there.metrics.prompt_tokens == here.metrics.prompt_tokens
    local.close()
    remote.close()


def test_a_cancel_reaches_the_server(served: Process) -> None:
    remote = RemoteEngine(RemoteOptions(served.url, token=TOKEN))
    cancel = CancelToken()
    endless = Request(("# this function prints hello world",), stop=Stop(400), candidates=16, distinct=False)
    running = remote.submit(endless, cancel)
    until(lambda: "lacuna_requests_inside 1.0" in numbers(served))
    cancel.cancel()
    with pytest.raises(RequestCancelled):
        running.result(10)
    until(lambda: "lacuna_requests_inside 0.0" in numbers(served))
    remote.close()


@pytest.mark.face
def test_a_language_server_needs_no_local_model(served: Process, tmp_path: Path) -> None:
    token = served.log.parent / "token"
    arguments = ("--engine", served.url, "--engine-token-file", str(token))
    without_torch = {"LACUNA_STATISTICS": "false", "PYTHONPATH": str(forbid_torch(tmp_path))}
    with RawClient(*arguments, env=without_torch) as client:
        client.initialize(capabilities={"textDocument": {"inlineCompletion": {}}})
        client.notify("initialized", {})
        client.wait_for("window/logMessage", "Lacuna is ready: bundled at http://127.0.0.1")
        document = {"uri": URI, "languageId": "python", "version": 1, "text": TEXT}
        client.notify("textDocument/didOpen", {"textDocument": document})
        at = {"textDocument": {"uri": URI}, "position": {"line": 2, "character": 17}, "context": {"triggerKind": 1}}
        (item,) = client.call("textDocument/inlineCompletion", at)["result"]["items"]
        assert item["insertText"] == "getLogger(__name__)"


def test_a_lost_server_is_reported_and_found_again(tmp_path: Path) -> None:
    with Process(tmp_path / "log") as first:
        port = first.url.rpartition(":")[2]
        with RawClient("--engine", first.url, env={"LACUNA_STATISTICS": "false"}) as client:
            client.initialize(capabilities={"textDocument": {"inlineCompletion": {}}})
            client.notify("initialized", {})
            client.wait_for("window/logMessage", "Lacuna is ready")
            first.process.kill()
            first.process.wait()
            document = {"uri": URI, "languageId": "python", "version": 1, "text": TEXT}
            client.notify("textDocument/didOpen", {"textDocument": document})
            at = {"textDocument": {"uri": URI}, "position": {"line": 2, "character": 17}, "context": {"triggerKind": 1}}
            assert client.call("textDocument/inlineCompletion", at)["result"]["items"] == []
            client.wait_for("window/showMessage", "does not answer")
            with Process(tmp_path / "log2", "--port", port):
                client.wait_for("window/showMessage", "bundled at")
                items = client.call("textDocument/inlineCompletion", at)["result"]["items"]
                assert "getLogger(__name__)" in [item["insertText"] for item in items]


def numbers(served: Process) -> str:
    return httpx.get(f"{served.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text


def forbid_torch(folder: Path) -> Path:
    """A folder whose `torch` cannot be imported."""
    (folder / "torch").mkdir()
    (folder / "torch/__init__.py").write_text("raise ImportError('torch is not needed here')\n")
    return folder
