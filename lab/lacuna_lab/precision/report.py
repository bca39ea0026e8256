"""A study as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import isnan
from typing import Any

from lacuna_lab.precision.kl_statistics import Measure
from lacuna_lab.precision.study import DtypeResult, Study, StudyResult
from lacuna_lab.resources.report import format_bytes

_MAX_LAYERS = 6
"""Layers of a dtype in the report: the first, the last, and some in between. The JSON has all."""


def title(study: Study) -> str:
    """The model's name, marked if its weights are random."""
    return f"{study.name} (random weights)" if study.random_weights else study.name


def markdown(study: Study, result: StudyResult, date: str, charts: Sequence[str] = ()) -> Iterator[str]:
    """The report, line by line."""
    yield f"## Precision: {title(study)}, against {study.reference}"
    yield ""
    yield from _about(study, result, date)
    yield ""
    for one in result.found:
        yield f"* **{one.dtype}**: {_verdict(study, one)}"
    measured = [one for one in result.found if one.summary is not None]
    if measured:
        for section in (_gates, _distributions, _suggestions, _layers):
            yield from section(measured)
        yield from _speeds(study, result)
    for chart in charts:
        yield ""
        yield f"![{title(study)}: {chart.removesuffix('.png').removeprefix('precision-')}]({chart})"


def _verdict(study: Study, found: DtypeResult) -> str:
    if found.verdict is None:
        return f"not measured. {found.why_not}"
    if study.random_weights:
        gates = found.verdict.gates
        return f"no verdict, the weights are random; {sum(gate.met for gate in gates)} of {len(gates)} gates were met."
    return found.verdict.sentence


def plain(study: Study, result: StudyResult, date: str) -> dict[str, Any]:
    """The report for JSON: all figures, but not the single positions."""
    found = [{key: value for key, value in asdict(one).items() if key != "windows"} for one in result.found]
    inputs = study.questions
    figures: dict[str, Any] = _without_nan(
        {
            "model": study.name,
            "random_weights": study.random_weights,
            "date": date,
            "reference": study.reference,
            "device": result.device,
            "forward": result.forward,
            "threads": result.threads,
            "torch": result.torch,
            "own_text": inputs.own_text,
            "windows": len(inputs.windows),
            "positions": sum(window.positions for window in inputs.windows),
            "holes": len(inputs.holes),
            "max_tokens": study.max_tokens,
            "reference_speed": asdict(result.reference_speed) if result.reference_speed else None,
            "found": found,
        }
    )
    return figures


def _about(study: Study, result: StudyResult, date: str) -> Iterator[str]:
    inputs = study.questions
    windows = "window" if len(inputs.windows) == 1 else "windows"
    positions = sum(window.positions for window in inputs.windows)
    text = "the named files" if inputs.own_text else "held-out code"
    holes = f"{len(inputs.holes)} {'holes' if inputs.infills else 'next lines'}" if inputs.holes else "no suggestions"
    yield (
        f"Measured on {date} on {result.device}, {result.threads} threads, torch {result.torch}, {result.forward} "
        f"forward. {positions} positions in {len(inputs.windows)} {windows} of {text}, {holes} of at most "
        f"{study.max_tokens} tokens, answered greedily."
    )
    if study.random_weights:
        yield ""
        yield (
            "**The weights are random**: this shows that the study works for the shape, and the model's size and "
            "speed. It says nothing about the accuracy of a trained model."
        )


def _gates(found: Sequence[DtypeResult]) -> Iterator[str]:
    yield from _head("Gates", "dtype", "gate", "bar", "measured", "met")
    for one in found:
        for gate in one.verdict.gates if one.verdict else ():
            met = ("yes" if gate.met else "no") + (", but close" if gate.close else "")
            yield f"| {one.dtype} | {gate.name} | {gate.bar} | {gate.measured} | {met} |"


