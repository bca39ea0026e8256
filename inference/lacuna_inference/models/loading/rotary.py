"""Rotary positions (Su et al., 2021, arXiv 2104.09864) as a config.json describes them.

They stand in `rope_parameters`, or by an older habit in `rope_scaling` with `rope_theta` beside it. As in transformers,
`rope_scaling` counts where both are given.
"""

from __future__ import annotations

from typing import Any

from lacuna_inference.models.loading.config import is_positive, wrong_number

_BASE = 10_000.0
_WITH_FACTOR = ("linear", "dynamic", "yarn", "llama3")
_KEYS = ("rope_scaling", "rope_parameters")


def base_and_scale(config: dict[str, Any]) -> tuple[float, float]:
    """The base of the frequencies, and what positions are divided by; of a config without `obstacle`."""
    said = _said(config)
    return _base(config), said["factor"] if _kind(said) == "linear" else 1.0


def obstacle(config: dict[str, Any]) -> str | None:
    """What of the rotary positions the own forward does not do, or None when it does everything."""
    said = _said(config)
    if (kind := _kind(said)) not in ("default", "linear"):
        return f"rotary positions of the kind {kind}"
    if {config.get("partial_rotary_factor"), said.get("partial_rotary_factor")} - {None, 1}:
        return "heads that are rotated in part"
    return None


def flaw(config: dict[str, Any]) -> str | None:
    """What is wrong with the rotary positions, naming the key, or None: nobody could run the model as it was meant."""
    for key in _KEYS:
        if config.get(key) is not None and not isinstance(config[key], dict):
            return f"{key} is {config[key]!r}, not an object"
    said, key = _said(config), _key(config)
    if any(isinstance(value, dict) for value in said.values()):
        return f"{key} has a set for each kind of layer, which {config.get('model_type')} models lack"
    if reason := wrong_number(said, ("rope_theta",)) or wrong_number(config, ("rope_theta",)):
        return reason
    return _unknown(key, said) or _wrong_lists(key, said, config) or _contradiction(config)


def _unknown(key: str, said: dict[str, Any]) -> str | None:
    kind = _kind(said)
    if kind == "default":
        has_type = said.get("rope_type") or said.get("type")
        return f"{key} has a factor and no rope_type" if "factor" in said and not has_type else None
    if kind in _WITH_FACTOR:
        factor = said.get("factor")
        return None if is_positive(factor) else f"{key} of the type {kind!r} needs a factor above zero, not {factor!r}"
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS  # the one list of what there is

    return None if kind in ROPE_INIT_FUNCTIONS else f"{key} is of the type {kind!r}, which is not known"


def _wrong_lists(key: str, said: dict[str, Any], config: dict[str, Any]) -> str | None:
    """Factors of the type longrope: one for each pair of numbers of a head."""
    if _kind(said) != "longrope":
        return None
    pairs = (config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]) // 2
    for name in ("short_factor", "long_factor"):
        factors = said.get(name)
        if not isinstance(factors, list) or len(factors) != pairs or not all(map(is_positive, factors)):
            return f"{key} of the type 'longrope' needs {pairs} numbers above zero as its {name}"
    return None


def _contradiction(config: dict[str, Any]) -> str | None:
    """Both keys, and the one that does not count says something else."""
    scaling, new = config.get("rope_scaling"), config.get("rope_parameters")
    if not scaling or not new:
        return None
    if _kind(new) not in ("default", _kind(scaling)):
        return f"rope_scaling is of the type {_kind(scaling)!r} and rope_parameters of the type {_kind(new)!r}"
    if (new.get("rope_theta") or _base(config)) != _base(config):
        return (
            f"rope_scaling counts before rope_parameters and lacks its rope_theta of {new['rope_theta']}: "
            "move what rope_scaling says into rope_parameters"
        )
    return None


def _key(config: dict[str, Any]) -> str:
    return next((key for key in _KEYS if config.get(key)), "rope_parameters")


def _said(config: dict[str, Any]) -> dict[str, Any]:
    said = config.get(_key(config)) or {}
    return said if isinstance(said, dict) else {}


def _kind(said: dict[str, Any]) -> str:
    return str(said.get("rope_type") or said.get("type") or "default")


def _base(config: dict[str, Any]) -> float:
    found = _said(config).get("rope_theta") or config.get("rope_theta") or _BASE
    return float(found)
