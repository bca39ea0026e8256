"""The comparison with llama.cpp's server: what is asked, and what is made of the replies, with scripted contestants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_lab.bench.model import parts, rivals, run
from lacuna_lab.bench.model.child import Child
from lacuna_lab.bench.model.figures import Better, Figure, Unit, shown, table
from lacuna_lab.bench.model.kept_answers import with_kept_answers
from lacuna_lab.bench.model.lacuna_program import request_of
from lacuna_lab.bench.model.parts import Part
from lacuna_lab.bench.model.questions import Question, Reply, TypedKey, cold_window, two_lines, typed_keys
from lacuna_lab.bench.model.rivals import Contestant, body_of, in_turns, reply_of
from lacuna_lab.commands import bench_model
from lacuna_lab.evaluation.files import SourceFile
from lacuna_lab.evaluation.problems import Problem
from lacuna_server.settings import Settings

CODE = '"""A text\nof two lines, both of them long."""\n\n' + "".join(
    f"def f{n}(a):\n    total = a + {n}\n    return total\n\n\n" for n in range(60)
)
SOURCE = SourceFile("group", "x.py", CODE, "group/x.py")


@dataclass
class Scripted:
    """A contestant that answers by a function, and remembers what it was asked."""

    name: str
    answer: Callable[[Question], str] = lambda _: "x"
    taken_s: float = 0.5
    ready_s: float = 2.0
    asked: list[Question] = field(default_factory=list)
    closed: int = 0

    def ask(self, question: Question) -> Reply:
        self.asked.append(question)
        return Reply(self.answer(question), self.taken_s, 100, 0.4, 110, 10, self.taken_s / 5)

    def ids_of(self, text: str) -> list[int]:
        return list(range(len(text)))

    def kv_bytes(self, tokens: int) -> tuple[int, int]:
        return 1000 * tokens, 7000 * tokens

    def peak_bytes(self) -> int | None:
        return 10**9

    def close(self) -> None:
        self.closed += 1


@dataclass
class Starter:
    """Starts scripted contestants; without a peer where it is not installed."""

    with_peer: bool = True
    drafts: list[bool] = field(default_factory=list)
    started: list[Scripted] = field(default_factory=list)

    def lacuna(self, drafts: bool = True) -> Scripted:
        self.drafts.append(drafts)
        self.started.append(Scripted(parts.LACUNA))
        return self.started[-1]

    def restarted_lacuna(self) -> Scripted:
        return self.lacuna()

    def peer(self) -> Contestant | None:
        if not self.with_peer:
            return None
        self.started.append(Scripted(parts.PEER, taken_s=1.0, ready_s=1.0))
        return self.started[-1]


def plan(*wanted: Part) -> run.Plan:
    problem = Problem("HumanEval/0", "def f():\n", "\n", "    return 1\n", "", "f")
    return run.Plan(frozenset(wanted or Part), typed_keys(SOURCE, 5, 16), [SOURCE] * 3, 512, [problem])


def measured(starter: Starter, *wanted: Part) -> list[Figure]:
    return run.measure(plan(*wanted), starter, run.Sizes(500, 7), lambda _: None)


def test_keys_type_two_lines_with_what_is_around_them() -> None:
    keys = typed_keys(SOURCE, 1000, 16)
    lines, first = CODE.split("\n"), two_lines(CODE, 1000)
    assert first is not None
    one, two = lines[first : first + 2]
    typed_first = [key for key in keys if (key.question.prefix + key.truth).endswith(f"\n{one}")]
    assert [key.truth for key in typed_first] == [one[at:] for at in range(5, len(one) + 1)]
    typed_second = keys[len(typed_first) :]
    assert [key.truth for key in typed_second] == [two[at:] for at in range(4, len(two) + 1)]
    for key in typed_second:
        assert key.question.prefix + key.truth + key.question.suffix in CODE
    assert len({(key.question.document, key.question.suffix) for key in keys}) == 1


def test_docstrings_are_not_typed() -> None:
    first = two_lines(CODE, 40)
    assert first is not None
    assert CODE.split("\n")[first].startswith(("def", "    "))
    assert two_lines('"""Only\na text."""\n', 5) is None
    assert two_lines("not python at all {\nsecond line\n", 5) == 0


def test_a_cold_window_lies_around_a_line_in_the_middle() -> None:
    question = cold_window(SOURCE, 600, 16)
    assert question.prefix in CODE
    assert question.suffix in CODE
    assert 450 <= len(question.prefix) + len(question.suffix) <= 800
    assert len(question.prefix) > len(question.suffix)


def test_llama_cpp_is_asked_as_llama_vim_asks() -> None:
    path, body = body_of(Question("a\nb = ", "\nc", max_tokens=9))
    assert path == "/infill"
    assert (body["input_prefix"], body["prompt"], body["input_suffix"]) == ("a\n", "b = ", "\nc")
    assert (body["n_predict"], body["stop"], body["cache_prompt"]) == (128, ["\n"], True)
    assert body_of(Question("a\nb = ", "\nc"), fills=False)[1]["prompt"] == "a\nb = "
    path, body = body_of(Question(ids=(1, 2), max_tokens=48))
    assert (path, body["prompt"], body["n_predict"], body["cache_prompt"]) == ("/completion", [1, 2], 48, False)


def test_blanks_that_were_not_sent_are_no_part_of_the_answer() -> None:
    question = Question("a\n    ", "\n")
    assert body_of(question)[1]["prompt"] == ""
    timings = {"prompt_n": 7, "prompt_ms": 50.0, "predicted_n": 3, "predicted_ms": 20.0}
    reply = reply_of({"content": "    return a", "timings": timings}, question, 0.1)
    assert reply == Reply("return a", 0.1, 7, 0.05, 9, 2, 0.02)
    assert reply_of({"content": "x", "timings": timings}, Question("a\n  x", "\n"), 0.1).text == "x"


def test_lacuna_gets_the_servers_requests() -> None:
    request = request_of(Question("a\nb = ", "\nc", "x.py", "x typed", 9))
    assert (request.parts, request.path, request.document_id) == (("a\nb = ", "\nc"), "x.py", "x typed")
    assert (request.stop.max_tokens, request.stop.single_line) == (9, True)
    request = request_of(Question(ids=(1, 2), max_tokens=48))
    assert (request.ids, request.stop.single_line, request.document_id) == ((1, 2), False, None)


def test_contestants_take_turns() -> None:
    order: list[str] = []
    one = Scripted("one", lambda _: order.append("one") or "")  # type: ignore[func-returns-value]
    two = Scripted("two", lambda _: order.append("two") or "")  # type: ignore[func-returns-value]
    replies = in_turns([one, two], [Question("a"), Question("b"), Question("c")])
    assert order == ["one", "two", "two", "one", "one", "two"]
    assert [len(found) for found in replies.values()] == [3, 3]


def key(prefix: str, truth: str, suffix: str = "\n") -> TypedKey:
    return TypedKey(Question(prefix, suffix), truth)


def test_kept_answers_serve_what_is_typed_along_them() -> None:
    keys = [key("x", " = 12"), key("x ", "= 12"), key("x =", " 12"), key("x = ", "12"), key("x = 1", "2")]
    replies = [Reply(text, 1.0, 9, evaluated=9) for text in (" = 3", "", "+", "12", "-")]
    found = with_kept_answers(keys, replies)
    assert [reply.text for reply in found] == [" = 3", "= 3", " 3", "3", "-"]
    assert [reply.taken_s for reply in found] == [1.0, 0.0, 0.0, 0.0, 1.0]
    other = with_kept_answers([keys[0], key("x ", "= 12", "\n\n")], replies[:2])
    assert other[1].taken_s == 1.0


def test_figures_of_typed_keys() -> None:
    keys = [key("x", " = 12"), key("x ", "= 12")]
    replies = {
        parts.LACUNA: [Reply(" = 12", 0.1, 50, evaluated=55), Reply("= 12", 0.1, 0, evaluated=1)],
        parts.PEER: [Reply(" = 12 \n", 1.0, 50, evaluated=53), Reply("= 1", 1.0, 50, evaluated=53)],
    }
    found = {figure.name: figure for figure in parts.typed_keys(keys, replies)}
    assert found["mean"].ratio == pytest.approx(10)
    assert (found["prompt tokens read a key"].own, found["prompt tokens read a key"].peer) == (25, 50)
    exact = found["rest of the line exact"]
    assert (exact.own, exact.peer, exact.of, exact.ratio) == (2, 1, 2, 2)
    assert found["mean, where llama.vim shows what it keeps"].peer == 0.5
    alone = parts.typed_keys(keys, {parts.LACUNA: replies[parts.LACUNA]})
    assert all(figure.peer is None and figure.ratio is None for figure in alone)


def test_a_table_shows_units_and_ratios() -> None:
    lines = list(table([
        Figure("keys", "p50", Unit.SECONDS, 0.0031, 1.25),
        Figure("prompt", "512 tokens", Unit.RATE, 150, 75.25, Better.MORE),
        Figure("memory", "peak", Unit.BYTES, 2e9, None),
    ]))  # fmt: skip
    assert lines[2] == "| keys: p50 | 3.10 ms | 1.25 s | 403 |"
    assert lines[3] == "| prompt: 512 tokens | 150 tokens/s | 75.2 tokens/s | 1.99 |"
    assert lines[4] == "| memory: peak | 2,000 MB |  |  |"
    assert shown(3, Figure("", "", Unit.COUNT, 3, 4, Better.MORE, 10)) == "3 of 10"


def test_all_parts_are_measured_and_every_process_is_closed() -> None:
    starter = Starter()
    found = {f"{figure.part}: {figure.name}": figure for figure in measured(starter)}
    assert found["decoding: without drafts, 3 times 48 tokens"].ratio == 2
    assert found["prompt: 256 tokens"].own == pytest.approx(250)
    assert (found["memory: file"].own, found["memory: KV cache, 256 tokens read"].peer) == (500, 7)
    assert found["start: process to first suggestion"].ratio == pytest.approx(0.8)
    assert found["1 problems: exact"].own == 0
    assert starter.drafts == [True, False, True, True, True, True]
    assert all(contestant.closed for contestant in starter.started)


def test_lacuna_is_measured_alone_without_llama_cpp(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = measured(Starter(with_peer=False))
    assert found
    assert all(figure.peer is None for figure in found)
    monkeypatch.setattr(rivals, "find_spec", lambda _: None)
    assert rivals.version() == ""
    assert "pip install xllamacpp" in rivals.INSTALL


def test_only_named_parts_are_measured() -> None:
    assert {figure.part for figure in measured(Starter(), Part.PROMPT)} == {"prompt"}
    starter = Starter()
    assert {figure.part for figure in measured(starter, Part.START)} == {"start"}
    assert len(starter.started) == 7


def test_a_process_that_ends_is_named_with_what_it_said() -> None:
    child = Child("lacuna_lab.bench.model.lacuna_program", "not json")
    with pytest.raises(LacunaError, match="JSONDecodeError"):
        child.wait_until_ready()
    child.close()


def test_other_models_than_gguf_are_refused(tmp_path: Path) -> None:
    wanted = bench_model.ModelBenchPlan((), None, 5, 0, None, 1, 0)
    with pytest.raises(BadRequest, match="not a GGUF file"):
        bench_model.compare(Settings(), wanted, None, as_json=False)
