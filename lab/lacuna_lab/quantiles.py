"""Quantiles of what was measured, the same in every table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def quantile(values: Sequence[float], share: float) -> float:
    """What `share` of the values do not exceed, interpolated between two of them; not a number if there are none."""
    return float(np.quantile(values, share)) if values else float("nan")
