"""KV caches across restarts of the engine: what is read again, and when they are saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import save_tiny_model, until

from lacuna_inference.api import CancelToken, CompletionResult, ContextFile, ModelOptions, Request, Stop
from lacuna_inference.cache.counts import TokenCounts
from lacuna_inference.cache.disk import SUFFIX
from lacuna_inference.cache.pool import Use
from lacuna_inference.decoding.anchors import Anchors
from lacuna_inference.decoding.resuming import resume
from lacuna_inference.engine import keeping
from lacuna_inference.engine.assemble import load_model
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.engine.keeping import Keeper

CONTEXT = 128
LINES = "".join(f"x{number} = {number}\n" for number in range(10))
LONG = "".join(f"value_{number} = {number}\n" for number in range(60))
DOCUMENT = "file:///w/a.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def options(folder: Path, tmp_path: Path) -> ModelOptions:
    return ModelOptions(str(folder), "cpu", context=CONTEXT, kv_cache_folder=tmp_path / "kv", kv_cache_disk_bytes=2**24)


def request(before: str, after: str, document: str = DOCUMENT) -> Request:
    return Request((before, after), "a.py", Stop(max_tokens=4), document_id=document, prefetch_next=True)


def ask(options: ModelOptions, *requests: Request) -> list[CompletionResult]:
    """The answers of an engine that is started for these requests and closed after them."""
    engine = ModelEngine(options)
    answers = [engine.submit(one).result(60) for one in requests]
    assert engine.close(60)
    return answers


def read(answer: CompletionResult) -> int:
    """Tokens of the prompt that were evaluated."""
    return answer.metrics.prompt_tokens - answer.metrics.reused_tokens


@pytest.mark.parametrize("layout", ["auto", "anchored", "canonical"])
@pytest.mark.parametrize(("before", "after"), [(LINES + "x", "\n" + LINES[:28]), (LONG + "value", "\n" + LONG)])
def test_the_first_answer_after_a_restart_reads_no_prompt(
    options: ModelOptions, before: str, after: str, layout: str
) -> None:
    options = replace(options, layout=layout)
    asked = request(before, after)
    (first,) = ask(options, asked)
    assert read(first) > 60
    (again,) = ask(options, asked)
    assert read(again) <= 2
    assert again.candidates[0].text == first.candidates[0].text
    (without,) = ask(replace(options, kv_cache_folder=None), asked)
    assert read(without) > 60
    assert without.candidates[0].text == first.candidates[0].text


def test_the_window_and_the_anchor_stay_where_they_were(options: ModelOptions) -> None:
    """A window that has moved with the cursor, and a prompt laid out anew in the middle of a line."""
    lines = [f"value_{number} = {number}\n" for number in range(40)]
    for number in range(25, 36):
        last = request("".join(lines[:number]) + "val", "\n" + "".join(lines[number:]))
    moved = [request("".join(lines[:n]) + "val", "\n" + "".join(lines[n:])) for n in range(25, 30)]
    relaid = replace(moved[-1], relayout_on_pause=True)
    ask(options, *moved, relaid)
    (again,) = ask(options, moved[-1])
    assert read(again) <= 2
    (elsewhere,) = ask(options, last)
    assert elsewhere.candidates


@pytest.mark.parametrize(("lines", "layout", "most"), [(10, "auto", 0), (60, "auto", 0), (60, "canonical", 30)])
def test_a_document_that_is_opened_after_a_restart_is_read_at_its_last_cursor(
    options: ModelOptions, lines: int, layout: str, most: int
) -> None:
    options = replace(options, layout=layout)
    text = "".join(f"v{number} = {number}\n" for number in range(lines))
    cursor = text.index("v7 ") if lines < 60 else text.index("v40 ")
    asked = request(text[:cursor], text[cursor:])
    ask(options, asked)
    engine = ModelEngine(options)
    engine.submit(Request(("warm", ""))).result(60)
    engine.read_ahead(replace(asked, parts=(text,)), CancelToken())
    until(lambda: engine._scheduler.idle)
    assert read(engine.submit(asked).result(60)) <= most  # in the canonical layout, only the window is known
    assert engine.close(60)


def test_an_edit_elsewhere_costs_only_what_changed(options: ModelOptions) -> None:
    ask(options, request(LINES + "x", "\n"))
    (again,) = ask(options, request(LINES + "y = 2\nx", "\n"))
    assert 0 < read(again) < 20
    (elsewhere,) = ask(options, request("y = 2\n" + LINES + "x", "\n"))
    assert read(elsewhere) > 60


OTHER = (ContextFile("u.py", "USED = 1\n"),)


def test_what_was_shown_of_other_files_is_shown_again_until_something_else_is_chosen(
    options: ModelOptions, tmp_path: Path
) -> None:
    folder = save_tiny_model(tmp_path / "qwen", family="qwen2.5-coder")
    options = replace(options, model=str(folder), context=512)
    plain = request(LINES + "x", "\n" + LINES[:28])
    asked = replace(plain, context_files=OTHER, repository="lib")
    (first,) = ask(options, asked)
    assert first.metrics.prompt_tokens > ask(replace(options, kv_cache_folder=None), plain)[0].metrics.prompt_tokens
    again, chosen = ask(options, replace(plain, keeps_files=True), asked)
    assert read(again) <= 2
    assert read(chosen) == 0
    assert again.candidates[0].text == first.candidates[0].text
    (without,) = ask(options, plain)
    assert read(without) > 60


def test_a_new_document_keeps_no_files(options: ModelOptions) -> None:
    plain = request(LINES + "x", "\n")
    kept, not_kept = ask(options, replace(plain, keeps_files=True), plain)
    assert read(kept) > 60
    assert read(not_kept) == 0


@pytest.mark.parametrize("files", ["x", [["a.py"]], [["a.py", 1]], [1], {"a": 1}, [["a\ud800.py", "x\ud800"]]])
def test_notes_may_hold_anything(files: Any) -> None:
    anchors = Anchors()
    resume(anchors, DOCUMENT, {"files": files, "repository": "lib"}, "", "")
    shown = anchors.files.get(DOCUMENT)
    assert shown is None or shown.files == (ContextFile("a\ufffd.py", "x\ufffd"),)


@pytest.mark.parametrize("changed", ["dtype", "context", "weights", "family"])
def test_another_model_does_not_use_the_caches(options: ModelOptions, tmp_path: Path, changed: str) -> None:
    folder = save_tiny_model(tmp_path / "model")
    options = replace(options, model=str(folder))
    asked = request(LINES + "x", "\n")
    ask(options, asked)
    assert read(ask(options, asked)[0]) <= 2
    if changed == "weights":
        save_tiny_model(folder)  # with another time
    values = {"dtype": "bfloat16", "context": CONTEXT - 1, "family": "plain"}
    other = replace(options, **{changed: values[changed]}) if changed in values else options
    (answer,) = ask(other, asked)
    assert read(answer) > 60


def test_nothing_is_saved_without_a_budget_or_a_document(options: ModelOptions, tmp_path: Path) -> None:
    asked = request(LINES + "x", "\n")
    ask(replace(options, kv_cache_disk_bytes=0), asked)
    ask(options, replace(asked, document_id=None))
    ask(replace(options, forward="transformers"), asked)
    assert not (tmp_path / "kv").exists()


def test_an_unloaded_model_finds_its_caches_again(options: ModelOptions) -> None:
    engine = ModelEngine(replace(options, idle_unload_s=0.1))
    asked = request(LINES + "x", "\n")
    first = engine.submit(asked).result(60)
    until(lambda: engine.state.phase.value == "asleep")
    again = engine.submit(replace(asked, path="b.py")).result(60)
    assert (read(first) > 60, read(again) <= 2) == (True, True)
    engine.close()


def test_caches_are_saved_while_nobody_asks(
    options: ModelOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keeping, "IDLE_S", 0.05)
    engine = ModelEngine(options)
    for document in ("a", "b"):
        engine.submit(request(LINES + "x", "\n", document)).result(60)
    until(lambda: len(list((tmp_path / "kv").glob(f"*{SUFFIX}"))) == 2)
    engine.close()


def test_a_document_is_saved_at_most_every_few_minutes(options: ModelOptions) -> None:
    now = [1000.0]
    model = load_model(options, lambda _fraction, _text: None)
    keeper = Keeper(model.decoder, lambda: now[0])
    assert keeper.wait_s() is None

    def read_into(document: str, ids: list[int]) -> None:
        with model.decoder.caches.lease(document, ids, Use.ANSWERS, TokenCounts()) as cache:
            cache.compute_logits_after(ids, CancelToken())

    def saved() -> int:
        assert keeper._writer is not None
        keeper._writer.join()
        disk = model.decoder.caches.disk
        assert disk is not None
        header = disk.find("a")
        return 0 if header is None else len(header.tokens)

    read_into("a", list(range(50)))
    assert keeper.wait_s() is None  # too few
    read_into("a", list(range(80)))
    assert keeper.wait_s() == keeping.IDLE_S
    keeper.save_one()
    assert saved() == 80
    assert keeper.wait_s() is None
    read_into("a", [5, *range(90)])
    assert keeper.wait_s() == keeping.INTERVAL_S
    keeper.save_one()
    assert saved() == 80
    read_into("b", list(range(80)))
    assert keeper.wait_s() == keeping.IDLE_S  # another document need not wait
    now[0] += keeping.INTERVAL_S
    keeper.save_one()
    keeper.save_one()
    assert keeper.wait_s() in (None, keeping.IDLE_S)
    keeper.close()
    assert saved() == 91
    assert keeper.wait_s() is None


def test_a_cache_that_cannot_be_copied_is_left_out(
    options: ModelOptions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("lacuna_inference.models.forward.network.OwnForward.export_kv", fail)
    ask(options, request(LINES + "x", "\n"))
    assert "no room" in caplog.text
