"""The precision study against llama.cpp with the same weights: same distributions, same cost of half precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lacuna_inference.api import ModelOptions
from lacuna_inference.models.loading import sources
from lacuna_lab.bench import llama_cpp
from lacuna_lab.precision import kl_statistics, logits, variants
from lacuna_lab.precision.questions import Questions, questions

pytest.importorskip("llama_cpp")
gguf_file = pytest.importorskip("training.gguf_file")
OPTIONS = ModelOptions(device="cpu", context=512)


def asked() -> Questions:
    return questions(OPTIONS, [], tokens=400, hole_count=0, seed=0)


def read(forward: Any, windows: Questions, size: int) -> list[Tensor]:
    return [
        torch.cat([found.float() for _, found in logits.chunks(forward, window)])[:, :size]
        for window in windows.windows
    ]


def by_llama_cpp(file: Path, windows: Questions, size: int) -> list[Tensor]:
    forward = llama_cpp.LlamaForward(llama_cpp.load(file, 512))
    found = []
    for window in windows.windows:
        kv_cache = forward.new_kv_cache()
        rows = torch.stack([forward.step([token], kv_cache)[0].clone() for token in window.ids[:-1]])
        found.append(rows[window.first - 1 :, :size])
    return found


def divergence(reference: list[Tensor], test: list[Tensor], windows: Questions) -> float:
    found = [
        kl_statistics.compare(one, other, torch.tensor(window.ids[window.first :]), window.first)
        for one, other, window in zip(reference, test, windows.windows, strict=True)
    ]
    return kl_statistics.summary(found).divergence.mean


def test_llama_cpp_finds_the_same_cost(tmp_path: Path) -> None:
    windows, folder = asked(), sources.bundled_folder()
    loaded = variants.loaded(OPTIONS, "float32")
    size = loaded.decoder.tokenizer.size
    ours = read(loaded.forward, windows, size)
    theirs = {}
    for name, half in (("f32", False), ("f16", True)):
        gguf_file.write_gguf(folder, tmp_path / f"{name}.gguf", half)
        theirs[name] = by_llama_cpp(tmp_path / f"{name}.gguf", windows, size)
    assert divergence(ours, theirs["f32"], windows) < 1e-6
    cost = divergence(theirs["f32"], theirs["f16"], windows)
    assert 1e-8 < cost < 1e-5
    half = read(variants.loaded(OPTIONS, "float16").forward, windows, size)
    # llama.cpp rounds the inputs of a product; here everything between two products is in half precision, too
    assert cost < divergence(ours, half, windows) < 10 * cost
