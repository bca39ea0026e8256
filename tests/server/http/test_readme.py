"""The requests in the documentation get the documented answers from the bundled model."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving import PATIENCE_S, Process, until

ROOT = Path(__file__).parents[3]
SHOWN = re.compile(r"^\$ curl (localhost:5000 .*)\n(.+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    log = tmp_path_factory.mktemp("serve") / "log"
    with Process(log) as process, httpx.Client(base_url=process.url, timeout=PATIENCE_S) as client:
        until(lambda: client.get("/health/ready").status_code == 200)
        yield client


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "docs/http.md"])
def test_documented_requests(bundled: httpx.Client, name: str) -> None:
    found = SHOWN.findall((ROOT / name).read_text(encoding="utf-8"))
    assert found
    for command, output in found:
        words = shlex.split(command)
        method = words[words.index("-X") + 1] if "-X" in words else "POST"
        data = "&".join(words[i + 1] for i, word in enumerate(words) if word == "-d")
        form = {"content-type": "application/x-www-form-urlencoded"}  # what curl sends
        answer = bundled.request(method, "/", content=data, headers=form).json()
        if output.endswith("..."):
            assert answer["completion"] == json.loads(output.removesuffix(", ...") + "}")["completion"]
        else:
            assert answer == json.loads(output)
