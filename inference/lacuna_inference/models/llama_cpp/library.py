"""llama.cpp's C interface (include/llama.h of the project llama.cpp), in a Python package that carries it.

Structures whose layout differs between versions are passed as blocks that are larger than any version's: llama.cpp
fills one with its defaults, and only fields whose place has not changed in years are set. A context tells afterwards
what it was given, which `context.py` compares.
"""

from __future__ import annotations

import ctypes
from collections import deque
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int32, c_size_t, c_uint8, c_uint32, c_void_p
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

INSTALL = "pip install 'lacuna-lsp[llama-cpp]'"
_PACKAGES = {"xllamacpp": ("xllamacpp", "xllamacpp*"), "llama_cpp": ("llama-cpp-python", "lib/*llama.*")}
"""Modules that carry llama.cpp: their distributions, and where the library is in them."""
_SUFFIXES = (".so", ".dylib", ".dll", ".pyd")
_BLOCK = 1024
"""Bytes, of which the structures take about 150."""
_LOG_ERROR = 4


class ModelParams(ctypes.Structure):
    _fields_ = [("_pointers", c_void_p * 2), ("n_gpu_layers", c_int32), ("_rest", c_uint8 * (_BLOCK - 20))]


class ContextParams(ctypes.Structure):
    _fields_ = [
        ("n_ctx", c_uint32), ("n_batch", c_uint32), ("n_ubatch", c_uint32), ("n_seq_max", c_uint32),
        ("_rest", c_uint8 * (_BLOCK - 16)),
    ]  # fmt: skip


class Batch(ctypes.Structure):
    _fields_ = [
        ("n_tokens", c_int32), ("token", c_void_p), ("embd", c_void_p), ("pos", c_void_p), ("n_seq_id", c_void_p),
        ("seq_id", c_void_p), ("logits", c_void_p),
    ]  # fmt: skip


_LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, c_char_p, c_void_p)
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "llama_backend_init": (None, []),
    "llama_log_set": (None, [_LogCallback, c_void_p]),
    "llama_model_default_params": (ModelParams, []),
    "llama_context_default_params": (ContextParams, []),
    "llama_model_load_from_file": (c_void_p, [c_char_p, ModelParams]),
    "llama_model_free": (None, [c_void_p]),
    "llama_model_get_vocab": (c_void_p, [c_void_p]),
    "llama_vocab_n_tokens": (c_int32, [c_void_p]),
    "llama_init_from_model": (c_void_p, [c_void_p, ContextParams]),
    "llama_free": (None, [c_void_p]),
    "llama_n_ctx": (c_uint32, [c_void_p]),
    "llama_n_batch": (c_uint32, [c_void_p]),
    "llama_n_seq_max": (c_uint32, [c_void_p]),
    "llama_set_n_threads": (None, [c_void_p, c_int32, c_int32]),
    "llama_get_memory": (c_void_p, [c_void_p]),
    "llama_memory_seq_rm": (c_bool, [c_void_p, c_int32, c_int32, c_int32]),
    "llama_decode": (c_int32, [c_void_p, Batch]),
    "llama_get_logits_ith": (POINTER(c_float), [c_void_p, c_int32]),
    "llama_state_seq_get_size": (c_size_t, [c_void_p, c_int32]),
    "llama_state_seq_get_data": (c_size_t, [c_void_p, c_void_p, c_size_t, c_int32]),
    "llama_state_seq_set_data": (c_size_t, [c_void_p, c_void_p, c_size_t, c_int32]),
    "llama_supports_gpu_offload": (c_bool, []),
}


@dataclass(frozen=True, slots=True)
class Library:
    """llama.cpp in the distribution `name`; its functions are attributes of `functions`."""

    name: str
    version: str
    functions: Any

    def errors(self) -> str:
        """What llama.cpp has logged as errors since the last call, in one line."""
        found = "; ".join(_errors) or "it does not say why"
        _errors.clear()
        return found.rstrip(".")


def is_installed() -> bool:
    """Whether a package with llama.cpp is installed. Loads nothing."""
    return bool(_candidates())


@cache
def load() -> Library | None:
    """llama.cpp from the first package that has what is needed of it; None without one."""
    for name, path in _candidates():
        try:
            functions = _declared(ctypes.CDLL(str(path)))
        except (OSError, AttributeError):  # a build for another processor, or without these functions
            continue
        functions.llama_log_set(_log, None)
        functions.llama_backend_init()
        return Library(name, metadata.version(name), functions)
    return None


def _candidates() -> list[tuple[str, Path]]:
    """Distributions that are installed, and their libraries."""
    found: list[tuple[str, Path]] = []
    for module, (distribution, pattern) in _PACKAGES.items():
        spec = find_spec(module)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            files = sorted(Path(folder).glob(pattern))
            found += [(distribution, file) for file in files if file.suffix in _SUFFIXES]
    return found


def _declared(library: Any) -> Any:
    """`library` with the types of its functions. Raises AttributeError if one is missing."""
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_errors: deque[str] = deque(maxlen=3)


def _keep_errors(level: int, text: bytes, _: object) -> None:
    """Keeps errors for messages. The rest would be printed, and tells nothing that a user needs."""
    if level == _LOG_ERROR and (line := text.decode(errors="replace").strip()):
        _errors.append(line)


_log = _LogCallback(_keep_errors)
"""Held here: llama.cpp calls it as long as the process lives."""
