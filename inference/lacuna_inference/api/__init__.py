"""The border of the engine: what is asked, what is answered, and how to wait, cancel and watch its state.

Imports nothing heavy: a server imports this package before it has answered `initialize`.
"""

from lacuna_inference.api.engine import Engine, EngineState, ModelFacts, Phase
from lacuna_inference.api.options import BUNDLED, ModelOptions
from lacuna_inference.api.request import (
    MAX_RELATED_FILES,
    CancelToken,
    Raw,
    Request,
    Sampling,
    Stop,
    StopReason,
    StreamEvent,
    TokenizeOptions,
    TokenLogprob,
)
from lacuna_inference.api.result import Candidate, CompletionResult, Fill, RequestMetrics

__all__ = [
    "BUNDLED",
    "MAX_RELATED_FILES",
    "CancelToken",
    "Candidate",
    "CompletionResult",
    "Engine",
    "EngineState",
    "Fill",
    "ModelFacts",
    "ModelOptions",
    "Phase",
    "Raw",
    "Request",
    "RequestMetrics",
    "Sampling",
    "Stop",
    "StopReason",
    "StreamEvent",
    "TokenLogprob",
    "TokenizeOptions",
]