def _distributions(found: Sequence[DtypeResult]) -> Iterator[str]:
    columns = ("mean", "median", "99 %", "99.9 %", "largest")
    yield from _head(
        "Distributions of the next token",
        "dtype",
        *(f"KL {column}" for column in columns),
        "same top token",
        "perplexity / reference's",
        "RMS of Δp",
        "mean Δp",
        "not finite",
    )
    for one in found:
        if (s := one.summary) is None:
            continue
        ratio = f"{s.ppl_ratio:.6f} ± {_error(s.log_ppl_ratio, s.ppl_ratio)}"
        kl = f"{s.divergence.mean:.3g} ± {s.divergence.error:.1g} | {s.median:.2g} | {s.p99:.2g} | {s.p999:.2g}"
        yield (
            f"| {one.dtype} | {kl} | {s.largest:.2g} | {_percent(s.same_top)} | {ratio} "
            f"| {100 * s.delta_p_rms:.3f} % | {100 * s.delta_p_mean:+.4f} % | {s.not_finite} |"
        )
    yield ""
    yield (
        f"KL divergence in nats; perplexity of the reference {found[0].summary.reference_ppl:.3f}. "  # type: ignore[union-attr]
        "Δp: change in probability of the actual next token. ± one standard error, over windows, because positions of "
        "one text depend on each other."
    )


def _suggestions(found: Sequence[DtypeResult]) -> Iterator[str]:
    if not any(one.suggestions for one in found):
        return
    yield from _head(
        "Suggestions",
        "dtype",
        "identical",
        "median position of the first difference",
        "exact match, reference",
        "exact match",
        "right → wrong",
        "wrong → right",
        "McNemar's p",
    )
    for one in found:
        if (s := one.suggestions) is None:
            continue
        difference = "" if s.first_difference is None else f"{s.first_difference:g} characters"
        yield (
            f"| {one.dtype} | {_percent(s.identical)} | {difference} | {100 * s.exact_reference:.1f} % "
            f"| {100 * s.exact_test:.1f} % | {s.flips.to_wrong} | {s.flips.to_right} | {s.flips.p_value:.2g} |"
        )


def _layers(found: Sequence[DtypeResult]) -> Iterator[str]:
    yield from _head(
        "Layers", "dtype", "layer", "relative error after it", "largest activation", "share of the limit", "not finite"
    )
    for one in found:
        for row in _shown_rows(len(one.layers)):
            layer = one.layers[row]
            yield (
                f"| {one.dtype} | {layer.layer} | {layer.error:.2g} | {layer.largest:.4g} | {layer.of_limit:.2g} "
                f"| {layer.not_finite} |"
            )


def _shown_rows(count: int) -> list[int]:
    return sorted({round(step * (count - 1) / (_MAX_LAYERS - 1)) for step in range(_MAX_LAYERS)}) if count else []


def _speeds(study: Study, result: StudyResult) -> Iterator[str]:
    if (reference := result.reference_speed) is None:
        return
    yield from _head("Size and speed", "dtype", "weights", "as loaded", "ms per token", "tokens/s", "speed-up")
    rows = [(study.reference, reference), *((one.dtype, one.speed) for one in result.found if one.speed)]
    for dtype, speed in rows:
        yield (
            f"| {dtype} | {format_bytes(speed.weight_bytes)} | {format_bytes(speed.resident_bytes)} "
            f"| {1000 * speed.pass_s:.2f} | {speed.tokens_per_s:.1f} | {reference.pass_s / speed.pass_s:.2f} |"
        )
    yield ""
    order = "The dtypes took turns" if reference.together else "One dtype after the other: they do not fit together"
    yield f"One token after 256 others, without drafts. {order}."


def _head(name: str, *columns: str) -> Iterator[str]:
    yield from ("", f"### {name}", "", f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|")


def _percent(measure: Measure) -> str:
    return f"{100 * measure.mean:.2f} % ± {100 * measure.error:.2f}"


def _error(log_ratio: Measure, ratio: float) -> str:
    return f"{log_ratio.error * ratio:.1g}"


def _without_nan(value: Any) -> Any:
    """Replaces NaN with None: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and isnan(value) else value
