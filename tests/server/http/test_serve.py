"""`lacuna serve` with the bundled model: calls of its clients, and how operators stop it."""

from __future__ import annotations

import codecs
import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest
from serving import Process, until

DATA = Path(__file__).parents[2] / "data"
RECORDED, TLS = DATA / "http/llama-vim.json", DATA / "tls"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with Process(tmp_path_factory.mktemp("serve") / "log", "--log-level", "info") as process:
        until(lambda: httpx.get(f"{process.url}/health/ready").status_code == 200)
        yield process


@pytest.mark.face
def test_the_documented_curl_calls(served: Process) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl")

    def call(*words: str) -> str:
        return subprocess.run([curl, "-sS", *words], capture_output=True, text=True, check=True).stdout

    posted = json.loads(
        call(
            "-X",
            "POST",
            served.url,
            "-H",
            "Content-Type: application/json",
            "-d",
            '{"data":"#print hello world function"}',
        )
    )
    assert posted["text"] == "#print hello world function" + posted["completion"]
    put = json.loads(call(served.url, "-d", "data=# this function prints hello world", "-X", "PUT"))
    assert put.startswith("# this function prints hello world")
    assert "curl" in call(served.url)


@pytest.mark.face
def test_the_official_client(served: Process) -> None:
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none")
    (model,) = client.models.list().data
    arguments = {"model": model.id, "prompt": "import logging\n\nlogger = logging.", "suffix": "\n", "max_tokens": 16}
    answer = client.completions.create(**arguments, logprobs=2, seed=1)  # type: ignore[call-overload]
    assert answer.choices[0].text == "getLogger(__name__)"
    assert len(answer.choices[0].logprobs.tokens) == answer.usage.completion_tokens
    streamed = client.completions.create(**arguments, stream=True)  # type: ignore[call-overload]
    assert "".join(chunk.choices[0].text for chunk in streamed) == "getLogger(__name__)"
    several = client.completions.create(**{**arguments, "suffix": None}, n=3, temperature=0.8)  # type: ignore[call-overload]
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    other = client.completions.create(**{**arguments, "model": "qwen2.5-coder"})  # type: ignore[call-overload]
    assert (other.model, other.choices[0].text) == (model.id, "getLogger(__name__)")


def test_a_request_of_llama_vim(served: Process) -> None:
    body = json.loads(RECORDED.read_text())
    answer = httpx.post(f"{served.url}/infill", json=body, timeout=30).json()
    assert answer["content"].strip()
    assert set(answer) == set(body["response_fields"])
    assert answer["timings/predicted_n"] > 0
    again = httpx.post(f"{served.url}/infill", json={**body, "prompt": body["prompt"] + answer["content"][:1]}).json()
    assert again["timings/prompt_n"] <= 2


def test_a_key_of_a_session_is_cheap(served: Process) -> None:
    text = "import logging\n" + "x = 1\n" * 100
    body = {"suffix": "\nprint(x)\n", "session": "typist", "max_tokens": 8}
    httpx.post(served.url, json={**body, "data": text}, timeout=30)
    for end in ("l", "lo", "log"):
        usage = httpx.post(served.url, json={**body, "data": text + end}, timeout=30).json()["usage"]
        assert usage["prompt_tokens"] - usage["reused_tokens"] <= 2


def test_the_log_has_no_code(served: Process) -> None:
    httpx.post(served.url, json={"data": "my_secret_name = ", "max_tokens": 2}, timeout=30)
    httpx.post(f"{served.url}/my_secret_path?my_secret_query=1", json={})
    until(lambda: "POST / 200" in served.log_text)
    assert "secret" not in served.log_text


def test_every_described_request_is_answered_as_described(served: Process, tmp_path: Path) -> None:
    """Random requests generated from the OpenAPI description: no 5xx, and only described answers."""
    checks = "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance"
    result = subprocess.run(
        [Path(sys.executable).parent / "schemathesis", "run", f"{served.url}/openapi.json", "--checks", checks,
         "--max-examples", "20", "--seed", "1", "--request-timeout", "60",
         "--phases", "fuzzing", "--exclude-path", "/metrics"],
        capture_output=True, text=True, cwd=tmp_path, timeout=170, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-6000:]


def test_on_a_stop_signal_it_finishes_running_requests(tmp_path: Path) -> None:
    with Process(tmp_path / "log") as process, ThreadPoolExecutor(8) as callers:
        until(lambda: httpx.get(f"{process.url}/health/ready").status_code == 200)
        bodies = [{"data": f"def f{n}(x):\n    return ", "max_tokens": 300, "temperature": 3} for n in range(8)]
        answers = [callers.submit(httpx.post, process.url, json=body, timeout=150) for body in bodies]
        until(
            lambda: (
                "lacuna_requests_inside 8.0" in httpx.get(f"{process.url}/metrics").text
                or all(a.done() for a in answers)
            )
        )
        process.process.send_signal(signal.SIGTERM)
        assert [one.result().status_code for one in answers] == [200] * 8
        assert process.process.wait(30) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(process.url)


