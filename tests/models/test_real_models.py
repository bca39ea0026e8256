"""What only a real model shows: its answers, its size in memory, and what eight bits cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lacuna_inference import text as text_module
from lacuna_inference.api import ModelOptions, Request
from lacuna_inference.engine.assemble import LoadedModel, load_model
from lacuna_inference.engine.engine import ModelEngine

FOLDER = Path(os.environ.get("LACUNA_MODELS") or ".models")
"""Read here, because tests see none of these variables."""
CODER, SMALL = FOLDER / "qwen2.5-coder-0.5b.gguf", FOLDER / "smollm2-135m.gguf"
HOW = "python tests/models/fetch.py FOLDER, then make test-models FOLDER=FOLDER"
OTHERS_BYTES = 250e6
"""What a process may take beside torch, the model's file and its KV cache. How much of torch's own files is resident
differs by the state of the system's page cache."""

pytestmark = [
    pytest.mark.models,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not (CODER.is_file() and SMALL.is_file()), reason=f"no real models are named: {HOW}"),
]

MEASURE = """
import json, sys
from pathlib import Path
from lacuna_inference.models.loading.sources import configure_libraries
configure_libraries()
import torch
def in_status(field):
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[field].split()[0]) * 1024

torch_alone = in_status("VmRSS")
from lacuna_inference.api import ModelOptions
from lacuna_inference.engine.assemble import load_model

model = load_model(ModelOptions(sys.argv[1], device="cpu"), lambda *_: None)
forward = model.forward
kv_cache = forward.new_kv_cache()
for start in range(0, 1024, 256):
    forward.step(list(range(1000 + start, 1256 + start)), kv_cache)
peak = in_status("VmHWM") - torch_alone
print(json.dumps({"peak": peak, "kv": kv_cache.nbytes, "dtype": model.dtype}))
"""


def loaded(file: Path, quantization: str = "auto") -> LoadedModel:
    return load_model(ModelOptions(str(file), device="cpu", quantization=quantization), lambda *_: None)


@pytest.mark.parametrize(("file", "family"), [(CODER, "qwen2.5-coder"), (SMALL, "plain")])
def test_it_completes_a_function(file: Path, family: str) -> None:
    engine = ModelEngine(ModelOptions(str(file), device="cpu"))
    engine.start()
    try:
        request = Request(parts=("def add(a, b):\n    return ", "\n\n\nprint(add(1, 2))\n"), path="add.py")
        result = engine.submit(request).result(300)
        assert engine.state.facts.family == family
        assert result.candidates[0].text.startswith("a + b")
    finally:
        engine.close()


def test_eight_bits_are_near_fp32() -> None:
    exact, eight = loaded(CODER, "none"), loaded(CODER)
    assert (exact.dtype, eight.dtype) == ("float32", "int8")
    ids = exact.decoder.tokenizer.encode(Path(str(text_module.__file__)).read_text())[:256]
    reference, found = (
        model.forward.step(ids, model.forward.new_kv_cache(), 128).float().log_softmax(-1)  # type: ignore[union-attr]
        for model in (exact, eight)
    )
    divergence = (reference.exp() * (reference - found)).sum(-1)
    assert divergence.mean() < 0.004
    assert (reference.argmax(-1) == found.argmax(-1)).float().mean() > 0.96


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of its memory from /proc")
@pytest.mark.parametrize("file", [CODER, SMALL], ids=lambda file: file.stem)
def test_it_takes_the_memory_of_its_file(file: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, str(file)], capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout)
    assert measured["dtype"] == "int8"
    assert measured["peak"] <= file.stat().st_size + measured["kv"] + OTHERS_BYTES


@pytest.mark.parametrize("file", [CODER, SMALL], ids=lambda file: file.stem)
def test_tokens_read_together_and_one_by_one_give_nearly_the_same(file: Path) -> None:
    """Products of integers are exact; but attention's last bits differ, and may move an activation by a step."""
    model = loaded(file)
    forward = model.forward
    assert forward is not None
    ids = model.decoder.tokenizer.encode(Path(str(text_module.__file__)).read_text())[:120]
    whole = forward.step(ids, forward.new_kv_cache(), len(ids)).log_softmax(-1)
    kv_cache = forward.new_kv_cache()
    parts = torch.cat([forward.step([token], kv_cache) for token in ids]).log_softmax(-1)
    assert (whole.exp() * (whole - parts)).sum(-1).mean() < 0.003
    assert (whole.argmax(-1) == parts.argmax(-1)).float().mean() > 0.93
