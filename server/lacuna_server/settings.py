"""The settings: where their values come from.

Later sources win: defaults, `lacuna.toml` in the working folder (of the language server: in the workspace's folders),
`LACUNA_*` variables, initializationOptions and workspace/configuration, options of the command line. What could run
code or write files counts only from the environment and the command line.
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


class Settings(SettingsSchema):
    """The settings, and how other values are laid over them."""

    _pinned: frozenset[str] = PrivateAttr(frozenset())
    """Names given on the command line: nothing that comes later changes them."""
    _without_file: Settings | None = PrivateAttr(None)
    """What `load` had before it read lacuna.toml."""

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


def _sentence(name: str, error: ValidationError) -> str:
    message = error.errors()[0]["msg"].removeprefix("Value error, ")
    return f"The setting {name!r} does not fit: {message[:1].lower()}{message[1:]}."
