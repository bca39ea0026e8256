"""Acceptance gates for a dtype, with bars that were set before anything was measured."""

from __future__ import annotations

from dataclasses import dataclass

from lacuna_lab.precision.answers import SuggestionComparison
from lacuna_lab.precision.kl_statistics import Summary
from lacuna_lab.precision.layers import LayerError

_KL = {"float16": 1e-3, "bfloat16": 1e-3, "int8": 5e-3}
"""Upper bars for the mean KL divergence, in nats."""
_SAME_TOP = {"float16": 0.995, "bfloat16": 0.995, "int8": 0.98}
"""Lower bars for the share of positions with the same top token."""
_IDENTICAL = {"float16": 0.97, "bfloat16": 0.97}
"""Lower bars for the share of identical greedy suggestions."""
_SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate. `close`: its bar lies within two standard errors of the measured value."""

    name: str
    bar: str
    measured: str
    met: bool
    close: bool = False


@dataclass(frozen=True, slots=True)
class PrecisionVerdict:
    """The gates and a conclusion: `sentence`."""

    passed: bool
    sentence: str
    gates: tuple[Gate, ...]


def judge(
    dtype: str, summary: Summary, layers: list[LayerError], suggestions: SuggestionComparison | None
) -> PrecisionVerdict:
    """The verdict on a dtype, from its comparison with the reference."""
    gates = tuple(_gates(dtype, summary, layers, suggestions))
    missed = [gate.name for gate in gates if not gate.met]
    close = [gate.name for gate in gates if gate.close]
    if missed:
        sentence = f"{dtype} misses these gates: {', '.join(missed)}."
    elif dtype == "int4":
        sentence = "int4 only by choice: no loss in exact match was seen, but the distributions differ."
    else:
        sentence = f"{dtype} can be used: every gate is met."
    if close:
        sentence += f" Too close to the bar to be certain: {', '.join(close)}; measure more with --tokens and --holes."
    return PrecisionVerdict(not missed, sentence, gates)


def _gates(
    dtype: str, summary: Summary, layers: list[LayerError], suggestions: SuggestionComparison | None
) -> list[Gate]:
    not_finite = summary.not_finite + sum(layer.not_finite for layer in layers)
    gates = [Gate("numbers that are not finite", "none", str(not_finite), not_finite == 0)]
    if dtype in _KL:
        bar, found = _KL[dtype], summary.divergence
        close = abs(found.mean - bar) < 2 * found.error
        gates.append(Gate("mean KL divergence", f"< {bar:g}", f"{found.mean:.2g}", found.mean < bar, close))
    if dtype in _SAME_TOP:
        bar, found = _SAME_TOP[dtype], summary.same_top
        close = abs(found.mean - bar) < 2 * found.error
        gates.append(Gate("same top token", f"≥ {bar:.1%}", f"{found.mean:.2%}", found.mean >= bar, close))
    if suggestions is None:
        return gates
    if dtype in _IDENTICAL:
        bar, found = _IDENTICAL[dtype], suggestions.identical
        close = abs(found.mean - bar) < 2 * found.error
        gates.append(Gate("suggestions identical", f"≥ {bar:.0%}", f"{found.mean:.1%}", found.mean >= bar, close))
    if dtype == "int4":
        p = suggestions.flips.p_value
        gates.append(Gate("exact match changed", f"p ≥ {_SIGNIFICANT}", f"p = {p:.2g}", p >= _SIGNIFICANT))
    return gates
