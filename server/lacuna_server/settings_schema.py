"""The schema of the settings: names, types, limits, descriptions. `settings.py` reads their values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from lacuna_inference.api import BUNDLED, ModelOptions
from lacuna_inference.prompt.families import FAMILIES
from lacuna_server.contradictions import named_twice
from lacuna_server.core.gate import EAGERNESS
from lacuna_server.kept import PACKED_WEIGHTS

Dtype = Literal["auto", "float32", "fp32", "float16", "fp16", "bfloat16", "bf16"]
Quantization = Literal["auto", "none", "int8", "int4"]
LayoutKind = Literal["auto", "anchored", "canonical"]
ForwardKind = Literal["auto", "own", "llama.cpp", "transformers"]
Acceleration = Literal["auto", "graphs", "compile", "none"]
Level = Literal["debug", "info", "warning", "error"]
_DEVICE = r"^(auto|cpu|mps|cuda(:\d+)?)$"
_DEVICE_MAP = r"^(auto|balanced|balanced_low_0|sequential|cpu|mps|cuda(:\d+)?)$"
_MEMORY_DEVICE, _MEMORY = re.compile(r"\d+|cpu|mps|disk"), re.compile(r"\d+(\.\d+)?\s*[KMGT]?i?B", re.IGNORECASE)
_MAX_IDLE_S = 365 * 24 * 3600
_DEVICES = r"^\s*((\d+|cpu|cuda:\d+)\s*(,\s*(\d+|cpu|cuda:\d+)\s*)*)?$"
Spread = Literal["replicas", "tensor", "layers"]
EngineKind = Literal["lacuna", "openai", "llama.cpp", "ollama", "tgi", "tabby"]
Mode = Literal["automatic", "manual", "off"]
Channel = Literal["auto", "inline", "popup", "both"]


class SettingsSchema(BaseSettings):
    """All settings. A field's description is its row in docs/settings.md."""

    model_config = SettingsConfigDict(env_prefix="LACUNA_", extra="ignore", frozen=True, protected_namespaces=())

    model: Annotated[
        str,
        Field(
            min_length=1,
            description="`bundled`, a model folder, a GGUF file, or the name of a model on this disk, as"
            " `lacuna models list` shows it",
        ),
    ] = BUNDLED
    quick_model: Annotated[
        str,
        Field(
            description="a small model that answers where it is sure while `model` is loading or still at work, for"
            " example `bundled`; empty for none"
        ),
    ] = ""
    revision: Annotated[str | None, Field(description="branch or commit of a hub model (InCoder-6B: `float16`)")] = None
    family: Annotated[str, Field(description="prompt family, if it is not recognized: see the table of families")] = (
        "auto"
    )
    device: Annotated[str, Field(pattern=_DEVICE, description="`auto`, `cpu`, `cuda`, `cuda:N` or `mps`")] = "auto"
    dtype: Annotated[Dtype, Field(description="`auto`, `float32`, `float16` or `bfloat16`")] = "auto"
    devices: Annotated[
        str, Field(pattern=_DEVICES, description="several devices, for example `0,1` for two GPUs; overrides `device`")
    ] = ""
    spread: Annotated[
        Spread,
        Field(
            description="how several devices are used: `replicas` (the whole model on each, for more users), `tensor` "
            "(a shard of each layer on each: faster, for a large model), `layers` (not faster, fits larger models)"
        ),
    ] = "replicas"
    device_map: Annotated[
        str | None,
        Field(pattern=_DEVICE_MAP, description="`auto` spreads a model over several devices (accelerate)"),
    ] = None
    max_memory: Annotated[
        dict[str, str],
        Field(description='with `device_map`: maximum memory of each device, for example `{"0": "10GiB"}`'),
    ] = {}
    trust_remote_code: Annotated[
        bool, Field(description="run code that comes with a model (command line and environment only)")
    ] = False
    context: Annotated[int, Field(ge=64, description="maximum tokens of prompt and answer together")] = 2048
    max_tokens: Annotated[int, Field(ge=1, le=2048, description="maximum tokens in a suggestion")] = 64
    max_lines: Annotated[int, Field(ge=1, le=100, description="maximum lines in a suggestion")] = 12
    quantization: Annotated[
        Quantization,
        Field(
            description="`int8` or `int4` weights, on a CPU: smaller, faster and less accurate; `none`; `auto`: "
            "`int8` on a CPU for models of more than 128 million parameters"
        ),
    ] = "auto"
    forward: Annotated[
        ForwardKind,
        Field(
            description="what runs the model: `auto`, `own`, `llama.cpp` (GGUF files, if it is installed) or "
            "`transformers` (slower, supports all other models)"
        ),
    ] = "auto"
    acceleration: Annotated[
        Acceleration,
        Field(
            description="how the own forward's short steps are recorded: `graphs` (CUDA graphs), `compile` "
            "(torch.compile: needs a compiler, and minutes at each start), `none`, `auto`: graphs on a CUDA device"
        ),
    ] = "auto"
    prompt_layout: Annotated[
        LayoutKind,
        Field(
            description="`anchored` keeps the prompt while you type a line, `canonical` splits it at the cursor as in "
            "training, `auto` does the latter when you pause"
        ),
    ] = "auto"
    draft_tokens: Annotated[
        int | None, Field(ge=0, le=32, description="maximum tokens drafted from the file; `0` for none")
    ] = None
    engine: Annotated[
        str | None,
        Field(description="server that runs the model, `http://HOST:PORT` (command line and environment only)"),
    ] = None
    engine_kind: Annotated[
        EngineKind,
        Field(
            description="the server's kind: `lacuna`, `openai` (vLLM and others), `llama.cpp`, `ollama`, `tgi`, `tabby`"
        ),
    ] = "lacuna"
    engine_token_file: Annotated[
        Path | None, Field(description="file with the server's token (command line and environment only)")
    ] = None
    engine_ca_file: Annotated[
        Path | None,
        Field(
            description="file (PEM) with the only certificates to trust for the server: an authority's, or its own "
            "(command line and environment only)"
        ),
    ] = None
    batch: Annotated[int, Field(ge=1, le=256, description="maximum requests in one batch, if their caches fit")] = 8
    look_ahead: Annotated[
        bool,
        Field(description="while you pause, read the file that you opened, and compute what follows a suggestion"),
    ] = True
    kv_cache_disk_mb: Annotated[
        int,
        Field(
            ge=0,
            le=2**20,
            description="MiB on disk for what the model has read of your recent files, so that it need not read them"
            " again after a restart; `0` keeps nothing",
        ),
    ] = 512
    packed_weights_disk_mb: Annotated[
        int,
        Field(
            ge=0,
            le=2**24,
            description="MiB on disk for a model's weights as they were packed for this processor, so that a"
            " start need not pack them, and several servers share the memory; `0` keeps nothing",
        ),
    ] = 4096
    other_files: Annotated[
        bool,
        Field(description="show the model what your code uses from other files of the workspace"),
    ] = True
    deadline_ms: Annotated[
        int | None, Field(ge=1, description="show the text so far after this many milliseconds, up to a line's end")
    ] = None
    idle_unload_s: Annotated[
        float | None,
        Field(gt=0, le=_MAX_IDLE_S, description="unload the model after this many seconds without a request"),
    ] = None
    eagerness: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="how readily something is shown while you type: what is right with a chance of at least"
            " 1 minus this; `1` shows everything, `0` what is almost certain",
        ),
    ] = EAGERNESS
    candidates: Annotated[
        int, Field(ge=1, le=8, description="number of suggestions when you request them manually")
    ] = 3
    temperature: Annotated[
        float, Field(ge=0, le=2, description="for several candidates; automatic suggestions are greedy")
    ] = 0.4
    top_p: Annotated[float, Field(gt=0, le=1, description="for several candidates: nucleus sampling")] = 0.95
    mode: Annotated[Mode, Field(description="`automatic`, `manual` (only when you request a suggestion) or `off`")] = (
        "automatic"
    )
    languages: Annotated[
        dict[str, bool],
        Field(
            description='languages by their editor id, `*` for all others, for example `{"markdown": false}`; '
            "the bundled model completes Python and those that are `true` here"
        ),
    ] = {}
    exclude: Annotated[
        tuple[str, ...],
        Field(description="patterns of files that the model never sees, for example `*.min.js` or `vendor/**`"),
    ] = ()
    max_file_kib: Annotated[
        int, Field(ge=1, description="no suggestions in files with more thousand characters than this")
    ] = 1024
    in_comments: Annotated[bool, Field(description="also suggest in comments and documentation")] = True
    in_strings: Annotated[bool, Field(description="also suggest in strings")] = True
    statistics: Annotated[
        bool,
        Field(description="count suggestions and learn what becomes of them, on this machine only: see `lacuna stats`"),
    ] = True
    completion_channel: Annotated[
        Channel, Field(description="`auto`, `inline`, `popup` or `both`: where an editor shows suggestions")
    ] = "auto"
    log_level: Annotated[
        Level, Field(description="`debug` writes prompts and code into the log; the others never do")
    ] = "info"
    log_file: Annotated[
        Path | None,
        Field(description="write the log to this file instead of stderr (command line and environment only)"),
    ] = None

    @field_validator("family")
    @classmethod
    def _known_family(cls, name: str) -> str:
        known = ["auto", *(family.name for family in FAMILIES)]
        if name not in known:
            raise ValueError(f"there is no prompt family called {name!r}; known: {', '.join(known)}")
        return name

    @field_validator("model", "quick_model")
    @classmethod
    def _no_nul(cls, model: str) -> str:
        if "\0" in model:
            raise ValueError("a name must not contain NUL")
        return model

    @field_validator("devices")
    @classmethod
    def _no_duplicates(cls, devices: str) -> str:
        if (duplicate := named_twice(_names(devices))) is not None:
            raise ValueError(f"the device {duplicate} is named twice; name each once")
        return devices

    @field_validator("max_memory")
    @classmethod
    def _sizes(cls, max_memory: dict[str, str]) -> dict[str, str]:
        for device, size in max_memory.items():
            if not _MEMORY_DEVICE.fullmatch(device) or not _MEMORY.fullmatch(size):
                raise ValueError(
                    f"{device!r}: {size!r} is not a device with a size, for example {{'0': '10GiB', 'cpu': '30GiB'}}"
                )
        return max_memory

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings

    def model_options(self) -> ModelOptions:
        """The settings that the engine needs. It uses packed weights, but keeps nothing: see `engines.keeping`."""
        return ModelOptions(
            model=self.model,
            device=self.device,
            dtype=self.dtype,
            family=self.family,
            revision=self.revision,
            devices=_names(self.devices),
            spread=self.spread,
            device_map=self.device_map,
            max_memory=self.max_memory,
            trust_remote_code=self.trust_remote_code,
            context=self.context,
            quantization=self.quantization,
            forward=self.forward,
            acceleration=self.acceleration,
            layout=self.prompt_layout,
            draft_tokens=self.draft_tokens,
            batch=self.batch,
            idle_unload_s=self.idle_unload_s,
            packed_folder=PACKED_WEIGHTS.folder if self.packed_weights_disk_mb else None,
        )


def _names(devices: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in devices.split(",") if name.strip())
