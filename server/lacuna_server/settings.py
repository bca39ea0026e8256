"""The settings: one schema for the command line, lacuna.toml, the environment, and what an editor sends.

Later sources win: defaults, `lacuna.toml` in the working folder (of the language server: in the workspace's folders),
`LACUNA_*` variables, initializationOptions and workspace/configuration, options of the command line. What could run
code or write files counts only from the environment and the command line.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from lacuna_inference.api import BUNDLED, ModelOptions
from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt.families import FAMILIES
from lacuna_server.contradictions import contradiction, named_twice
from lacuna_server.core.paths import is_on_a_share

Dtype = Literal["auto", "float32", "fp32", "float16", "fp16", "bfloat16", "bf16"]
Quantization = Literal["none", "int8", "int4"]
LayoutKind = Literal["auto", "anchored", "canonical"]
ForwardKind = Literal["auto", "own", "transformers"]
Acceleration = Literal["auto", "graphs", "compile", "none"]
Level = Literal["debug", "info", "warning", "error"]
FILE = Path("lacuna.toml")
PROTECTED = frozenset({"trust_remote_code", "log_file", "log_level", "engine", "engine_token_file", "engine_ca_file"})
"""A file or an editor's settings may come with a folder that somebody else wrote: it must not run or write things,
nor send code elsewhere."""
OF_THE_ENGINE = frozenset({
    "model", "revision", "family", "device", "dtype", "devices", "spread", "device_map", "max_memory",
    "trust_remote_code", "context", "quantization", "forward", "acceleration", "prompt_layout", "draft_tokens",
    "batch", "idle_unload_s", "engine", "engine_kind", "engine_token_file", "engine_ca_file",
})  # fmt: skip
"""What an engine is made of: a server has one engine, whichever folder a document is in."""
_OF_THE_EXTENSION = frozenset({"path"})
"""Settings of the VS Code extension, which its client sends along."""
_DEVICE = r"^(auto|cpu|mps|cuda(:\d+)?)$"
_DEVICE_MAP = r"^(auto|balanced|balanced_low_0|sequential|cpu|mps|cuda(:\d+)?)$"
_MEMORY_PLACE, _MEMORY = re.compile(r"\d+|cpu|mps|disk"), re.compile(r"\d+(\.\d+)?\s*[KMGT]?i?B", re.IGNORECASE)
_MAX_IDLE_S = 365 * 24 * 3600
_DEVICES = r"^\s*((\d+|cpu|cuda:\d+)\s*(,\s*(\d+|cpu|cuda:\d+)\s*)*)?$"
Spread = Literal["replicas", "tensor", "layers"]
EngineKind = Literal["lacuna", "openai", "llama.cpp", "ollama", "tgi", "tabby"]
Mode = Literal["automatic", "manual", "off"]
Channel = Literal["auto", "inline", "popup", "both"]


class Settings(BaseSettings):
    """Everything that can be set. A field's description is its row in the README."""

    model_config = SettingsConfigDict(env_prefix="LACUNA_", extra="ignore", frozen=True, protected_namespaces=())

    model: Annotated[
        str, Field(min_length=1, description="`bundled`, a model folder, or a hub id that is already on this disk")
    ] = BUNDLED
    revision: Annotated[str | None, Field(description="branch or commit of a hub model (InCoder-6B: `float16`)")] = None
    family: Annotated[str, Field(description="prompt family, when it is not recognised: see the table of families")] = (
        "auto"
    )
    device: Annotated[str, Field(pattern=_DEVICE, description="`auto`, `cpu`, `cuda`, `cuda:N` or `mps`")] = "auto"
    dtype: Annotated[Dtype, Field(description="`auto`, `float32`, `float16` or `bfloat16`")] = "auto"
    devices: Annotated[
        str, Field(pattern=_DEVICES, description="several devices, as `0,1` for two GPUs; then `device` does not count")
    ] = ""
    spread: Annotated[
        Spread,
        Field(
            description="how several devices are used: `replicas` (a whole model on each, for more users), `tensor` "
            "(a part of each layer on each: for a large model, faster), `layers` (no faster, fits more)"
        ),
    ] = "replicas"
    device_map: Annotated[
        str | None,
        Field(pattern=_DEVICE_MAP, description="`auto` spreads a model over several devices (accelerate)"),
    ] = None
    max_memory: Annotated[
        dict[str, str], Field(description='with `device_map`: the most of each device, as `{"0": "10GiB"}`')
    ] = {}
    trust_remote_code: Annotated[
        bool, Field(description="run code that a model brings along (command line and environment only)")
    ] = False
    context: Annotated[int, Field(ge=64, description="most tokens of a prompt and its answer together")] = 2048
    max_tokens: Annotated[int, Field(ge=1, le=2048, description="most tokens of a suggestion")] = 64
    max_lines: Annotated[int, Field(ge=1, le=100, description="most lines of a suggestion")] = 12
    quantization: Annotated[
        Quantization,
        Field(description="`int8` or `int4`: weights of eight or four bits, on a CPU: smaller, and less exact"),
    ] = "none"
    forward: Annotated[
        ForwardKind,
        Field(description="what runs the model: `auto`, `own` or `transformers` (slower, knows all models)"),
    ] = "auto"
    acceleration: Annotated[
        Acceleration,
        Field(
            description="how the own forward's short steps are recorded: `graphs` (CUDA graphs), `compile` "
            "(torch.compile: needs a compiler, and minutes at every start), `none`, `auto`: graphs on a CUDA device"
        ),
    ] = "auto"
    prompt_layout: Annotated[
        LayoutKind,
        Field(
            description="`anchored` keeps the prompt while you type a line, `canonical` cuts it at the cursor "
            "as models learned it, `auto` does so when you pause"
        ),
    ] = "auto"
    draft_tokens: Annotated[
        int | None, Field(ge=0, le=32, description="most tokens guessed ahead from the file; `0` for none")
    ] = None
    engine: Annotated[
        str | None,
        Field(description="a server that runs the model, `http://HOST:PORT` (command line and environment only)"),
    ] = None
    engine_kind: Annotated[
        EngineKind,
        Field(description="what it is: `lacuna`, `openai` (vLLM and kin), `llama.cpp`, `ollama`, `tgi`, `tabby`"),
    ] = "lacuna"
    engine_token_file: Annotated[
        Path | None, Field(description="file with the token that it wants (command line and environment only)")
    ] = None
    engine_ca_file: Annotated[
        Path | None,
        Field(
            description="file (PEM) with the only certificates trusted for it: of an authority, or its own "
            "(command line and environment only)"
        ),
    ] = None
    batch: Annotated[
        int, Field(ge=1, le=256, description="most requests answered side by side, as far as their caches fit")
    ] = 8
    look_ahead: Annotated[
        bool, Field(description="while you read a suggestion, compute what comes after it is accepted")
    ] = True
    deadline_ms: Annotated[
        int | None, Field(ge=1, description="show what is there after so many milliseconds, up to a line's end")
    ] = None
    idle_unload_s: Annotated[
        float | None,
        Field(gt=0, le=_MAX_IDLE_S, description="unload the model after so many seconds without a request"),
    ] = None
    candidates: Annotated[int, Field(ge=1, le=8, description="suggestions when you ask by hand")] = 3
    temperature: Annotated[
        float, Field(ge=0, le=2, description="for several candidates; automatic ones are greedy")
    ] = 0.4
    top_p: Annotated[float, Field(gt=0, le=1, description="for several candidates: nucleus of the distribution")] = 0.95
    mode: Annotated[Mode, Field(description="`automatic`, `manual` (only when you ask for a suggestion) or `off`")] = (
        "automatic"
    )
    languages: Annotated[
        dict[str, bool],
        Field(
            description='languages by their editor\'s id, `*` for all others, as `{"markdown": false}`; '
            "the bundled model completes Python, and what is `true` here"
        ),
    ] = {}
    exclude: Annotated[
        tuple[str, ...],
        Field(description="patterns of files that the model never sees, as `*.min.js` or `vendor/**`"),
    ] = ()
    max_file_kib: Annotated[int, Field(ge=1, description="no suggestions in files of more thousand characters")] = 1024
    in_comments: Annotated[bool, Field(description="suggest in comments and documentation, too")] = True
    in_strings: Annotated[bool, Field(description="suggest in strings, too")] = True
    statistics: Annotated[bool, Field(description="count suggestions, in your own files only: see `lacuna stats`")] = (
        True
    )
    completion_channel: Annotated[
        Channel, Field(description="`auto`, `inline`, `popup` or `both`: where an editor shows suggestions")
    ] = "auto"
    log_level: Annotated[
        Level, Field(description="`debug` writes prompts and code into the log; the others never do")
    ] = "info"
    log_file: Annotated[
        Path | None, Field(description="write the log there, not to stderr (command line and environment only)")
    ] = None

    _pinned: frozenset[str] = PrivateAttr(frozenset())
    """Names given on the command line: nothing that comes later changes them."""
    _without_file: Settings | None = PrivateAttr(None)
    """What `load` had before it read lacuna.toml."""

    @field_validator("family")
    @classmethod
    def _known_family(cls, name: str) -> str:
        known = ["auto", *(family.name for family in FAMILIES)]
        if name not in known:
            raise ValueError(f"there is no prompt family called {name!r}; known: {', '.join(known)}")
        return name

    @field_validator("model")
    @classmethod
    def _a_name(cls, model: str) -> str:
        if "\0" in model:
            raise ValueError("a name holds no NUL")
        return model

    @field_validator("devices")
    @classmethod
    def _each_once(cls, devices: str) -> str:
        if (twice := named_twice(_names(devices))) is not None:
            raise ValueError(f"the device {twice} is named twice; name each once")
        return devices

    @field_validator("max_memory")
    @classmethod
    def _sizes(cls, most: dict[str, str]) -> dict[str, str]:
        for place, size in most.items():
            if not _MEMORY_PLACE.fullmatch(place) or not _MEMORY.fullmatch(size):
                raise ValueError(f"{place!r}: {size!r} is no device with a size, as {{'0': '10GiB', 'cpu': '30GiB'}}")
        return most

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
        """What the engine needs of these settings."""
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
        )

    def changed(self, values: Mapping[str, Any]) -> tuple[Self, list[str]]:
        """These settings with the `values` of a file or an editor over them, and what was wrong, a sentence each.

        A wrong value is left out and the old one stays; nothing an editor sends can stop the server. Values that
        contradict each other are left out together.
        """
        complaints = []
        kept = self.model_dump()
        for name, value in values.items():
            if name in self._pinned | _OF_THE_EXTENSION or value is None:
                continue
            if refusal := self._refusal(name, value):
                complaints.append(refusal)
                continue
            try:
                type(self).__pydantic_validator__.validate_assignment(self.model_construct(**kept), name, value)
            except ValidationError as error:
                complaints.append(_sentence(name, error))
            else:
                kept[name] = value
        changed = self._with(kept)
        if (refusal := contradiction(changed.model_options())) and not contradiction(self.model_options()):
            return self.with_model_of(changed, self), [*complaints, refusal]
        return changed, complaints

    def with_model_of(self, others: Self, model: Self) -> Self:
        """The settings `others`, with those that make an engine as `model` has them."""
        return self._with({**others.model_dump(), **{name: getattr(model, name) for name in OF_THE_ENGINE}})

    def with_file(self, file: Path) -> tuple[Self, list[str]]:
        """These settings as if `file` had been the lacuna.toml that they were loaded with, and what is wrong in it."""
        bare = (self._without_file or self).model_copy()
        bare._pinned = frozenset(bare.model_fields_set)  # the environment stands over the file
        values, complaints = _read(file)
        changed, wrong = bare.changed(values)
        return self._with(changed.model_dump()), [*complaints, *wrong]

    def _with(self, values: dict[str, Any]) -> Self:
        made = type(self).model_validate(values)
        made._pinned, made._without_file = self._pinned, self._without_file
        return made

    def is_pinned(self, name: str) -> bool:
        """Whether `name` was given on the command line, so that nothing changes it."""
        return name in self._pinned

    def _refusal(self, name: str, value: Any) -> str | None:
        """Why `name` may not be set by a file or an editor, or None when it may."""
        if name not in type(self).model_fields:
            return unknown(name)
        runs_code = self.trust_remote_code and name in ("model", "revision")
        if name in PROTECTED or runs_code or (name == "model" and is_on_a_share(str(value))):
            return f"The setting {name!r} counts only on the command line or in the environment here."
        return None


