"""Settings: one schema, several sources, and a one-line error for every invalid value."""

from __future__ import annotations

from pathlib import Path

import pytest

from lacuna_inference.engine.fake import FakeEngine
from lacuna_inference.errors import BadRequest
from lacuna_server import settings
from lacuna_server.lsp.session import Session
from lacuna_server.settings import Settings


def test_later_sources_win(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("lacuna.toml").write_text('max_tokens = 11\ntop_p = 0.5\ndevice = "cpu"\n')
    monkeypatch.setenv("LACUNA_TOP_P", "0.6")
    monkeypatch.setenv("LACUNA_DEVICE", "cuda")
    loaded = settings.load(device="mps", model=None)
    assert (loaded.max_tokens, loaded.top_p, loaded.device, loaded.model) == (11, 0.6, "mps", "bundled")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("max_token = 3", r"no setting called 'max_token'. Did you mean 'max_tokens'\?"),
        ('max_tokens = "many"', "'max_tokens' is invalid"),
        ("top_p = 3", "'top_p' is invalid"),
        ("max_tokens = = 3", "lacuna.toml cannot be read"),
    ],
)
def test_an_invalid_file_is_a_one_line_error(file: str, message: str) -> None:
    Path("lacuna.toml").write_text(file)
    with pytest.raises(BadRequest, match=message) as caught:
        settings.load()
    assert "\n" not in str(caught.value)


def test_a_server_starts_with_an_invalid_file_and_reports_it() -> None:
    Path("lacuna.toml").write_text("max_tokens = 5\ncolour = 1\n")
    loaded, warnings = settings.load_leniently()
    assert (loaded.max_tokens, warnings) == (5, ["There is no setting called 'colour'."])


def test_a_folder_s_file_cannot_make_code_run(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("lacuna.toml").write_text("trust_remote_code = true\n")
    loaded, (warning,) = settings.load_leniently()
    assert not loaded.trust_remote_code
    assert "only on the command line" in warning
    assert not Settings().changed({"trust_remote_code": True})[0].trust_remote_code
    monkeypatch.setenv("LACUNA_TRUST_REMOTE_CODE", "1")
    assert settings.load_leniently()[0].trust_remote_code


def test_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("lacuna.toml").write_text("max_tokens = 5\ntop_p = 0.5\n")
    monkeypatch.setenv("LACUNA_CONTEXT", "300")
    loaded, _ = settings.load_leniently(max_tokens=7)
    changed, warnings = loaded.changed({"max_tokens": 9, "top_p": 0.6, "context": 400, "path": "/bin/lacuna"})
    assert (changed.max_tokens, changed.top_p, changed.context, warnings) == (7, 0.6, 400, [])
    assert changed.changed({"max_tokens": 9})[0].max_tokens == 7


@pytest.mark.parametrize("model", ["./evil", "Salesforce/codegen2"])
def test_with_trusted_model_code_a_folder_cannot_change_the_model(model: str) -> None:
    trusting, _ = settings.load_leniently(trust_remote_code=True)
    assert trusting.changed({"model": model})[0].model == "bundled"
    assert Settings().changed({"model": model})[0].model == model


@pytest.mark.parametrize("name", ["model", "quick_model"])
def test_a_folder_s_settings_cannot_name_a_network_share_as_model(name: str) -> None:
    assert Settings().changed({name: "\\\\host\\share"})[0] == Settings()


def test_a_mapping_that_is_not_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LACUNA_MAX_MEMORY", "10GiB")
    with pytest.raises(BadRequest, match="written as JSON"):
        settings.load()


def test_an_editor_s_values_are_applied_one_by_one() -> None:
    changed, warnings = Settings().changed({"max_tokens": 5, "top_p": 7, "colour": "red", "context": None})
    assert (changed.max_tokens, changed.top_p, changed.context) == (5, 0.95, 2048)
    assert warnings == [
        "The setting 'top_p' is invalid: input should be less than or equal to 1.",
        "There is no setting called 'colour'.",
    ]


def test_an_editor_may_send_strings_and_numbers_as_json_has_them() -> None:
    changed, warnings = Settings().changed({"temperature": 1, "model": "/models/x", "max_memory": {"0": "10GiB"}})
    assert warnings == []
    assert (changed.temperature, changed.model_options().model, changed.max_memory) == (1, "/models/x", {"0": "10GiB"})


def test_another_server_kind_creates_another_engine() -> None:
    created = []

    def make(found: Settings) -> FakeEngine:
        created.append(found.engine_kind)
        return FakeEngine(lambda _: "")

    session = Session(settings.load(), make)
    assert session.configure({"engine_kind": "tgi"})
    assert not session.configure({"engine_kind": "tgi"})
    assert created == ["lacuna", "tgi"]


def test_the_quick_model_has_settings_of_its_own() -> None:
    mine = Settings(model="m.gguf", quick_model="bundled", family="qwen2.5-coder", context=512, trust_remote_code=True)
    quick = mine.of_quick_model()
    assert quick is not None
    assert (quick.model, quick.family, quick.context, quick.trust_remote_code) == ("bundled", "auto", 2048, False)
    assert quick.of_quick_model() is None
    assert quick.eagerness == mine.eagerness


@pytest.mark.parametrize(
    ("quick", "engine", "has"),
    [("", None, False), ("bundled", None, False), ("bundled", "http://127.0.0.1:1", True), ("m.gguf", None, True)],
)
def test_a_model_is_not_its_own_quick_model(quick: str, engine: str | None, has: bool) -> None:
    settings = Settings(model="bundled", quick_model=quick, engine=engine)
    assert (settings.of_quick_model() is not None) is has
