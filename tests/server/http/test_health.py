"""What a load balancer is told: whether the process answers, and whether requests do."""

from __future__ import annotations

import httpx
import pytest

from lacuna_inference.api import EngineState, Phase
from lacuna_inference.engine.fake import FakeEngine
from lacuna_server.http import app


@pytest.mark.parametrize(
    ("phase", "status"),
    [(Phase.UNLOADED, 503), (Phase.LOADING, 503), (Phase.WARM, 200), (Phase.ASLEEP, 200), (Phase.FAILED, 503)],
)
async def test_only_a_model_that_answers_is_ready(phase: Phase, status: int) -> None:
    engine = FakeEngine()
    engine.enter(EngineState(phase, message="What happened."))
    server = httpx.ASGITransport(app.build(engine))
    async with httpx.AsyncClient(transport=server, base_url="http://127.0.0.1") as client:
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (status, phase.value)
        assert ready.json()["message"] == "What happened."
        assert (await client.get("/health/live")).status_code == 200