def load(**options: Any) -> Settings:
    """Settings from the file, the environment and `options` that are not None.

    Raises BadRequest with one sentence for a value that does not fit, an unknown name or an unreadable file.
    """
    settings, complaints = load_leniently(**options)
    if complaints:
        raise BadRequest(complaints[0], f"It stands in {FILE.resolve()}.")
    return settings


def load_leniently(**options: Any) -> tuple[Settings, list[str]]:
    """As `load`, but what is wrong in the file is left out and told, a sentence each: a server must start anyway."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        settings = Settings(**given)
    except SettingsError as error:
        raise BadRequest(f"A LACUNA_ variable cannot be read: {error}.", "Mappings are written as JSON.") from error
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0]) if error.errors()[0]["loc"] else "setting"
        raise BadRequest(_sentence(name, error)) from error
    if refusal := contradiction(settings.model_options()):
        raise BadRequest(refusal)
    settings._pinned, settings._without_file = frozenset(given), settings
    return settings.with_file(FILE)


def _read(file: Path) -> tuple[dict[str, Any], list[str]]:
    """What stands in a settings file, and a sentence if it cannot be read."""
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8-sig")) if file.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        return {}, [f"{file} cannot be read: {error}."]
    return values, []


def unknown(name: str) -> str:
    """A sentence about a setting that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(name, Settings.model_fields, 1)
    return f"There is no setting called {name!r}." + (f" Did you mean {near[0]!r}?" if near else "")


def _names(devices: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in devices.split(",") if name.strip())


def _sentence(name: str, error: ValidationError) -> str:
    message = error.errors()[0]["msg"].removeprefix("Value error, ")
    return f"The setting {name!r} does not fit: {message[:1].lower()}{message[1:]}."
