"""Files that hold code, or reveal what the user works on, are readable only by their owner."""

from __future__ import annotations

import logging
import stat
import sys
from pathlib import Path

import pytest

from lacuna_inference.errors import BadRequest
from lacuna_server import cli
from lacuna_server.commands import complete
from lacuna_server.private import LogFile
from lacuna_server.settings import Settings
from lacuna_server.statistics import Statistics, read

posix = pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")


@pytest.fixture(autouse=True)
def _readable_by_others(tmp_path: Path) -> None:
    """Permissions that let others read, as most systems have by default."""
    tmp_path.chmod(0o755)


def rights(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@posix
def test_only_the_owner_can_read_the_statistics_even_of_an_older_version(tmp_path: Path) -> None:
    file = tmp_path / "state/lacuna/statistics.json"
    for _ in range(2):
        statistics = Statistics(file)
        statistics.shown()
        statistics.save()
        assert (rights(file), rights(file.parent)) == (0o600, 0o700)
        file.chmod(0o644)
    assert [counts.shown for counts in read(file).values()] == [2]
    assert list(file.parent.iterdir()) == [file]


@posix
def test_only_the_owner_can_read_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    file = tmp_path / "lacuna.log"
    file.touch(0o644)  # of an earlier version
    cli._start_logging("warning", file)
    logging.captureWarnings(False)
    assert rights(file) == 0o600


def test_a_log_accepts_text_that_cannot_be_encoded(tmp_path: Path) -> None:
    handler = LogFile(tmp_path / "lacuna.log")
    handler.emit(logging.makeLogRecord({"msg": "half \ud83d"}))
    handler.close()
    assert (tmp_path / "lacuna.log").read_text() == "half \\ud83d\n"


@pytest.mark.parametrize("name", [".env", ".env~", "link.py"])
def test_the_command_line_shows_no_secrets_to_a_model_unless_asked(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    if name == "link.py":
        (tmp_path / ".env").write_text("TOKEN=")
        file.symlink_to(".env")
    else:
        file.write_text("TOKEN=")
    with pytest.raises(BadRequest, match="--allow-secrets"):
        complete.run(Settings(), str(file), "1:7", as_json=True)
    with pytest.raises(BadRequest, match="nothing to complete"):  # it was read
        complete.run(Settings(), str(file), None, as_json=True, allow_secrets=True)
