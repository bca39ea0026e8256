"""The engine's API: requests, results, options, and the `Engine` protocol.

Imports nothing heavy: a server imports this package before it has answered `initialize`.
"""

from lacuna_inference.api.engine import Engine, EngineState, ModelFacts, Phase
from lacuna_inference.api.options import BUNDLED, ModelOptions
from lacuna_inference.api.request import (
    MAX_RELATED_FILES,
    CancelToken,
    ContextFile,
    Raw,
    Request,
    Sampling,
    Stop,
    StopReason,
    StreamEvent,
    TokenizeOptions,
    TokenLogprob,
)
from lacuna_inference.api.result import Candidate, CompletionResult, Fill, RequestMetrics, Source

__all__ = [
    "BUNDLED",
    "MAX_RELATED_FILES",
    "CancelToken",
    "Candidate",
    "CompletionResult",
    "ContextFile",
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
    "Source",
    "Stop",
    "StopReason",
    "StreamEvent",
    "TokenLogprob",
    "TokenizeOptions",
]
