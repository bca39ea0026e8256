"""Rotary positions (Su et al., 2021, arXiv 2104.09864) as a config.json describes them.

They are in `rope_parameters`, or by an older convention in `rope_scaling` with a separate `rope_theta`. As in
transformers, `rope_scaling` takes precedence.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lacuna_inference.models.forward.network import rotation_table
from lacuna_inference.models.loading import frequencies
from lacuna_inference.models.loading.config import is_positive, wrong_number
from lacuna_inference.models.loading.frequencies import Span

_BASE = 10_000.0
_SUPPORTED = ("default", "linear", "dynamic", "llama3", "yarn", "longrope", "mrope")
_WITH_FACTOR = ("linear", "dynamic", "yarn", "llama3")
_WITH_LENGTHS = ("dynamic", "yarn", "llama3", "longrope")
_KEYS = ("rope_scaling", "rope_parameters")
_NUMBERS = {
    "llama3": ("low_freq_factor", "high_freq_factor"),
    "yarn": ("beta_fast", "beta_slow", "attention_factor"),
    "longrope": ("factor", "attention_factor"),
}
"""The numbers above zero in each kind, besides `factor`. Llama 3's are required."""


def rotation(config: dict[str, Any], rotary_dim: int, context: int) -> Tensor:
    """The rotations of `context` positions, as in `Network`; for a config without `obstacle`.

    Text has equal positions along all axes of an image, so that `mrope` (Qwen2-VL) is the default for text.
    """
    rope, longest = _rope(config), config.get("max_position_embeddings") or context
    span = Span(_original(config) or longest, longest, context)
    return rotation_table(context, *frequencies.scaled(_kind(rope), rope, _base(config), rotary_dim, span))


def obstacle(config: dict[str, Any]) -> str | None:
    """The kind of rotary positions that the own forward does not support, or None."""
    rope = _rope(config)
    if (kind := _kind(rope)) not in _SUPPORTED:
        return f"rotary positions of the type {kind}"
    if kind in _WITH_LENGTHS and not config.get("max_position_embeddings"):
        return f"rotary positions of the type {kind} and no max_position_embeddings"
    if {config.get("partial_rotary_factor"), rope.get("partial_rotary_factor")} - {None, 1}:
        return "partial rotary positions"
    return None


def flaw(config: dict[str, Any]) -> str | None:
    """A message naming the key if the rotary positions are invalid for any forward; None otherwise."""
    for key in _KEYS:
        if config.get(key) is not None and not isinstance(config[key], dict):
            return f"{key} is {config[key]!r}, not an object"
    rope, key = _rope(config), _key(config)
    if any(isinstance(value, dict) for value in rope.values()):
        return f"{key} has a set for each kind of layer, which {config.get('model_type')} models lack"
    if reason := wrong_number(rope, ("rope_theta",)) or wrong_number(config, ("rope_theta",)):
        return reason
    reason = _unknown(key, rope) or _wrong_numbers(key, rope, config) or _wrong_lists(key, rope, config)
    return reason or _contradiction(config)


def _unknown(key: str, rope: dict[str, Any]) -> str | None:
    kind = _kind(rope)
    if kind == "default":
        has_type = rope.get("rope_type") or rope.get("type")
        return f"{key} has a factor and no rope_type" if "factor" in rope and not has_type else None
    if kind in _WITH_FACTOR:
        factor = rope.get("factor")
        return None if is_positive(factor) else f"{key} of the type {kind!r} needs a factor above zero, not {factor!r}"
    if kind in _SUPPORTED:
        return None
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS  # the only list of all types

    return None if kind in ROPE_INIT_FUNCTIONS else f"{key} is of the type {kind!r}, which is not known"


def _wrong_numbers(key: str, rope: dict[str, Any], config: dict[str, Any]) -> str | None:
    """Checks the numbers that only some types have."""
    kind = _kind(rope)
    numbers = {name: rope.get(name) for name in _NUMBERS.get(kind, ())}
    if kind in _WITH_LENGTHS:
        numbers["original_max_position_embeddings"] = _original(config)
    if kind == "llama3" and (missing := next((name for name in _NUMBERS[kind] if numbers[name] is None), None)):
        return f"{key} of the type 'llama3' lacks {missing}"
    reason = wrong_number(numbers, numbers)
    if reason is None and kind == "llama3" and rope["low_freq_factor"] >= rope["high_freq_factor"]:
        reason = "low_freq_factor is not below high_freq_factor"
    return None if reason is None else f"in {key} of the type {kind!r}, {reason}"


def _wrong_lists(key: str, rope: dict[str, Any], config: dict[str, Any]) -> str | None:
    """Checks the factors of the type longrope: one for each pair of a head's dimensions."""
    if _kind(rope) != "longrope":
        return None
    pairs = (config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]) // 2
    for name in ("short_factor", "long_factor"):
        factors = rope.get(name)
        if not isinstance(factors, list) or len(factors) != pairs or not all(map(is_positive, factors)):
            return f"{key} of the type 'longrope' needs {pairs} numbers above zero as its {name}"
    return None


def _contradiction(config: dict[str, Any]) -> str | None:
    """A message if both keys are given and the one without precedence says something else."""
    scaling, new = config.get("rope_scaling"), config.get("rope_parameters")
    if not scaling or not new:
        return None
    if _kind(new) not in ("default", _kind(scaling)):
        return f"rope_scaling is of the type {_kind(scaling)!r} and rope_parameters of the type {_kind(new)!r}"
    if (new.get("rope_theta") or _base(config)) != _base(config):
        return (
            f"rope_scaling takes precedence over rope_parameters and lacks its rope_theta of {new['rope_theta']}: "
            "move the content of rope_scaling into rope_parameters"
        )
    return None


def _key(config: dict[str, Any]) -> str:
    return next((key for key in _KEYS if config.get(key)), "rope_parameters")


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    rope = config.get(_key(config)) or {}
    return rope if isinstance(rope, dict) else {}


def _kind(rope: dict[str, Any]) -> str:
    return str(rope.get("rope_type") or rope.get("type") or "default")


def _base(config: dict[str, Any]) -> float:
    base = _rope(config).get("rope_theta") or config.get("rope_theta") or _BASE
    return float(base)


def _original(config: dict[str, Any]) -> Any:
    """Length of the training in tokens. As in transformers, a length beside the rotary parameters takes precedence."""
    beside = config.get("original_max_position_embeddings")
    return beside or _rope(config).get("original_max_position_embeddings") or config.get("max_position_embeddings")
