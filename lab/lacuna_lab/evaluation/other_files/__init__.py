"""`lacuna eval --other-files`: whether excerpts of other files help a model to use what they define."""

from typing import Literal

ContextSource = Literal["served", "passages", "definitions"]
"""What of other files the model is shown: what the language server shows, or only passages like the code before the
cursor's line, or only what that code refers to."""
