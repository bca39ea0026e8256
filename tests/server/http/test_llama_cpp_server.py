"""A real llama-cpp-python server through the `Engine` protocol, where it is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from serving import until

from lacuna_inference.api import Phase, Request, Stop
from lacuna_inference.remote.engine import RemoteEngine, RemoteOptions
from lacuna_lab.bench.servers import free_port, llama_cpp, running

ROOT = Path(__file__).parents[3]


def test_completions_of_llama_cpp_with_lacuna_s_prompt(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp.server.app", reason="pip install 'llama-cpp-python[server]'")
    file, port = tmp_path / "lacuna.gguf", free_port()
    subprocess.run(
        [sys.executable, "-m", "training", "gguf", "--target", str(file)], cwd=ROOT / "inference", check=True
    )
    with running(llama_cpp(file, port, 512), port, "/v1/models") as server:
        engine = RemoteEngine(RemoteOptions(server.url, "openai", family="lacuna", context=512))
        request = Request(("import logging\n\nlogger = logging.", "\n"), path="a.py", stop=Stop(16, single_line=True))
        assert "ogger(__name__)" in engine.submit(request).result(60).candidates[0].text  # words are not healed there
        assert engine.state.phase is Phase.WARM
        assert httpx.get(f"{server.url}/v1/models").status_code == 200
        engine.close()
    until(lambda: server.process.poll() is not None)
