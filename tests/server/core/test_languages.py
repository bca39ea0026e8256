"""Which language a document is in, and that the bundled model is not asked about others."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from helpers import loaded, scripted_decoder

from lacuna_inference.api import BUNDLED, EngineState, ModelFacts, ModelOptions, Phase
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.engine.fake import FakeEngine
from lacuna_inference.models import describe
from lacuna_inference.models.loading import sources
from lacuna_server.core.admission import Rules, language_refusal
from lacuna_server.core.languages import is_among, of_first_line
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.lsp.session import Session
from lacuna_server.settings import Settings

PYTHON = ("python",)


@pytest.mark.parametrize(
    ("language", "path", "found"),
    [
        ("python", "/a/b.py", True),
        ("python", "/a/notebook.ipynb", True),
        ("Python", "", True),
        ("starlark", "/a/BUILD.bazel", True),
        ("cython", "/a/fast.pyx", True),
        ("plaintext", "/a/b.py", True),
        ("", "/a/b.pyi", True),
        ("", "notebook.ipynb", True),
        ("", "", True),  # nothing indicates its language
        ("go", "/a/b.go", False),
        ("markdown", "/a/README.md", False),
        ("css", "/a/b.css", False),
        ("rust", "/a/b.rs", False),
        ("plaintext", "/a/notes.txt", False),
        ("plaintext", "", False),
        ("no-such-language", "/a/b.no-such-ending", False),
        ("", "Makefile", False),
        ("", "a\0b\ud800.go", False),
    ],
)
def test_which_documents_are_python(language: str, path: str, found: bool) -> None:
    assert is_among(PYTHON, language, path) is found
    assert is_among((), language, path)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("#!/usr/bin/python3.11 -u\nx", "python"),
        ("#!/usr/bin/env python\nx", "python"),
        ("#!/usr/bin/env -S python3 -u\r\nx", "python"),
        ("#! /bin/sh\nx", "sh"),
        ("# python\n", ""),
        ("", ""),
    ],
)
def test_the_first_line_of_a_script(text: str, language: str) -> None:
    assert of_first_line(text) == language


@pytest.mark.parametrize(
    ("language", "chosen", "reason"),
    [
        ("go", {}, Withheld.MODEL_LANGUAGE),
        ("go", {"go": True}, None),
        ("go", {"*": True}, None),
        ("go", {"*": True, "go": False}, Withheld.LANGUAGE),
        ("go", {"rust": True}, Withheld.MODEL_LANGUAGE),
        ("python", {"*": False}, Withheld.LANGUAGE),
        ("python", {}, None),
    ],
)
def test_the_setting_has_the_last_word(language: str, chosen: dict[str, bool], reason: Withheld | None) -> None:
    assert language_refusal(language, "", Rules(languages=chosen, model_languages=PYTHON)) is reason


def test_a_file_s_name_is_enough_for_the_setting() -> None:
    assert language_refusal("", "a.go", Rules(languages={"go": True}, model_languages=PYTHON)) is None
    assert language_refusal("", "a.go", Rules(languages={"go": False})) is Withheld.LANGUAGE


def test_the_bundled_model_states_its_languages() -> None:
    assert sources.find(BUNDLED).languages == PYTHON
    assert describe.describe(ModelOptions()).languages == PYTHON


@pytest.mark.parametrize("named", [None, "python", {}, [1, None]])
def test_a_config_that_names_no_languages_limits_nothing(named: object) -> None:
    folder = sources.find(BUNDLED)
    assert sources.ModelFolder("m", folder.path, {sources.LANGUAGES: named}).languages == ()


def test_an_engine_reports_its_model_s_languages() -> None:
    model = replace(loaded(scripted_decoder("abc")), facts=ModelFacts("scripted", languages=PYTHON))
    engine = ModelEngine(ModelOptions("scripted"), lambda _: model)
    warm: asyncio.Queue[EngineState] = asyncio.Queue()

    async def state() -> EngineState:
        loop = asyncio.get_running_loop()
        engine.watch(lambda state: loop.call_soon_threadsafe(warm.put_nowait, state))
        engine.start()
        while (found := await warm.get()).phase is not Phase.WARM:
            pass
        return found

    try:
        assert asyncio.run(state()).facts.languages == PYTHON
    finally:
        engine.close()


def test_an_editor_gets_the_reason_for_no_suggestions_in_go() -> None:
    engine = FakeEngine("abc")
    engine.enter(EngineState(Phase.WARM, facts=ModelFacts("scripted", languages=PYTHON)))
    session = Session(Settings(), lambda _: engine)

    def withheld(language: str, path: str) -> Withheld | None:
        snapshot = Snapshot("x = ", 4, language=language, uri_path=path)
        return asyncio.run(session.complete(snapshot, invoked=True)).withheld

    assert withheld("go", "/a/b.go") is Withheld.MODEL_LANGUAGE
    assert withheld("python", "/a/b.py") is None
