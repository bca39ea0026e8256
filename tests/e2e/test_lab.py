"""The lab's commands, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.inference.models.gguf.gguf_files import write_gguf
from tokenizers import pre_tokenizers

from lacuna_lab import random_models
from lacuna_lab.bench.model import rivals

LACUNA = Path(sys.executable).with_name("lacuna")


def run_lacuna(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([LACUNA, *arguments], capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == code, done
    return done


def test_typing_with_a_quantized_model_leaves_out_what_cannot_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LACUNA_QUANTIZATION", "int8")
    done = run_lacuna("bench", "typing", "--files", "1", "--keys", "2", "--runs", "1", "--max-tokens", "4")
    assert "transformers is left out" in done.stderr
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("| lacuna")]
    assert rows == ["lacuna", "lacuna, without drafts", "lacuna, without prefetch", "lacuna, canonical prompts"]


def test_a_config_alone_is_enough(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(random_models.config_of("CodeGen-350M")))
    for name in (tmp_path, tmp_path / "config.json"):
        found = json.loads(run_lacuna("resources", str(name), "--gpu", "16GB", "--json").stdout)
        assert found[0]["sketch"]["parameters"] == 356_712_448
        assert set(found[0]["sketch"]["heads"]) == {"queries", "keys", "size", "rotary"}
        assert any("card of 16GB: --dtype float16 fits" in line for line in found[0]["advice"])


def test_several_models_are_shown_side_by_side() -> None:
    text = run_lacuna("resources", "CodeGen-350M", "InCoder-1B", "--context", "1024").stdout
    assert "| CodeGen-350M | float16 | 713.4 MB |" in text
    assert "| InCoder-1B | int8 |" in text
    assert "KV cache, 1024 tokens" in text


def test_unknown_dtypes_and_cards_are_rejected_before_anything_is_loaded() -> None:
    assert "no dtype called 'int3'" in run_lacuna("resources", "--measure", "--dtype", "int3", code=2).stderr
    assert "not a memory size" in run_lacuna("resources", "--gpu", "large", code=2).stderr


@pytest.mark.skipif(sys.platform != "linux", reason="--measure reads /proc")
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_the_estimate_matches_the_measurement(dtype: str) -> None:
    found = json.loads(run_lacuna("resources", "bundled", "--measure", "--dtype", dtype, "--json").stdout)[0]
    (measured,) = found["measured"]
    need = next(n for n in found["needs"] if (n["kind"], n["dtype"]) == ("cpu", dtype))
    assert measured["kv"] == pytest.approx(need["kv_token"] * found["context"], rel=0.05)
    assert measured["disk"] == need["disk"]
    # a small model: libraries' own memory is some megabytes of what was measured, and one order may do instead of two
    # and beside eight bits, the rows of the embedding stay in the file
    least = 0.5 * need["weights"] if dtype == "int8" else 51e6
    assert least <= measured["weights"] <= need["resident"] * 1.05 + 4e6


def test_a_study_of_precision_is_written_with_its_charts(tmp_path: Path) -> None:
    words = ("precision", "--test", "fp16,int8", "--tokens", "64", "--holes", "3", "--no-speed", "--max-tokens", "8")
    done = run_lacuna(*words, "--out", str(tmp_path / "report"), "--work", str(tmp_path / "work"), "--keep")
    assert "## Precision: bundled, against float32" in done.stdout
    assert sorted(file.name for file in (tmp_path / "report").iterdir()) == [
        "precision-kl.png", "precision-layers.png", "precision-positions.png", "precision.json", "precision.md",
    ]  # fmt: skip
    found = json.loads((tmp_path / "report" / "precision.json").read_text())
    assert found["random_weights"] is False
    assert [one["summary"]["positions"] for one in found["found"]] == [64, 64]
    assert 0 < found["found"][0]["summary"]["divergence"]["mean"] < 1e-3
    (study,) = (tmp_path / "work").iterdir()
    assert (study / "reference-00000.npy").is_file()
    run_lacuna(*words, "--work", str(tmp_path / "work"))
    assert not study.exists()  # without --keep nothing is kept


def test_invalid_precision_options_are_rejected_before_anything_is_loaded(tmp_path: Path) -> None:
    assert "no dtype called 'fp8'" in run_lacuna("precision", "--test", "fp8", code=2).stderr
    assert "Nothing differs" in run_lacuna("precision", "--test", "fp32", code=2).stderr
    assert "one reference" in run_lacuna("precision", "--reference", "fp32,fp16", code=2).stderr
    assert "no file or folder" in run_lacuna("precision", "--text", str(tmp_path / "missing"), code=2).stderr
    assert "missing-model" in run_lacuna("precision", "missing-model", code=1).stderr


def test_the_study_of_accelerations_is_written_with_its_chart(tmp_path: Path) -> None:
    words = ("bench", "accelerations", "--files", "1", "--keys", "2", "--max-tokens", "4")
    done = run_lacuna(*words, "--out", str(tmp_path))
    assert "| CUDA graphs | does not apply: it needs a CUDA device |" in done.stdout
    assert "although it must not" not in done.stdout
    rows = json.loads((tmp_path / "accelerations.json").read_text())["rows"]
    assert {"ladder", "instead", "alone", "left out", "crowd"} == {row["group"] for row in rows}
    assert (tmp_path / "accelerations.png").read_bytes().startswith(b"\x89PNG")


def tiny_gguf(folder: Path) -> Path:
    """A GGUF file with random weights and a family's sentinels."""
    sentinels = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<|endoftext|>"]
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *sentinels]
    kinds = [1] * 256 + [3] * len(sentinels)
    described = {"model": "gpt2", "pre": "default", "tokens": tokens, "token_type": kinds, "merges": ["a b"]}
    metadata = {f"tokenizer.ggml.{key}": value for key, value in described.items()}
    return write_gguf(folder / "tiny.gguf", {**metadata, "tokenizer.ggml.eos_token_id": 259}, with_model=True)


