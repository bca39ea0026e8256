"""Rotary positions (Su et al., 2021, arXiv 2104.09864) as a config.json describes them.

They are in `rope_parameters`, or by an older convention in `rope_scaling` with a separate `rope_theta`. As in
transformers, `rope_scaling` takes precedence.
"""

from __future__ import annotations

from typing import Any

from lacuna_inference.models.loading.config import is_positive, wrong_number

_BASE = 10_000.0
_WITH_FACTOR = ("linear", "dynamic", "yarn", "llama3")
_KEYS = ("rope_scaling", "rope_parameters")


def base_and_scale(config: dict[str, Any]) -> tuple[float, float]:
    """The base of the frequencies, and the divisor of the positions; for a config without `obstacle`."""
    rope = _rope(config)
    return _base(config), rope["factor"] if _kind(rope) == "linear" else 1.0


def obstacle(config: dict[str, Any]) -> str | None:
    """The kind of rotary positions that the own forward does not support, or None."""
    rope = _rope(config)
    if (kind := _kind(rope)) not in ("default", "linear"):
        return f"rotary positions of the type {kind}"
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
    return _unknown(key, rope) or _wrong_lists(key, rope, config) or _contradiction(config)


def _unknown(key: str, rope: dict[str, Any]) -> str | None:
    kind = _kind(rope)
    if kind == "default":
        has_type = rope.get("rope_type") or rope.get("type")
        return f"{key} has a factor and no rope_type" if "factor" in rope and not has_type else None
    if kind in _WITH_FACTOR:
        factor = rope.get("factor")
        return None if is_positive(factor) else f"{key} of the type {kind!r} needs a factor above zero, not {factor!r}"
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS  # the only list of all types

    return None if kind in ROPE_INIT_FUNCTIONS else f"{key} is of the type {kind!r}, which is not known"


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
