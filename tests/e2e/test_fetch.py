"""`lacuna models fetch` against a small hub on loopback, and then everything without it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from helpers import save_tiny_model
from small_gguf import write_gguf, write_split

LACUNA = str(Path(sys.executable).parent / "lacuna")
COMMIT = "0" * 39 + "1"


class Hub(BaseHTTPRequestHandler):
    """The four addresses of the hub that a download requests; `files` is the content of the repository."""

    files: dict[str, bytes] = {}  # noqa: RUF012
    asked: list[str] = []  # noqa: RUF012
    prefix = "team/tiny"
    ranges: list[str] = []  # noqa: RUF012
    sums: dict[str, str] = {}  # noqa: RUF012
    """SHA-256 that are told instead of the right ones."""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        path = self.path.split("?")[0]
        self.asked.append(path)
        if not path.removeprefix("/api/models").startswith(f"/{self.prefix}"):
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if "/tree/" in path:
            tree = [{"type": "file", "path": n, "size": len(c), "oid": _etag(c)} for n, c in self.files.items()]
            return self._json(tree)
        if path.startswith("/api/models/"):
            siblings = [{"rfilename": name, "lfs": self._lfs(name)} for name in self.files]
            return self._json({"id": "team/tiny", "sha": COMMIT, "siblings": siblings, "private": False})
        content = self.files[path.partition(f"/resolve/{COMMIT}/")[2] or path.rpartition("/resolve/main/")[2]]
        headers = {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if (asked := self.headers.get("Range")) is None:
            return self._send(200, content, headers, with_body)
        self.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").split("-")[0])
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return self._send(206, content[start:], headers, with_body)

    def _lfs(self, name: str) -> dict[str, Any] | None:
        """What the hub says of a large file."""
        if not name.endswith((".safetensors", ".gguf", ".onnx")):
            return None
        content = self.files[name]
        sha256 = self.sums.get(name) or hashlib.sha256(content).hexdigest()
        return {"size": len(content), "sha256": sha256, "pointerSize": 134}

    def _json(self, content: Any) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, code: int, body: bytes, headers: dict[str, str], with_body: bool = True) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    folder = save_tiny_model(tmp_path / "source", "gpt_bigcode", "starcoder")
    Hub.files = {file.name: file.read_bytes() for file in folder.iterdir()} | {"huge.onnx": b"not wanted"}
    Hub.asked, Hub.ranges, Hub.sums, Hub.prefix = [], [], {}, "team/tiny"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    yield Hub
    server.shutdown()
    server.server_close()


def lacuna(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([LACUNA, *arguments], input=stdin, capture_output=True, timeout=120)


def test_fetch_then_complete_without_asking_the_hub_again(hub: type[Hub]) -> None:
    fetched = lacuna("models", "fetch", "team/tiny")
    assert fetched.returncode == 0, fetched.stderr.decode()
    assert b"team/tiny is in " in fetched.stdout
    assert fetched.stderr == b""
    assert not [path for path in hub.asked if path.endswith("huge.onnx")]
    hub.asked.clear()
    assert b"team/tiny" in lacuna("models", "list").stdout
    done = lacuna("complete", "-", "--model", "team/tiny", "--json", stdin=b"x = <FILL>\n")
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["model"] == "team/tiny"
    assert hub.asked == []


def test_a_model_missing_on_the_hub(hub: type[Hub]) -> None:
    done = lacuna("models", "fetch", "team/nothing")
    assert done.returncode == 1
    assert done.stderr.decode().startswith("lacuna: The hub has no model 'team/nothing'")


def test_pickled_weights_are_fetched_with_the_advice_to_convert_them(hub: type[Hub]) -> None:
    del hub.files["model.safetensors"]
    hub.files["pytorch_model.bin"] = b"pickled"
    done = lacuna("models", "fetch", "team/tiny")
    assert done.returncode == 0, done.stderr.decode()
    assert b"lacuna models convert team/tiny" in done.stderr


def test_what_an_interrupted_download_left_is_continued(hub: type[Hub], tmp_path: Path) -> None:
    content = hub.files["model.safetensors"]
    blobs = tmp_path / "cache" / "hub" / "models--team--tiny" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{_etag(content)}.lacuna-part").write_bytes(content[:1000])
    done = lacuna("models", "fetch", "team/tiny")
    assert done.returncode == 0, done.stderr.decode()
    assert hub.ranges == ["bytes=1000-"]
    assert (blobs / _etag(content)).read_bytes() == content
    assert not list(blobs.glob("*part"))
    hub.asked.clear()
    (blobs / _etag(content)).write_bytes(content[:-1] + b"!")  # a damaged file is fetched again
    assert lacuna("models", "fetch", "team/tiny").returncode == 0
    assert (blobs / _etag(content)).read_bytes() == content


def test_a_file_that_arrives_with_another_sum_is_not_kept(hub: type[Hub], tmp_path: Path) -> None:
    hub.sums["model.safetensors"] = "0" * 64
    done = lacuna("models", "fetch", "team/tiny")
    assert done.returncode == 1
    assert done.stderr.decode().startswith("lacuna: model.safetensors arrived damaged: its SHA-256 is not the hub's.")
    content = hub.files["model.safetensors"]
    assert not list((tmp_path / "cache").rglob(f"{_etag(content)}*"))


def test_a_name_of_the_catalogue_is_fetched_from_its_place(hub: type[Hub], tmp_path: Path) -> None:
    hub.prefix = "ggml-org/Qwen2.5-Coder-0.5B-Q8_0-GGUF"
    hub.files = {"qwen2.5-coder-0.5b-q8_0.gguf": write_gguf(tmp_path / "m.gguf").read_bytes(), "README.md": b"x"}
    done = lacuna("models", "fetch", "qwen2.5-coder-0.5b")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().strip().endswith("qwen2.5-coder-0.5b-q8_0.gguf")
    hub.asked.clear()
    found = lacuna("models", "info", "qwen2.5-coder-0.5b")  # a vocabulary so small has no merges
    assert b"qwen2.5-coder-0.5b-q8_0.gguf has a tokenizer without merges" in found.stderr
    missing = lacuna("complete", "-", "--model", "qwen2.5-coder-7b", stdin=b"x = <FILL>\n")
    assert b"lacuna models fetch qwen2.5-coder-7b" in missing.stderr
    bundled = lacuna("models", "fetch", "bundled")
    assert bundled.stderr.decode().startswith("lacuna: The model bundled comes with Lacuna.")
    assert hub.asked == []


@pytest.fixture
def gguf_hub(hub: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    """A repository with three quantizations of a model, one of them in two parts, and what belongs beside them."""
    parts = write_split(tmp_path / "parts", "tiny-Q4_K_M", 2)
    small = write_gguf(tmp_path / "m.gguf").read_bytes()
    hub.files = {f"big/{part.name}": part.read_bytes() for part in parts} | {
        "tiny-Q8_0.gguf": small, "tiny-F16.gguf": small + b"\0", "mmproj-tiny-Q8_0.gguf": small, "README.md": b"x",
        "config.json": b"{}",
    }  # fmt: skip
    monkeypatch.setenv("HOME", str(tmp_path))
    return hub


def fetched(name: str) -> Path:
    """The GGUF file that is fetched and then found, without asking the hub again."""
    done = lacuna("models", "fetch", name)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    said, _, path = done.stdout.decode().strip().partition(" is ")
    assert said == name
    Hub.asked.clear()
    rows = json.loads(lacuna("models", "list", "--json").stdout)
    assert path in [row["path"] for row in rows]
    assert Hub.asked == []
    return Path(path)


@pytest.mark.parametrize("asked", ["tiny-Q8_0.gguf", "q8_0"])
def test_a_gguf_file_is_fetched_alone(gguf_hub: type[Hub], asked: str) -> None:
    path = fetched(f"team/tiny:{asked}")
    assert [file.name for file in path.parent.iterdir()] == ["tiny-Q8_0.gguf"]


def test_all_parts_of_a_gguf_model_are_fetched(gguf_hub: type[Hub]) -> None:
    path = fetched("team/tiny:Q4_K_M")
    assert path.name == "tiny-Q4_K_M-00001-of-00002.gguf"
    assert len(list(path.parent.iterdir())) == 2
    assert [entry.name for entry in path.parent.parent.iterdir()] == ["big"]


def test_the_only_gguf_file_needs_no_name(gguf_hub: type[Hub]) -> None:
    for name in [name for name in gguf_hub.files if name not in ("tiny-Q8_0.gguf", "README.md")]:
        del gguf_hub.files[name]
    assert fetched("team/tiny").name == "tiny-Q8_0.gguf"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("team/tiny", "team/tiny has 3 GGUF files (big/tiny-Q4_K_M-00001-of-00002.gguf, "),
        ("team/tiny:Q2_K", "team/tiny has no file Q2_K on the hub: it has big/tiny-Q4_K_M-00001-of-00002.gguf, "),
        ("team/nothing:Q8_0", "The hub has no model 'team/nothing' that you may read."),
    ],
)
def test_what_cannot_be_fetched(gguf_hub: type[Hub], name: str, said: str) -> None:
    done = lacuna("models", "fetch", name)
    assert done.returncode != 0
    assert done.stderr.decode().startswith(f"lacuna: {said}")
    assert len(done.stderr.splitlines()) == 1
    assert not [path for path in gguf_hub.asked if "/resolve/" in path]