MOST_GROWTH_MIB = 10
"""What callers who left may leave: the caches of one would be twelve."""
KILLED = """
import sys, threading, httpx
def ask():
    while True:
        httpx.post(sys.argv[1], json={"data": "for x in ", "max_tokens": 400, "temperature": 3}, timeout=100)
for _ in range(3):
    threading.Thread(target=ask).start()
"""


def test_killed_callers_leave_nothing_behind(served: Process) -> None:
    def kill_some() -> None:
        callers = subprocess.Popen([sys.executable, "-c", KILLED, served.url], stderr=subprocess.DEVNULL)
        until(lambda: "lacuna_requests_inside 3.0" in httpx.get(f"{served.url}/metrics").text)
        callers.kill()
        callers.wait()
        until(lambda: "lacuna_requests_inside 0.0" in httpx.get(f"{served.url}/metrics").text)

    kill_some()
    before = served.resident_mib()
    for _ in range(5):
        kill_some()
    assert served.resident_mib() - before < MOST_GROWTH_MIB
    assert httpx.post(served.url, json={"data": "x = ", "max_tokens": 2}, timeout=30).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "0.0.0.0"), "Anyone who can reach 0.0.0.0 could use this server. Pass --token-file"),
        (("--token-file", "nowhere"), "nowhere cannot be read"),
        (("--tls-cert", "x"), "TLS needs a certificate and its key"),
        (("--tls-cert", "x", "--tls-key", "y"), "There is no file x"),
        (("--tls-cert", str(TLS / "key.pem"), "--tls-key", str(TLS / "key.pem")), "is not in PEM format"),
        (
            ("--tls-cert", str(TLS / "certificate.pem"), "--tls-key", str(TLS / "other-key.pem")),
            "cannot be used for TLS: the key is another certificate's. Check --tls-cert and --tls-key",
        ),
        (
            ("--tls-cert", str(TLS / "certificate.pem"), "--tls-key", str(TLS / "encrypted-key.pem")),
            "cannot be used for TLS: the key is encrypted.",
        ),
        (("--cors", "localhost:3000"), "'localhost:3000' is not the origin of a web page. Write https://HOST:PORT"),
        (("--model", "nowhere"), "There is no folder nowhere. Name a model folder"),
    ],
)
def test_an_impossible_configuration_is_a_one_line_error(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "lacuna_server", "serve", "--port", "0", *arguments],
        capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode in (1, 2)
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_a_port_in_use_is_a_one_line_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = subprocess.run(
            [sys.executable, "-m", "lacuna_server", "serve", "--port", port],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert result.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in result.stderr


def test_a_world_readable_token_is_warned_about(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a-token-of-twenty-signs\n")
    file.chmod(0o644)
    with Process(tmp_path / "log", "--host", "0.0.0.0", "--token-file", str(file)) as process:
        assert "chmod 600" in process.log_text
        url = process.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.post(url, json={"data": "x"}).status_code == 401
        assert httpx.get(f"{url}/health/live").status_code == 200


@pytest.mark.parametrize("secure", [False, True])
def test_sending_a_token_unencrypted_is_warned_about(secure: bool, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(codecs.BOM_UTF8 + b"a-token-of-twenty-signs\r\n")
    file.chmod(0o600)
    tls = ("--tls-cert", str(TLS / "certificate.pem"), "--tls-key", str(TLS / "key.pem")) if secure else ()
    with Process(tmp_path / "log", "--host", "0.0.0.0", "--token-file", str(file), *tls) as process:
        assert ("unencrypted" in process.log_text) == (not secure)
        assert process.url.startswith("https://" if secure else "http://")
        url, sent = process.url.replace("0.0.0.0", "127.0.0.1"), {"Authorization": "bearer a-token-of-twenty-signs"}
        assert httpx.get(f"{url}/metrics", headers=sent, verify=False).status_code == 200


def test_sending_code_unencrypted_is_warned_about_even_without_a_token(tmp_path: Path) -> None:
    with Process(tmp_path / "log", "--host", "0.0.0.0", "--no-auth") as process:
        assert "The code travels unencrypted" in process.log_text


def test_another_loopback_address_than_the_first(tmp_path: Path) -> None:
    with Process(tmp_path / "log", "--host", "127.0.0.2") as process:
        assert httpx.get(f"{process.url}/health/live").status_code == 200
