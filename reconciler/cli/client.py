"""Talking to a daemon that runs on this machine, through its socket."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from typing_extensions import override

from reconciler import local_socket
from reconciler.errors import DaemonError, quote
from reconciler.settings import Settings

SECONDS = 10.0
"""How long an answer may take that nobody waits for."""

Json = Any  # what json.loads returns


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path, *, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with local_socket.address(self._path) as name:
            self.sock.connect(name)


def ask(
    settings: Settings,
    method: str,
    path: str,
    *,
    body: object = None,
    seconds: float = SECONDS,
) -> Json:
    """
    Return what the daemon answers to a request for *path* below ``/api/v1``.

    Raises DaemonError when none runs, it does not answer within *seconds*, or it says
    no.
    """
    where = settings.state.path / local_socket.NAME
    connection = _Connection(where, timeout=seconds)
    try:
        content = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json"} if content else {}
        connection.request(method, f"/api/v1{path}", content, headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DaemonError(_why(error, where)) from error
    finally:
        connection.close()
    if answer.status >= http.HTTPStatus.BAD_REQUEST:
        detail = told.get("detail") if isinstance(told, dict) else told
        message = f"the daemon says no: {quote(str(detail), 500)}"
        refused = answer.status < http.HTTPStatus.INTERNAL_SERVER_ERROR
        raise DaemonError(message, refused=refused)
    return told


def _why(error: Exception, where: Path) -> str:
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            return f"no daemon answers at {where}: start `reconciler run`"
        case PermissionError():
            return f"{where} is for root and the user that the daemon runs as"
        case TimeoutError():
            return f"the daemon at {where} does not answer"
        case _:
            return f"the daemon at {where} cannot be understood: {error}"


def is_running(settings: Settings) -> bool:
    """Say whether a daemon answers on this machine."""
    connection = _Connection(settings.state.path / local_socket.NAME, timeout=SECONDS)
    try:
        connection.connect()
    except PermissionError:
        return True  # it is not ours to ask
    except OSError:
        return False
    finally:
        connection.close()
    return True
