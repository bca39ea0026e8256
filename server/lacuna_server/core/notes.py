"""What a caller should know about an answer that was made with less than was requested."""

from __future__ import annotations

from lacuna_inference.api import RequestMetrics

_TRUNCATED = "The text is longer than the model's context, so the model saw only the part nearest to the hole."
_LIMITED = "The model's context has room for an answer of {} tokens, fewer than requested."


def note(metrics: RequestMetrics) -> str:
    """What did not fit into the model's context; empty if all did."""
    return " ".join(filter(None, (limited(metrics), "" if metrics.whole else _TRUNCATED)))


def limited(metrics: RequestMetrics) -> str:
    """That the answer could not have as many tokens as requested; empty if it could."""
    return "" if metrics.limit is None else _LIMITED.format(metrics.limit)
