"""Reads and checks a model's sizes in its config.json, which may have been edited and hold anything."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeGuard

from lacuna_inference.errors import ModelUnusable

_CORRECT = "Correct it, or fetch the model again."
_OTHER_TASKS = (
    "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice", "ForMaskedLM",
)  # fmt: skip
_POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length")


def positions(config: dict[str, Any]) -> int | None:
    """Length of the model's context in tokens, or None if the config does not give it. Raises ModelUnusable.

    Who scales Qwen's positions by YaRN, as its README says, leaves the length of the training in the config.
    """
    if config.get("model_type") == "xglm":
        return 2048  # InCoder-6B's config says 2049, but it was trained on 2048
    for key in _POSITIONS:
        if (value := config.get(key)) is not None:
            if not is_positive(value) or value != int(value):
                raise ModelUnusable(f"{key} in config.json is {value!r}, not a number of tokens.", _CORRECT)
            return max(int(value), _scaled_positions(config))
    inner = config.get("text_config")  # of a model that reads images, too
    return positions(inner) if isinstance(inner, dict) else None


def _scaled_positions(config: dict[str, Any]) -> int:
    """Length in tokens to which YaRN scales the positions; 0 without it."""
    rope = config.get("rope_scaling") or config.get("rope_parameters")
    if not isinstance(rope, dict) or "yarn" not in (rope.get("rope_type"), rope.get("type")):
        return 0
    factor, original = rope.get("factor", 0), rope.get("original_max_position_embeddings", 0)
    return int(factor * original) if is_positive(factor) and is_positive(original) else 0


def rows(config: dict[str, Any]) -> int | None:
    """Number of tokens that the model has embeddings for, or None if the config does not give it."""
    inner = config.get("text_config")
    size = config.get("vocab_size") or (inner.get("vocab_size") if isinstance(inner, dict) else None)
    return size if _is_count(size) else None


def end_ids(config: dict[str, Any]) -> list[int]:
    """Tokens that end a text; values that are not tokens of the model are skipped."""
    ends, count = config.get("eos_token_id"), rows(config)
    listed = ends if isinstance(ends, list) else [ends]
    return [end for end in listed if _is_whole(end) and end >= 0 and (count is None or end < count)]


def another_task(config: dict[str, Any]) -> str | None:
    """The architecture of a model that does not generate text, such as a classifier; None otherwise."""
    named = config.get("architectures")
    names = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
    return names[0] if names and all(name.endswith(_OTHER_TASKS) for name in names) else None


def wrong_count(config: dict[str, Any], needed: Iterable[str], optional: Iterable[str] = ()) -> str | None:
    """A message naming the key that is missing or is not a whole number above zero; None if all are valid."""
    if (missing := next((key for key in needed if config.get(key) is None), None)) is not None:
        return f"it lacks {missing}"
    keys = [key for key in (*needed, *optional) if config.get(key) is not None]
    return next(
        (f"{key} is {config[key]!r}, not a whole number above zero" for key in keys if not _is_count(config[key])), None
    )


def wrong_number(config: dict[str, Any], keys: Iterable[str]) -> str | None:
    """A message naming the key that is given but is not a number above zero; None if there is none."""
    wrong = (key for key in keys if config.get(key) is not None and not is_positive(config[key]))
    return next((f"{key} is {config[key]!r}, not a number above zero" for key in wrong), None)


def is_positive(value: Any) -> bool:
    """Whether `value` is a finite number above zero."""
    return _is_number(value) and 0 < value < math.inf


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value > 0
