"""Where the settings' values come from.

Later sources win: defaults, `lacuna.toml` in the working folder (for the language server: in the workspace's folders),
`LACUNA_*` variables, initializationOptions and workspace/configuration, command line options. Settings that could run
code or write files can be set only in the environment and on the command line.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import PrivateAttr, ValidationError
from pydantic_settings import SettingsError

from lacuna_inference.errors import BadRequest
from lacuna_server.contradictions import contradiction
from lacuna_server.core.paths import is_on_a_share
from lacuna_server.settings_schema import SettingsSchema

FILE = Path("lacuna.toml")
PROTECTED = frozenset({"trust_remote_code", "log_file", "log_level", "engine", "engine_token_file", "engine_ca_file"})
"""Settings that a file or an editor must not set: either may come with somebody else's folder, which must not run code,
write files or send code elsewhere."""
ENGINE_SETTINGS = frozenset({
    "model", "quick_model", "revision", "family", "device", "dtype", "devices", "spread", "device_map", "max_memory",
    "trust_remote_code", "context", "quantization", "forward", "acceleration", "prompt_layout", "draft_tokens",
    "batch", "idle_unload_s", "kv_cache_disk_mb", "packed_weights_disk_mb", "engine", "engine_kind",
    "engine_token_file", "engine_ca_file",
})  # fmt: skip
"""Settings of the engine. A server has one engine, whichever folder a document is in."""
_OF_THE_MODEL = ENGINE_SETTINGS - {"kv_cache_disk_mb", "packed_weights_disk_mb", "idle_unload_s", "device"}
"""Settings of the engine that suit one model and not another."""
_EXTENSION_SETTINGS = frozenset({"path"})
"""Settings of the VS Code extension, which its client also sends."""


class Settings(SettingsSchema):
    """The settings, with methods that override values."""

    _pinned: frozenset[str] = PrivateAttr(frozenset())
    """Names given on the command line: no later source overrides them."""
    _without_file: Settings | None = PrivateAttr(None)
    """The settings before `load` read lacuna.toml."""

    def changed(self, values: Mapping[str, Any]) -> tuple[Self, list[str]]:
        """These settings overridden by the `values` of a file or an editor, and a warning for each invalid value.

        Invalid values are ignored and the old ones kept; nothing that an editor sends can stop the server. Values that
        contradict each other are all ignored.
        """
        warnings = []
        kept = self.model_dump()
        for name, value in values.items():
            if name in self._pinned | _EXTENSION_SETTINGS or value is None:
                continue
            if refusal := self._refusal(name, value):
                warnings.append(refusal)
                continue
            try:
                type(self).__pydantic_validator__.validate_assignment(self.model_construct(**kept), name, value)
            except ValidationError as error:
                warnings.append(_sentence(name, error))
            else:
                kept[name] = value
        changed = self._with(kept)
        if (refusal := contradiction(changed.model_options())) and not contradiction(self.model_options()):
            return self.with_model_of(changed, self), [*warnings, refusal]
        return changed, warnings

    def with_model_of(self, others: Self, model: Self) -> Self:
        """The settings `others`, with the engine's settings of `model`."""
        return self._with({**others.model_dump(), **{name: getattr(model, name) for name in ENGINE_SETTINGS}})

    def with_file(self, file: Path) -> tuple[Self, list[str]]:
        """These settings as if `file` had been the lacuna.toml they were loaded with, and warnings about it."""
        bare = (self._without_file or self).model_copy()
        bare._pinned = frozenset(bare.model_fields_set)  # the environment overrides the file
        values, file_warnings = _read(file)
        changed, warnings = bare.changed(values)
        return self._with(changed.model_dump()), [*file_warnings, *warnings]

    def _with(self, values: dict[str, Any]) -> Self:
        settings = type(self).model_validate(values)
        settings._pinned, settings._without_file = self._pinned, self._without_file
        return settings

    def of_quick_model(self) -> Self | None:
        """The settings of the quick model's engine, in this process on one device; None without such a model."""
        if not self.quick_model or (self.quick_model == self.model and self.engine is None):
            return None
        defaults = {name: type(self).model_fields[name].get_default() for name in _OF_THE_MODEL}
        return self._with({**self.model_dump(), **defaults, "model": self.quick_model})

    def is_pinned(self, name: str) -> bool:
        """Whether `name` was given on the command line, so that nothing overrides it."""
        return name in self._pinned

    def _refusal(self, name: str, value: Any) -> str | None:
        """Why `name` must not be set by a file or an editor, or None if it may be."""
        if name not in type(self).model_fields:
            return unknown(name)
        runs_code = self.trust_remote_code and name in ("model", "revision")
        on_a_share = name in ("model", "quick_model") and is_on_a_share(str(value))
        if name in PROTECTED or runs_code or on_a_share:
            return f"The setting {name!r} can be set here only on the command line or in the environment."
        return None


def load(**options: Any) -> Settings:
    """Settings from the file, the environment and the `options` that are not None.

    Raises BadRequest for an invalid value, an unknown name or an unreadable file.
    """
    settings, warnings = load_leniently(**options)
    if warnings:
        raise BadRequest(warnings[0], f"Correct it in {FILE.resolve()}.")
    return settings


def load_leniently(**options: Any) -> tuple[Settings, list[str]]:
    """Like `load`, but ignores what is wrong in the file and returns warnings about it: a server must start anyway."""
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
    """The values in a settings file, and a warning if it cannot be read."""
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8-sig")) if file.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        return {}, [f"{file} cannot be read: {error}."]
    return values, []


def unknown(name: str) -> str:
    """A sentence about an unknown setting, with the most similar known one."""
    similar = difflib.get_close_matches(name, Settings.model_fields, 1)
    return f"There is no setting called {name!r}." + (f" Did you mean {similar[0]!r}?" if similar else "")


def _sentence(name: str, error: ValidationError) -> str:
    message = error.errors()[0]["msg"].removeprefix("Value error, ")
    return f"The setting {name!r} is invalid: {message[:1].lower()}{message[1:]}."
