"""`lacuna serve`: the HTTP server, until it is told to stop. Then it takes nothing new and finishes what it has."""

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
from lacuna_server.secret import read_token
from lacuna_server.settings import Settings


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where the server listens, and who may ask."""

    host: str = "127.0.0.1"
    port: int = 5000
    token_file: Path | None = None
    no_auth: bool = False
    origins: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    alias: str = ""


def engine(settings: Settings, ray: str | None, replicas: str, gpus: float) -> Engine:
    """The model in this process, or in so many replicas of a Ray cluster at the address `ray`. Raises BadRequest."""
    if ray is None:
        return engines.local(settings.model_options())
    if importlib.util.find_spec("ray") is None:
        raise BadRequest("Ray is not installed.", f"Run: pip install '{DISTRIBUTION}[ray]'")
    _look_for_cluster(ray)
    from lacuna_inference.models.loader import validate
    from lacuna_server.scale.engine import RayEngine
    from lacuna_server.scale.replica import Scale

    try:
        least, most = (int(part) for part in (replicas.split("-") if "-" in replicas else (replicas, replicas)))
    except ValueError:
        least, most = 0, 0
    if not 1 <= least <= most:
        raise BadRequest(f"{replicas!r} is no number of replicas.", "Write 2, or 1-4.")
    validate(settings.model_options())
    return RayEngine(settings.model_options(), Scale(least, most, gpus), None if ray == "local" else ray)


def _look_for_cluster(address: str) -> None:
    """Ray itself waits minutes for a cluster that is not there."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise BadRequest(f"There is no Ray cluster at {address}: {error}.", "Start one: ray start --head.") from None


def run(engine: Engine, place: ListenAddress, limits: GatewayLimits, most_bytes: int) -> int:
    """Serves; the exit code. Raises BadRequest for an address that would be open to everybody."""
    token = _token(place)
    if (place.certificate is None) != (place.key is None):
        raise BadRequest("TLS needs a certificate and its key.", "Give --tls-cert and --tls-key.")
    secure = tls.context(place.certificate, place.key) if place.certificate and place.key else None
    if secure is None and not is_loopback(place.host):
        what = "The code travels" if token is None else "The token and the code travel"
        warning(f"{what} unencrypted to {place.host}: give --tls-cert and --tls-key.")
    application = app.build(engine, limits, token, place.origins, most_bytes, is_loopback(place.host), place.alias)
    quiet.limit()
    server = _Server(application, place.host, place.port, secure, limits.longest_s)
    engine.watch(lambda state: _tell(state, server))
    server.run()
    # The interpreter's own end waits seconds for the libraries under the model.
    sys.stdout.flush()
    os._exit(0 if server.started and engine.state.phase is not Phase.FAILED else 1)


def _tell(state: EngineState, server: _Server) -> None:
    """Without its model the server is no use: it ends, and says why."""
    if state.phase is Phase.WARM:
        stderr.print(f"Lacuna is ready: {state.message}", highlight=False, soft_wrap=True)
    elif state.phase is Phase.FAILED:
        fault(state.message)
        server.should_exit = True


class _Server(listening.HttpServer):
    """Says where it listens; a port in use is a sentence."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            host, port = self.config.host, self.config.port
            fault(f"{host}:{port} cannot be listened on: is it in use? Choose another --port.")
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


def _token(place: ListenAddress) -> str | None:
    """The token of the file. Raises BadRequest where one is needed and not there."""
    if place.token_file is not None:
        return _read_token(place.token_file)
    if place.no_auth or is_loopback(place.host):
        if place.no_auth and not is_loopback(place.host):
            warning(f"Whoever reaches {place.host} may use this server: --no-auth.")
        return None
    raise BadRequest(
        f"Whoever reaches {place.host} could use this server.",
        "Give --token-file FILE, or --no-auth if that is what you want.",
    )


def _read_token(file: Path) -> str:
    token = read_token(file)
    if os.name == "posix" and file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        warning(f"Others on this machine can read {file}: chmod 600 it.")
    return token
