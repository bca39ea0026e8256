"""The command line: what is printed where, and the exit code of every kind of misuse."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from helpers import save_tiny_model

LACUNA = str(Path(sys.executable).parent / "lacuna")
EXAMPLE = str(Path(__file__).parents[2] / "examples" / "temperature.py")


def lacuna(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([LACUNA, *arguments], input=stdin, capture_output=True, timeout=120)


def refused(*arguments: str, stdin: bytes = b"", code: int = 2) -> str:
    """The single line on stderr."""
    done = lacuna(*arguments, stdin=stdin)
    lines = done.stderr.decode().splitlines()
    assert (done.returncode, len(lines), done.stdout) == (code, 1, b""), done
    assert lines[0].startswith("lacuna: ")
    return lines[0]


def completed(*arguments: str, stdin: bytes = b"") -> dict[str, object]:
    done = lacuna("complete", *arguments, "--json", stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_version() -> None:
    assert lacuna("--version").stdout.startswith(b"lacuna 0.")


@pytest.mark.face
def test_the_example_is_printed_with_the_suggestion_inserted() -> None:
    done = lacuna("complete", EXAMPLE)
    assert done.returncode == 0
    before, after = Path(EXAMPLE).read_text().split("<FILL>")
    printed = done.stdout.decode()
    assert printed.startswith(before)
    assert printed.endswith(after)
    assert b"tokens/s" in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr


def test_an_answer_has_as_many_tokens_as_there_is_room_for_and_that_is_said() -> None:
    done = lacuna("complete", "-", "--max-tokens", "500", stdin=b"import os\n" * 100 + b"<FILL>\n")
    assert done.returncode == 0, done
    assert b"has room for an answer of " in done.stderr
    assert b"has room" not in lacuna("complete", EXAMPLE).stderr


def test_text_outside_the_hole_is_printed_byte_for_byte() -> None:
    source = "def f():\n\treturn <FILL>\n\x0c\n# 漢字📦\n"
    printed = lacuna("complete", "-", stdin=source.encode()).stdout.decode()
    before, after = source.split("<FILL>")
    assert printed.startswith(before)
    assert printed.endswith(after)


STDLIB = Path(sysconfig.get_paths()["stdlib"])


@pytest.mark.parametrize(
    ("file", "line_with", "column_after"),
    [
        ("textwrap.py", "    return w.wrap(text)", "    return w."),  # in the middle of a line
        ("fnmatch.py", "    name = os.path.normcase(name)", None),  # at a line's end
    ],
)
def test_files_of_the_standard_library(file: str, line_with: str, column_after: str | None) -> None:
    path = STDLIB / file
    line = path.read_text().splitlines().index(line_with) + 1
    result = completed(str(path), "--at", f"{line}:{len(column_after or line_with) + 1}")
    assert result["model"] == "bundled"
    assert result["suggestions"] or result["withheld"]


def test_an_empty_block_of_a_file_of_the_standard_library(tmp_path: Path) -> None:
    source = (STDLIB / "bisect.py").read_text().split("    if key is None:")[0]
    (tmp_path / "bisect.py").write_text(source + "    \n\n\ndef other():\n    pass\n")
    line = source.count("\n") + 1
    result = completed(str(tmp_path / "bisect.py"), "--at", f"{line}:5")
    assert result["suggestions"] or result["withheld"]


def test_several_holes_from_standard_input() -> None:
    result = completed("-", stdin=b"def add(a, b):\n    return <FILL>\n\n\ndef sub(a, b):\n    return <FILL>\n")
    (fills,) = result["suggestions"]  # type: ignore[misc]
    assert len(fills) == 2


def test_several_candidates_differ() -> None:
    result = completed("-", "--candidates", "3", stdin=b"import <FILL>\n")
    suggestions = [tuple(s) for s in result["suggestions"]]  # type: ignore[attr-defined]
    assert len(suggestions) == len(set(suggestions)) <= 3


def test_a_model_folder(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "m", "gpt_bigcode", "starcoder")
    assert completed("-", "--model", str(folder), stdin=b"x = <FILL>\n")["model"] == str(folder)
    info = json.loads(lacuna("models", "info", str(folder), "--json").stdout)
    assert (info["family"], info["context"]) == ("starcoder", 128)


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (("complete", "nowhere.py", "--at", "1:1"), b"", "nowhere.py cannot be read: No such file"),
        (("complete", ".", "--at", "1:1"), b"", "cannot be read: Is a directory"),
        (("complete", "-", "--at", "9:1"), b"a\nb", "Line 9 is outside the text, which has 2 lines"),
        (("complete", "-", "--at", "1:9"), b"a\nb", "Column 9 is outside line 1, which has 1 characters"),
        (("complete", "-", "--at", "here"), b"a", "'here' is not a position. Write LINE:COLUMN"),
        (("complete", "-"), b"a", "nothing to complete"),
        (("complete", "-", "--at", "1:1"), b"a\0b", "binary file"),
        (("complete", "-", "--at", "1:1"), b"\xff\xfe", "is not UTF-8 text (byte 0)"),
        (("complete", "-", "--max-tokens", "0"), b"<FILL>", "'max_tokens' is invalid"),
        (("complete", "-", "--max-tokens", "x"), b"<FILL>", "Invalid value"),
        (("complete", "-", "--device", "quantum"), b"<FILL>", "'device' is invalid"),
        (("complete", "-", "--family", "starcodr"), b"<FILL>", "no prompt family called 'starcodr'"),
        (("eval", "--problems", "nowhere.jsonl.gz", "--execute"), b"", "nowhere.jsonl.gz cannot be read: No such file"),
        (("explode",), b"", "No such command 'explode'"),
        (("lsp", "--log-level", "loud"), b"", "'log_level' is invalid"),
        (("serve", "--log-level", "loud"), b"", "'log_level' is invalid"),
    ],
)
def test_usage_errors_are_one_line_and_code_2(arguments: tuple[str, ...], stdin: bytes, message: str) -> None:
    assert message in refused(*arguments, stdin=stdin)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("complete", "-", "--model", "some/model"), "Run: lacuna models fetch some/model"),
        (("complete", "-", "--model", "."), "no config.json"),
        (("models", "info", "./nowhere"), "There is no folder ./nowhere"),
        (("models", "convert", "."), "no pickled weights"),
        (("complete", "-", "--family", "starcoder"), "needs '<fim_prefix>' as one token"),
    ],
)
def test_failures_are_one_line_and_code_1(arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(*arguments, stdin=b"<FILL>", code=1)


def test_an_unknown_setting_in_the_file() -> None:
    Path("lacuna.toml").write_text("colour = 1")
    assert "no setting called 'colour'" in refused("complete", "-", stdin=b"<FILL>")


def test_fetch_without_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "HF_HUB_OFFLINE is set" in refused("models", "fetch", "some/model")
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    said = refused("models", "fetch", "some/model", code=1)
    assert re.search(r"^lacuna: some/model could not be fetched: .*[^.]\. Check the network and run ", said)


def test_doctor_reports_every_check_and_fails_when_one_is_bad(tmp_path: Path) -> None:
    done = lacuna("doctor")
    text = done.stdout.decode()
    assert done.returncode == 0, text
    for subject in ("Python", "torch", "CUDA", "memory", "model", "prompt family", "hub cache", "network"):
        assert subject in text
    done = lacuna("doctor", "--model", str(tmp_path))
    assert done.returncode == 1
    assert b"bad" in done.stdout


def test_eval_prints_a_table_for_the_model_and_the_copier(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(Path(__file__).read_text())
    done = lacuna("eval", "--files", str(tmp_path), "--per-file", "1")
    assert done.returncode == 0, done.stderr.decode()
    table = done.stdout.decode()
    assert table.count("| bundled |") == table.count("| n-gram copier |") == 6
    assert b"bits per byte" in done.stderr


def test_eval_runs_in_several_processes(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("def add(a, b):\n    return a + b\n\n\n" * 30)
    one, two = (
        json.loads(lacuna("eval", "--files", str(tmp_path), "--per-file", "3", "--json", *more).stdout)
        for more in ((), ("--processes", "2"))
    )
    assert two["bits_per_byte"]["bundled"] == pytest.approx(one["bits_per_byte"]["bundled"], rel=1e-3)
    rows = [[row["holes"] for row in judged["tables"]["bundled"]] for judged in (one, two)]
    assert rows[0] == rows[1]
    similar = [sum(row["similarity"]["mean"] for row in judged["tables"]["bundled"]) for judged in (one, two)]
    assert similar[1] == pytest.approx(similar[0], abs=0.3)  # a few near ties may be resolved differently


def test_eval_names_a_missing_model_before_evaluating_any(tmp_path: Path) -> None:
    done = lacuna("eval", "--per-file", "1", "--also", str(tmp_path / "none"))
    assert (done.returncode, b"There is no folder" in done.stderr) == (1, True)
    assert b"holes in" not in done.stderr


def test_eval_of_single_lines_reads_no_file_from_left_to_right(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(Path(__file__).read_text())
    done = lacuna("eval", "--files", str(tmp_path), "--per-file", "1", "--single-line")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().count("| bundled |") == 3
    assert b"3 holes in 1 files" in done.stderr
    assert b"the end of single-line holes is found in" in done.stderr
    assert b"bits per byte" not in done.stderr


def test_eval_compares_the_layouts_of_a_prompt(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(Path(__file__).read_text())
    done = lacuna("eval", "--files", str(tmp_path), "--per-file", "1", "--layout")
    assert done.returncode == 0, done.stderr.decode()
    table = done.stdout.decode()
    assert table.count("| bundled, anchored |") == table.count("| bundled, canonical |") == 6


def test_bench_decode_prints_a_table() -> None:
    done = lacuna("bench", "decode", "--repeats", "1")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.count(b"| bundled | own |") == done.stdout.count(b"| bundled | transformers |") == 4
    unknown = lacuna("bench", "decode", "--model", "GPT-5")
    assert (unknown.returncode, b"CodeGen-350M" in unknown.stderr) == (2, True)


def test_bench_typing_asks_every_contestant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LACUNA_CACHE_FOLDER", str(tmp_path))
    (tmp_path / "kv").mkdir()
    (tmp_path / "kv" / "of-the-user.kv").write_bytes(b"kept before")
    chart = tmp_path / "times.png"
    done = lacuna("bench", "typing", "--files", "1", "--keys", "3", "--max-tokens", "4", "--chart", str(chart))
    assert done.returncode == 0, done.stderr.decode()
    table = done.stdout.decode()
    for name in ("lacuna", "lacuna, without drafts", "lacuna, transformers' forward", "generate(max_length)"):
        assert f"| {name} | 3 |" in table
    assert chart.exists()
    assert [path.name for path in tmp_path.rglob("*.kv")] == ["of-the-user.kv"]
    assert not (tmp_path / "weights").exists()


def test_debug_shows_the_traceback() -> None:
    assert b"Traceback" in lacuna("complete", "nowhere.py", "--at", "1:1", "--debug").stderr


def test_models_list_names_the_bundled_one() -> None:
    assert b"bundled" in lacuna("models", "list").stdout


def test_bench_answers_prints_a_table() -> None:
    done = lacuna("bench", "answers", "--files", "1", "--per-file", "1", "--max-tokens", "4")
    assert done.returncode == 0, done.stderr.decode()
    table = done.stdout.decode()
    assert {"own", "own, drafts", "transformers"} <= {
        line.split("|")[1].strip() for line in table.splitlines() if "|" in line
    }


def test_bench_steadiness_measures_a_real_server() -> None:
    done = lacuna("bench", "steadiness", "--requests", "5", "--json")
    assert done.returncode == 0, done.stderr.decode()
    figures = json.loads(done.stdout)
    assert figures["edits"] > 0
    assert figures["passes_after_cancel"] <= 1


def test_a_benchmark_s_answers_are_run_only_on_request(tmp_path: Path) -> None:
    record = {
        "task_id": "test/0",
        "prompt": "def one():\n    return ",
        "suffix": "\n",
        "canonical_solution": "1",
        "test": "def check(f):\n    assert True\n",
        "entry_point": "one",
    }
    (tmp_path / "problems.jsonl").write_text(json.dumps(record))
    asked = ["eval", "--problems", str(tmp_path / "problems.jsonl"), "--json"]
    quiet, run = lacuna(*asked), lacuna(*asked, "--execute", "--samples", "2")
    assert (quiet.returncode, run.returncode) == (0, 0)
    assert json.loads(quiet.stdout)["models"][0]["pass_at"] == {}
    assert list(json.loads(run.stdout)["models"][0]["pass_at"]) == ["1"]
    assert b"not a security boundary" in run.stderr
    assert b"no security border" not in quiet.stderr
    assert "--problems" in refused("eval", "--execute")
    assert "--chart" in refused(*asked, "--chart", "x.png")
    assert "cannot be read" in refused("eval", "--problems", str(tmp_path / "none.jsonl"))


def test_bench_lsp_survives_a_stress_test() -> None:
    done = lacuna("bench", "lsp", "--seconds", "2", "--json")
    assert done.returncode == 0, done.stderr.decode()
    figures = json.loads(done.stdout)
    assert figures["suggestions"] > 0
    assert (figures["unanswered"], figures["answered_twice"], figures["unknown"]) == (0, 0, 0)
    assert figures["texts_equal"] is True


def test_stats_without_and_with_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert b"No suggestion was counted yet" in lacuna("stats").stdout
    (tmp_path / "lacuna").mkdir()
    day = {"shown": 8, "accepted": 4, "retained": 3, "characters": 120}
    (tmp_path / "lacuna/statistics.json").write_text(json.dumps({"2026-01-02": day}))
    assert json.loads(lacuna("stats", "--json").stdout) == {"days": {"2026-01-02": day}, "learned": []}
    assert b"4 (50 %)" in lacuna("stats").stdout


def test_stats_show_what_was_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "lacuna").mkdir()
    (tmp_path / "lacuna/experience.json").write_text('{"coder.gguf": {"14": [80, 20], "20": [40, 36]}}')
    half, most = json.loads(lacuna("stats", "--json").stdout)["learned"]
    assert (half["model"], half["low"], half["answers"], half["right"]) == ("coder.gguf", 0.4, 80, 20)
    assert half["now"] < 0.4
    assert (most["low"], most["answers"]) == (0.8, 40)
    assert b"90 %" in lacuna("stats").stdout
