"""The training steps end to end on a toy corpus, and the properties that the samples must have."""

from __future__ import annotations

import json
import random
import signal
import threading
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from lacuna_inference.api import ModelOptions, Request, Stop
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.in_file.candidates.ranker import features, find_candidates, load_weights, score
from training import clean, holes
from training.batches import HOLE_WEIGHT, Batch, SampleEncoder, batches, visits_of
from training.corpus import read_documents
from training.export import export
from training.model import Shape
from training.optim import orthogonal, schedule
from training.paths import Paths
from training.ranker import fit
from training.resume import resume
from training.tokenizer import END_OF_MASK, END_OF_TEXT, train_tokenizer
from training.train import TrainingPlan, load, train

SHAPE = Shape(vocabulary=400, width=32, layers=2, heads=2, kv_heads=1, head_size=16, feed_forward=64, context=128)
PLAN = TrainingPlan(
    until=4 * 128 * 30, decay=4 * 128 * 10, rows=4, length=128, warm_up=2000, compiled=False, validation_batches=1
)
SOURCE = Path(clean.__file__).read_text() + Path(holes.__file__).read_text()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A toy corpus with its tokenizer."""
    paths = Paths(tmp_path_factory.mktemp("training"))
    lines = [{"package": "toy", "name": f"{n}.py", "text": SOURCE[n * 900 : n * 900 + 2500]} for n in range(8)]
    for target in (paths.train_corpus, paths.held_out_corpus):
        target.write_text("".join(json.dumps(line) + "\n" for line in lines))
    train_tokenizer(paths, SHAPE.vocabulary)
    return paths


def _trained(paths: Paths) -> None:
    if not paths.checkpoint.exists():
        train(paths, TrainingPlan(until=4 * 128, rows=4, length=128, compiled=False, validation_batches=1), shape=SHAPE)


def test_train_resume_decay_export_and_complete(paths: Paths, tmp_path: Path) -> None:
    torch.manual_seed(1)
    half = replace(PLAN, until=PLAN.until // 2, decay=0)
    assert train(paths, half, shape=SHAPE).tokens == half.until
    exported = export(paths, paths.checkpoint, tmp_path / "half", 128, torch.float32)
    before = load(paths.checkpoint)[0]
    with pytest.raises(FileExistsError, match="--force"):
        resume(paths, tmp_path / "half")
    assert resume(paths, tmp_path / "half", overwrite=True) == exported
    after = load(paths.checkpoint)[0]
    assert after.shape.width == SHAPE.width
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
    progress = train(paths, PLAN, target=paths.root / "decayed.pt")
    assert (progress.tokens, progress.resumes) == (PLAN.until, 1)
    losses = [json.loads(line) for line in paths.log.read_text().splitlines()]
    assert losses[-1]["held_out"] < 0.9 * losses[0]["loss"]

    export(paths, paths.root / "decayed.pt", tmp_path / "exported", 128)
    engine = ModelEngine(ModelOptions(str(tmp_path / "exported"), device="cpu"))
    completions = engine.submit(Request(("def f(", "):\n    pass\n"), "x.py", Stop(4))).result(60)
    assert engine.state.message.startswith(str(tmp_path / "exported"))
    assert completions.metrics.generated_tokens <= 4
    engine.close()


def test_exported_weights_give_the_trained_logits(paths: Paths, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    _trained(paths)
    export(paths, paths.checkpoint, tmp_path, 128, torch.float32)
    library = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    model, _, _ = load(paths.checkpoint)
    ids = torch.arange(40)[None] * 7 % SHAPE.vocabulary
    with torch.inference_mode():
        ours = model(ids) @ model.embedding.weight.T
        assert (ours - library(ids).logits).abs().max() <= 1e-4


def test_a_target_is_resumed_only_by_the_call_that_started_it(paths: Paths) -> None:
    _trained(paths)
    target = paths.root / "branch.pt"
    step = PLAN.rows * PLAN.length
    healed_prefix = load(paths.checkpoint)[1].tokens
    plan = replace(PLAN, until=healed_prefix + 2 * step, decay=step)
    first = train(paths, plan, target)
    assert (first.tokens, first.resumes) == (healed_prefix + 2 * step, load(paths.checkpoint)[1].resumes + 1)
    assert train(paths, plan, target).resumes == first.resumes + 1  # nothing is left to do
    longer = train(paths, replace(plan, until=healed_prefix + 3 * step), target)
    assert (longer.tokens, longer.resumes) == (healed_prefix + 3 * step, first.resumes)
    with pytest.raises(ValueError, match="longer than the context"):
        train(paths, replace(plan, length=5000), target)


def test_training_restores_signals_and_threads(paths: Paths) -> None:
    before = signal.getsignal(signal.SIGINT), threading.active_count()
    tokens = load(paths.checkpoint)[1].tokens if paths.checkpoint.exists() else 0
    train(paths, replace(PLAN, until=tokens + 1, decay=0), paths.root / "other.pt", SHAPE)
    assert (signal.getsignal(signal.SIGINT), threading.active_count()) == before


def test_the_exported_tokenizer_is_read_by_the_library(paths: Paths, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    _trained(paths)
    export(paths, paths.checkpoint, tmp_path, 128)
    tokenizer, ours = AutoTokenizer.from_pretrained(tmp_path), Tokenizer.from_file(str(paths.tokenizer))
    for mark in (END_OF_TEXT, "<|mask:0|>", "<|mask:15|>", END_OF_MASK):
        assert tokenizer.encode(mark, add_special_tokens=False) == [ours.token_to_id(mark)]
    assert tokenizer.encode(SOURCE, add_special_tokens=False) == ours.encode(SOURCE, add_special_tokens=False).ids
    assert tokenizer.decode(tokenizer.encode(SOURCE, add_special_tokens=False)) == SOURCE


@given(st.integers(0, 10_000), st.integers(60, 1500))
@example(684, 60)
def test_the_parts_of_a_sample_make_up_a_window_of_the_file(seed: int, window: int) -> None:
    sample = holes.sample(SOURCE, "x.py", window, random.Random(seed))
    whole = sample.prefix + (sample.middle or "") + sample.suffix
    assert whole in SOURCE
    assert whole
    assert len(whole) <= window


def test_most_holes_are_anchored_and_some_begin_inside_a_line() -> None:
    rng = random.Random(0)
    samples = [holes.sample(SOURCE, "x.py", 800, rng) for _ in range(1000)]
    with_hole = [s for s in samples if s.middle is not None]
    anchored = [s for s in with_hole if not s.prefix or s.prefix.endswith("\n")]
    assert 0.8 < len(with_hole) / len(samples) < 0.95
    assert 0.85 < len(anchored) / len(with_hole) < 1


@pytest.mark.parametrize(
    ("typed", "healed_prefix"), [("    a = ", " "), ("    a = fo", " fo"), ("    ", "    "), ("", "")]
)
def test_samples_are_encoded_as_the_prompts_are(paths: Paths, typed: str, healed_prefix: str) -> None:
    from lacuna_inference.prompt.families import by_name
    from lacuna_inference.prompt.planner import PromptSpec, plan
    from lacuna_inference.prompt.tokenizer import PromptTokenizer

    tokenizer = Tokenizer.from_file(str(paths.tokenizer))
    encoder = SampleEncoder(tokenizer, 256)
    header = "<| file ext=.py filename=x.py |>\n"
    sample = holes.Sample(header, "if x:\n", "\nb\n", "    a = foo(1)")
    ((ids, weights),) = encoder.encode([sample])
    prompt = plan(
        PromptSpec((sample.prefix + typed, sample.suffix), "x.py", 16),
        PromptTokenizer(tokenizer, by_name("lacuna")),
        256,
    )
    assert prompt.healed_prefix == healed_prefix
    assert list(prompt.ids) == ids[: len(prompt.ids)]
    assert ids[-1] == tokenizer.token_to_id(END_OF_MASK)
    marks = {tokenizer.token_to_id(f"<|mask:{n}|>") for n in range(3)} | {tokenizer.token_to_id(END_OF_TEXT)}
    assert all(not weight for token, weight in zip(ids, weights, strict=True) if token in marks)
    hole = ids.index(tokenizer.token_to_id("<|mask:2|>"))
    assert set(weights[hole + 1 :]) == {HOLE_WEIGHT}


def test_a_large_package_is_visited_less_often_than_a_small_one_but_not_less_in_total() -> None:
    def visits(large: int, small: int) -> tuple[float, float]:
        file = {"text": "x" * 900}
        found = visits_of([{"package": "large", **file}] * large + [{"package": "small", **file}] * small, 300)
        return sum(found[:large]), sum(found[large:])

    assert visits(100, 25) == pytest.approx((250, 125))  # by the square root of their sizes
    assert visits(100, 1)[1] == 4 * 3  # four times as often as it is long, no more
    assert visits(100, 0) == pytest.approx((300, 0))


def test_batches_are_full_seeded_and_do_not_count_padding(paths: Paths) -> None:
    def first() -> list[Batch]:
        tokenizer = Tokenizer.from_file(str(paths.tokenizer))
        return list(islice(batches(list(read_documents(paths.train_corpus)), tokenizer, 4, 128, seed=3), 6))

    once, again = first(), first()
    assert all(torch.equal(a, b) for x, y in zip(once, again, strict=True) for a, b in zip(x, y, strict=True))
    inputs, targets, weights = (torch.cat(tensors) for tensors in zip(*once, strict=True))
    assert inputs.shape == targets.shape == weights.shape == (24, 128)
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    assert (weights > 0).float().mean() > 0.7


def test_a_packed_sample_sees_no_other(paths: Paths) -> None:
    from training.model import BEGIN, Model

    torch.manual_seed(0)
    model = Model(SHAPE)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    alone = torch.tensor([[BEGIN, 5, 6, 7]])
    packed = torch.tensor([[BEGIN, 9, 8, BEGIN, 5, 6, 7]])
    assert Tokenizer.from_file(str(paths.tokenizer)).token_to_id(END_OF_TEXT) == BEGIN
    with torch.inference_mode():
        assert (model(alone)[0] - model(packed)[0, 3:]).abs().max() <= 1e-4


def test_fitting_the_ranker_learns_which_candidates_are_right(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = fit(paths, 8, 60, tmp_path / "fitted")
    before, after = "def a(x):\n    return x\n\ndef a(", "):\n    return x\n"
    assert np.isfinite(
        score(features(find_candidates(before, after), before, after), load_weights(tmp_path / "fitted"))
    ).all()
    monkeypatch.setattr("training.ranker._RATE", 1e-9)
    assert loss < 0.8 * fit(paths, 8, 60, tmp_path / "not fitted")


def test_gguf_holds_the_same_model(paths: Paths, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from training.gguf_file import write_gguf

    _trained(paths)
    export(paths, paths.checkpoint, tmp_path, 128, torch.float32)
    write_gguf(tmp_path, tmp_path / "model.gguf", half=False)
    ours = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    read_back = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32)
    ids = torch.arange(40)[None] * 7 % SHAPE.vocabulary
    with torch.inference_mode():
        assert (ours(ids).logits - read_back(ids).logits).abs().max() <= 1e-5


def test_tokens_do_not_cross_line_ends_and_indentation_is_one(paths: Paths) -> None:
    tokenizer = Tokenizer.from_file(str(paths.tokenizer))
    tokens = tokenizer.encode("if x:\n        return 10\n\n").tokens
    assert not [token for token in tokens if "Ċ" in token.strip("Ċ") or ("Ċ" in token and token.strip("Ċ"))]
    assert "Ġ" * 8 in tokens
    assert tokens.count("1") == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1\n", "size"),
        ("# Generated by a tool. Do not edit.\n" + "value = compute(1)\n" * 40, "generated"),
        ("x = [" + "1234567890, " * 60 + "]\n", "minified or data"),
        ("def f(:\n" + "    value = compute(name)\n" * 30, "syntax"),
        ("KEY = '-----BEGIN PRIVATE KEY-----'\n" + "value = compute(name)\n" * 30, "private key"),
        ("def name(value):\n    return compute(value)\n\n\n" * 10, None),
    ],
)
def test_which_files_are_suitable_for_training(text: str, reason: str | None) -> None:
    assert clean.fault(text) == reason


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("# me@mail.example.org\r\nx = 1\n", "# name@example.com\nx = 1\n"),
        ("x = 'ä', 'me@mail.example.org'  # é: you@b.org\n", "x = 'ä', 'name@example.com'  # é: name@example.com\n"),
        (
            '"""\fFrom\nme@mail.org\n"""\ny = x@w.T + x@self.weight\n',
            '"""\fFrom\nname@example.com\n"""\ny = x@w.T + x@self.weight\n',
        ),
        ("x = (\n# me@mail.example.org", "x = (\n# name@example.com"),
        ("@app.get\ndef f(): pass\n", "@app.get\ndef f(): pass\n"),
        ("AKIA" + "A" * 16, "SECRET"),
        ("'github_pat_" + "a1" * 20 + "'", "'SECRET'"),
        ("'AIza" + "b" * 35 + "'", "'SECRET'"),
        ("'sk_live_" + "c" * 24 + "'", "'SECRET'"),
        ("'glpat-" + "d" * 20 + "'", "'SECRET'"),
        ("f" * 64, "0" * 40),
    ],
)
def test_secrets_and_addresses_are_masked(text: str, kept: str) -> None:
    assert clean.masked(text) == kept


def test_near_duplicates_are_detected() -> None:
    seen = clean.Seen()
    text = "".join(f"value_{n} = compute_{n}(argument)\n" for n in range(20))
    assert not seen.repeats(text)
    assert seen.repeats(text + "one_more_line = something_else()\n")
    assert not seen.repeats(text.replace("compute", "other"))
    assert not seen.repeats("# nothing\n# but comments\n")
    assert seen.repeats("# nothing\n# but comments\n")


def test_muon_s_update_is_nearly_orthogonal_and_the_schedule_ends_at_zero() -> None:
    for shape in ((16, 48), (48, 16)):
        singular = torch.linalg.svdvals(orthogonal(torch.randn(shape)).float())
        assert 0.5 < singular.min() <= singular.max() < 1.5
    factors = [schedule(n, 100, 500, 1000) for n in (0, 50, 100, 499, 750, 1000)]
    assert factors == [0.01, 0.51, 1.0, 1.0, 0.5, 0.0]
