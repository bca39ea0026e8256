"""The dtypes that can be compared: their names, and how to load a model in each."""

from __future__ import annotations

from dataclasses import replace

from lacuna_inference.api import ModelOptions
from lacuna_inference.engine.assemble import LoadedModel, load_model
from lacuna_inference.errors import BadRequest
from lacuna_inference.models.forward.quantized import QUANTIZED_KERNELS

NAMES = {
    "fp32": "float32", "float32": "float32", "fp16": "float16", "float16": "float16",
    "bf16": "bfloat16", "bfloat16": "bfloat16", "int8": "int8", "int4": "int4",
}  # fmt: skip


def parse_dtypes(names: str) -> list[str]:
    """The full names of comma-separated dtypes, each once. Raises BadRequest for an unknown one, and for none."""
    parsed = [name.strip().lower() for name in names.split(",") if name.strip()]
    if unknown := [name for name in parsed if name not in NAMES]:
        raise BadRequest(f"There is no dtype called {unknown[0]!r}.", "Known: fp32, fp16, bf16, int8, int4.")
    if not parsed:
        raise BadRequest("No dtype is named.", "For example: --test fp16,bf16.")
    return list(dict.fromkeys(NAMES[name] for name in parsed))


def options(base: ModelOptions, dtype: str, acceleration: str = "none") -> ModelOptions:
    """Options for loading the model in `dtype`, without drafts and captured steps so that nothing else differs."""
    compute_dtype = "float32" if dtype in QUANTIZED_KERNELS else dtype
    quantization = dtype if dtype in QUANTIZED_KERNELS else "none"
    return replace(base, dtype=compute_dtype, quantization=quantization, acceleration=acceleration, draft_tokens=0)


def loaded(base: ModelOptions, dtype: str, acceleration: str = "none") -> LoadedModel:
    """The model in `dtype`. Raises the errors of `load_model`."""
    return load_model(options(base, dtype, acceleration), lambda *_: None)
