"""The command line with unusual streams, names and encodings: at most a one-line error, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LACUNA = str(Path(sys.executable).parent / "lacuna")
SH = ["/bin/sh", "-c"]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="speaks to a shell")


def shell(line: str, **variables: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a shell command in which `lacuna` is the one under test."""
    environment = {**os.environ, "PATH": f"{Path(LACUNA).parent}:{os.environ['PATH']}", **variables}
    done = subprocess.run([*SH, line], capture_output=True, timeout=120, env=environment, check=False)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One day of statistics, for which `lacuna stats` draws a bar."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "lacuna").mkdir()
    day = {"shown": 8, "accepted": 4, "retained": 3, "characters": 120}
    (tmp_path / "lacuna/statistics.json").write_text(json.dumps({"2026-01-02": day}))


@pytest.mark.parametrize("group", ["", "models", "bench", "bundle"])
def test_without_a_command_the_help_is_printed_with_its_line_breaks(group: str) -> None:
    code, out, said = shell(f"lacuna {group}")
    assert (code, out) == (2, "")
    assert said.startswith(f"Usage: {' '.join(filter(None, ('lacuna', group)))} [OPTIONS] COMMAND")
    assert "\nCommands:\n" in said


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("lacuna complete - <&-", 2, "lacuna: There is nothing to complete."),
        ("lacuna lsp <&-", 1, "lacuna: The protocol needs standard input and output, and one is closed."),
        ("lacuna lsp </dev/null >&-", 1, "lacuna: The protocol needs standard input and output, and one is closed."),
        ("lacuna lsp --log-file /dev/null/x </dev/null", 2, "lacuna: The log file /dev/null/x cannot be opened"),
        ("lacuna complete '' --at 1:1", 2, "lacuna: '' cannot be read"),
        ("lacuna complete - --at '²:1' </dev/null", 2, "lacuna: '²:1' is not a position."),
        ("lacuna lsp --tcp 127.0.0.1:²", 2, "lacuna: '127.0.0.1:²' is not an address."),
        ("lacuna bundle check .", 1, "lacuna: . is not a bundle of Lacuna."),
        ("lacuna bundle install ./missing", 1, "lacuna: There is no bundle missing."),
        ("lacuna stats >/dev/full", 1, "lacuna: No space left on device."),
        ("lacuna models info '/a[/x]:bug:'", 1, "lacuna: There is no folder /a[/x]:bug:."),
        ("lacuna complete \"$(printf 'a\\377.py')\" --at 1:1", 2, "lacuna: a\\udcff.py cannot be read: No such file"),
    ],
)
def test_errors_are_one_line(line: str, code: int, said: str, counted: None) -> None:
    found, out, err = shell(line, LC_ALL="C.UTF-8")
    assert (found, out, len(err.splitlines())) == (code, "", 1), err
    assert err.startswith(said)


def test_markup_in_a_path_is_printed_literally() -> None:
    code, out, _ = shell("lacuna doctor --model '/a[/x]:bug:'")
    assert (code, "There is no folder /a[/x]:bug:." in out) == (1, True)


def test_output_to_a_pipe_is_not_truncated() -> None:
    folder = "/tmp/" + "long/" * 40
    _, out, _ = shell(f"lacuna models list | cat; lacuna doctor --model {folder}", COLUMNS="40")
    assert any("no folder" in line and folder in line and "Name a model folder" in line for line in out.splitlines())
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_a_file_without_counts_is_named(tmp_path: Path, counted: None) -> None:
    file = tmp_path / "lacuna/statistics.json"
    file.write_text('{"2026-01-02": {"shown": Infinity}}')
    for command in ("stats", "stats --json"):
        code, out, said = shell(f"lacuna {command}")
        assert (code, out, said.count("\n")) == (1, "", 1)
        assert said.startswith(f"lacuna: {file} holds something else than counts of suggestions. ")


def test_the_reader_of_a_pipe_may_stop_at_any_time(counted: None) -> None:
    assert shell("{ lacuna stats; echo $? >&2; } | head -0") == (0, "", "1\n")
    assert shell("lacuna stats >&-") == (0, "", "")
    assert shell("lacuna stats --json 2>&-")[:1] == (0,)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_an_encoding_without_block_characters_gets_other_bars(encoding: str, counted: None) -> None:
    code, out, said = shell("lacuna stats", PYTHONIOENCODING=encoding)
    assert (code, said) == (0, "")
    assert ("==========" in out) is (encoding != "utf-8")


def test_line_ends_and_byte_order_mark_of_a_file_are_kept(tmp_path: Path) -> None:
    source = b"\xef\xbb\xbfdef add(a, b):\r\n    return <FILL>\r\n\r\n\r\nprint(add(1, 2))"
    (tmp_path / "add.py").write_bytes(source)
    done = subprocess.run([LACUNA, "complete", "add.py"], capture_output=True, timeout=120, check=True)
    before, after = source.split(b"<FILL>")
    assert done.stdout.startswith(before)
    assert done.stdout.endswith(after)
    assert done.stdout.count(b"\n") == done.stdout.count(b"\r\n")


def test_another_language_is_completed_only_if_the_setting_allows_it(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text("package main\n\nfunc main() {\n\t<FILL>\n}\n")
    code, out, said = shell("lacuna complete main.go")
    assert (code, out) == (0, (tmp_path / "main.go").read_text().replace("<FILL>", ""))
    assert "The bundled model completes Python only" in said
    code, out, _ = shell("lacuna complete main.go --json --max-tokens 4", LACUNA_LANGUAGES='{"go": true}')
    assert (code, json.loads(out)["withheld"] == "model-language") == (0, False)


def test_an_unwritable_home_is_not_a_problem() -> None:
    nowhere = {"HOME": "/dev/null/home", "XDG_STATE_HOME": "/dev/null/state", "XDG_CACHE_HOME": "/dev/null/cache"}
    for command in ("stats", "models list"):
        assert shell(f"lacuna {command}", **nowhere)[::2] == (0, "")
