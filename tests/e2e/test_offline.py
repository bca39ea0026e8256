"""Without a network: nothing opens a socket, and a bundle is installed on a machine without a network interface."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "temperature.py"
LACUNA = Path(sys.executable).with_name("lacuna")
WATCHED = """
import sys

def hook(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"):
        print("OPENED", event, arguments, file=sys.stderr)

sys.addaudithook(hook)
{work}
from lacuna_server.__main__ import main
main()
"""


def watched(*arguments: str, work: str = "") -> subprocess.CompletedProcess[str]:
    """The command line in a process that reports every socket."""
    program = [sys.executable, "-c", WATCHED.format(work=work), *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("forward", ["own", "transformers"])
def test_no_socket_is_opened_while_a_model_loads_and_completes(forward: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LACUNA_FORWARD", forward)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)  # Lacuna sets it itself
    done = watched("complete", str(EXAMPLE))
    assert done.returncode == 0, done.stderr
    assert "OPENED" not in done.stderr


def test_the_watcher_detects_a_socket() -> None:
    done = watched("--version", work="import socket; socket.socket().bind(('127.0.0.1', 0))")
    assert "OPENED socket.bind" in done.stderr


def without_network(*command: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Runs in a network namespace without an active interface, with an empty environment."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    program = ["unshare", "--net", *(["--map-root-user"] if os.geteuid() else []), "--", *map(str, command)]
    return subprocess.run(program, capture_output=True, text=True, timeout=900, check=False, env=clean, cwd=home)


def can_unshare() -> bool:
    try:
        tried = subprocess.run(
            ["unshare", "--net", *(["--map-root-user"] if os.geteuid() else []), "true"],
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return tried.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not can_unshare(), reason="this machine gives no network namespace")
@pytest.mark.timeout(1800)
def test_from_a_bundle_to_a_completion_without_any_interface(tmp_path: Path) -> None:
    """Builds a bundle with the network, then works where nothing can be reached."""
    home, bundle = tmp_path / "home", tmp_path / "lacuna.tar"
    home.mkdir()
    result = subprocess.run(
        [LACUNA, "bundle", "create", "-o", bundle], capture_output=True, text=True, timeout=900, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "install.py" in result.stderr
    assert without_network(sys.executable, "-c", "import socket; socket.create_connection(('1.1.1.1', 53), 2)", home=home).returncode  # fmt: skip  # noqa: E501

    subprocess.run(["tar", "xf", bundle], cwd=tmp_path, check=True)
    unpacked = tmp_path / "lacuna-bundle"
    base = Path(sys.executable).resolve()
    installed = without_network(base, unpacked / "install.py", home=home)
    assert installed.returncode == 0, installed.stderr
    launcher = home / ".local" / "share" / "lacuna" / "bin" / "lacuna"
    assert f"Run: {launcher}" in installed.stdout
    doctor = without_network(launcher, "doctor", home=home)
    assert doctor.returncode == 0, doctor.stdout
    completed = without_network(launcher, "complete", EXAMPLE, home=home)
    assert completed.returncode == 0, completed.stderr
    here = subprocess.run([LACUNA, "complete", EXAMPLE], capture_output=True, text=True, check=True)
    assert completed.stdout == here.stdout

    again = without_network(launcher, "bundle", "install", bundle, home=home)
    assert again.returncode == 0, again.stderr
    assert "is already installed" in again.stderr
    wheel = next((unpacked / "wheels").glob("pygls-*.whl"))
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused = without_network(launcher, "bundle", "install", unpacked, home=home)
    assert refused.returncode == 1
    assert "SHA-256" in refused.stderr
    assert without_network(launcher, "complete", EXAMPLE, home=home).stdout == here.stdout
