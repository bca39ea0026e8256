"""Error boundary of the request handlers: no exception leaves one, because clients would show it as a popup."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)


def guarded(nothing: R) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Decorates a handler: its exceptions are logged and `nothing` is the answer. Cancellation passes through."""

    def decorate(handler: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        @functools.wraps(handler)
        async def guarded_handler(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return await handler(*args, **kwargs)
            except Exception:
                logger.exception("The handler %s failed.", handler.__name__)
                return nothing

        return guarded_handler

    return decorate
