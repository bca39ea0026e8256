"""What of other files a model is shown: apart from the rest, because the command line needs it at its start."""

from __future__ import annotations

from enum import StrEnum


class ContextSource(StrEnum):
    """What of other files the model is shown."""

    SERVED = "served"
    """What the language server shows: both of the following."""
    PASSAGES = "passages"
    """Passages like the code before the cursor's line."""
    DEFINITIONS = "definitions"
    """What that code refers to."""