def test_lacuna_and_llama_cpps_server_are_compared_on_one_file(tmp_path: Path) -> None:
    file = tiny_gguf(tmp_path)
    words = ("bench", "model", str(file), "--keys", "2", "--device", "cpu", "--part", "keys", "--part", "memory")
    done = run_lacuna(*words, "--out", str(tmp_path / "report"))
    assert "| 2 typed keys: p50 |" in done.stdout
    found = json.loads((tmp_path / "report" / "model.json").read_text())
    assert found["context"] == 512
    (peak,) = [figure for figure in found["figures"] if figure["name"] == "peak of the process"]
    assert peak["own"] > found["figures"][-1]["own"] > 0
    if rivals.is_installed():
        assert peak["peer"] > 0
    else:
        assert "pip install xllamacpp" in done.stderr
    assert "no part called 'speed'" in run_lacuna("bench", "model", str(file), "--part", "speed", code=2).stderr


def typed_file(folder: Path) -> Path:
    """A file that repeats itself, so that even a small model knows what comes."""
    file = folder / "repeats.py"
    functions = [f"def total_{n}(items):\n    result = 0\n    return result + len(items)\n" for n in range(8)]
    file.write_text("\n".join(functions))
    return file


@pytest.mark.face
def test_what_is_kept_is_counted_by_typing_into_the_server(tmp_path: Path) -> None:
    words = (
        "replay",
        "--files",
        str(typed_file(tmp_path)),
        "--device",
        "cpu",
        "--displays",
        str(tmp_path / "displays"),
    )
    done = run_lacuna(*words, "--also", "draft_tokens=0,look_ahead=false", "--chart", str(tmp_path / "chart.png"))
    assert "| python | Lacuna |" in done.stdout
    assert "| python | draft_tokens=0,look_ahead=false |" in done.stdout
    assert "total_" not in done.stderr
    shown = [json.loads(line) for line in (tmp_path / "displays").read_text().splitlines()]
    assert [display for display in shown if display["right"] and display["accepted"]]
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_in_time_the_server_and_llama_vim_take_turns(tmp_path: Path) -> None:
    words = ("replay", "--files", str(typed_file(tmp_path)), "--model", str(tiny_gguf(tmp_path)), "--device", "cpu")
    rival = ["--rival"] if rivals.is_installed() else []
    found = json.loads(run_lacuna(*words, "--in-time", *rival, "--context", "256", "--json").stdout)
    assert found["in_time"] is True
    assert [row["contestant"] for row in found["rows"]] == ["Lacuna", *(["llama.vim"] if rival else [])]
    assert all(0 < row["answered"]["mean"] <= 1 for row in found["rows"])


def test_what_cannot_be_replayed_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text("a = 1\n")
    files = ("--files", str(tmp_path / "short.py"))
    assert "8 lines of code" in run_lacuna("replay", *files, code=2).stderr
    assert "Name another with --files" in run_lacuna("replay", "--files", str(tmp_path / "no"), code=2).stderr
    assert "with --history" in run_lacuna("replay", "--history", str(tmp_path), code=2).stderr
    assert "no setting" in run_lacuna("replay", *files, "--also", "speed=9", code=2).stderr
    assert "max_lines" in run_lacuna("replay", *files, "--also", "max_lines=none", code=2).stderr
    if rivals.is_installed():
        assert "not a GGUF file" in run_lacuna("replay", *files, "--rival", code=2).stderr
