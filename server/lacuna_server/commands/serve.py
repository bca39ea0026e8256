"""`lacuna serve`: runs the HTTP server until it is stopped. It then finishes running requests and accepts no others."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from lacuna_inference import DISTRIBUTION
from lacuna_inference.api import Engine, EngineState, Phase
from lacuna_inference.errors import BadRequest
from lacuna_server import engines
from lacuna_server.commands.show import fault, stderr, warning
from lacuna_server.http import app, listening, quiet, tls
from lacuna_server.http.gateway import GatewayLimits
from lacuna_server.http.origins import is_loopback
from lacuna_server.settings import Settings
from lacuna_server.token_file import read_token


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where the server listens, and who may use it."""

    host: str = "127.0.0.1"
    port: int = 5000
    token_file: Path | None = None
    no_auth: bool = False
    origins: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    alias: str = ""


def engine(settings: Settings, ray: str | None, replicas: str, gpus: float) -> Engine:
    """The model in this process, or in `replicas` replicas on a Ray cluster at the address `ray`. Raises BadRequest."""
    if ray is None:
        return engines.local(engines.keeping(settings))
    if importlib.util.find_spec("ray") is None:
        raise BadRequest("Ray is not installed.", f"Run: pip install '{DISTRIBUTION}[ray]'")
    _check_cluster(ray)
    from lacuna_inference.models.loader import validate
    from lacuna_server.scale.engine import RayEngine
    from lacuna_server.scale.replica import Scale

    try:
        minimum, maximum = (int(part) for part in (replicas.split("-") if "-" in replicas else (replicas, replicas)))
    except ValueError:
        minimum, maximum = 0, 0
    if not 1 <= minimum <= maximum:
        raise BadRequest(f"{replicas!r} is not a number of replicas.", "Write 2, or 1-4.")
    validate(settings.model_options())
    return RayEngine(engines.keeping(settings), Scale(minimum, maximum, gpus), None if ray == "local" else ray)


def _check_cluster(address: str) -> None:
    """Raises BadRequest when the cluster cannot be reached. Ray itself would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise BadRequest(f"There is no Ray cluster at {address}: {error}.", "Start one: ray start --head.") from None


def run(engine: Engine, address: ListenAddress, limits: GatewayLimits, max_body_bytes: int) -> int:
    """Serves, then ends the process with exit code 0 or 1. Raises BadRequest for an address that is open to anyone."""
    token = _token(address)
    if (address.certificate is None) != (address.key is None):
        raise BadRequest("TLS needs a certificate and its key.", "Pass both --tls-cert and --tls-key.")
    secure = tls.context(address.certificate, address.key) if address.certificate and address.key else None
    if secure is None and not is_loopback(address.host):
        content = "The code travels" if token is None else "The token and the code travel"
        warning(f"{content} unencrypted to {address.host}: pass --tls-cert and --tls-key.")
    application = app.build(
        engine, limits, token, address.origins, max_body_bytes, is_loopback(address.host), address.alias
    )
    quiet.limit()
    server = _Server(application, address.host, address.port, secure, limits.longest_s)
    engine.watch(lambda state: _report_state(state, server))
    server.run()
    # A regular interpreter exit waits seconds for the model's libraries.
    sys.stdout.flush()
    os._exit(0 if server.started and engine.state.phase is not Phase.FAILED else 1)


def _report_state(state: EngineState, server: _Server) -> None:
    """Prints that the model is ready; if it failed, prints why and stops the server, which is useless without it."""
    if state.phase is Phase.WARM:
        stderr.print(f"Lacuna is ready: {state.message}", highlight=False, soft_wrap=True)
    elif state.phase is Phase.FAILED:
        fault(state.message)
        server.should_exit = True


class _Server(listening.HttpServer):
    """Prints the address on which it listens; a port in use is a one-line error."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            host, port = self.config.host, self.config.port
            fault(f"Cannot listen on {host}:{port}. Is it in use? Choose another --port.")
            os._exit(1)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            scheme = "https" if self.secure else "http"
            host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
            stderr.print(f"Lacuna serves {scheme}://{host}:{port} (stop with Ctrl-C)", highlight=False, soft_wrap=True)

    def handle_exit(self, sig: int, frame: object) -> None:
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


def _token(address: ListenAddress) -> str | None:
    """The token from the file. Raises BadRequest if one is needed and missing."""
    if address.token_file is not None:
        return _read_token(address.token_file)
    if address.no_auth or is_loopback(address.host):
        if address.no_auth and not is_loopback(address.host):
            warning(f"Anyone who can reach {address.host} may use this server: --no-auth.")
        return None
    raise BadRequest(
        f"Anyone who can reach {address.host} could use this server.",
        "Pass --token-file FILE, or --no-auth if that is what you want.",
    )


def _read_token(file: Path) -> str:
    token = read_token(file)
    if os.name == "posix" and file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        warning(f"Other users of this machine can read {file}: run chmod 600 on it.")
    return token
