"""The dtypes that are compared: what they are called, how a model is loaded in one, and where one cannot be had."""

from __future__ import annotations

from dataclasses import replace

from lacuna_inference.api import ModelOptions
from lacuna_inference.engine.assemble import LoadedModel, load_model
from lacuna_inference.errors import BadRequest
from lacuna_inference.models.forward.linear import QUANTIZED_KERNELS

NAMES = {
    "fp32": "float32", "float32": "float32", "fp16": "float16", "float16": "float16",
    "bf16": "bfloat16", "bfloat16": "bfloat16", "int8": "int8", "int4": "int4",
}  # fmt: skip


def named(names: str) -> list[str]:
    """Dtypes of a list with commas, by their whole names. Raises BadRequest for an unknown one."""
    found = [name.strip().lower() for name in names.split(",") if name.strip()]
    if unknown := [name for name in found if name not in NAMES]:
        raise BadRequest(f"There is no dtype called {unknown[0]!r}.", "Known: fp32, fp16, bf16, int8, int4.")
    if not found:
        raise BadRequest("No dtype is named.", "For example: --test fp16,bf16.")
    return list(dict.fromkeys(NAMES[name] for name in found))


def options(base: ModelOptions, dtype: str, acceleration: str = "none") -> ModelOptions:
    """How to load the model in `dtype`: without drafts and recorded steps, so that nothing else differs."""
    computed = "float32" if dtype in QUANTIZED_KERNELS else dtype
    quantization = dtype if dtype in QUANTIZED_KERNELS else "none"
    return replace(base, dtype=computed, quantization=quantization, acceleration=acceleration, draft_tokens=0)


def loaded(base: ModelOptions, dtype: str, acceleration: str = "none") -> LoadedModel:
    """The model in `dtype`. Raises what loading raises."""
    return load_model(options(base, dtype, acceleration), lambda *_: None)
