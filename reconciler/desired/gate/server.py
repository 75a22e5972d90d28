"""
The proxy outside of a cage: SOCKS 5 (RFC 1928), by name, for TCP alone.

What goes through is passed on as it is: TLS and SSH are between both ends.
"""

import contextlib
import ipaddress
import shlex
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reconciler import process
from reconciler.desired.gate.enter import PORT
from reconciler.desired.gate.reach import Address, Reach, Refused
from reconciler.desired.inputs import NO_CONNECTION
from reconciler.process import Box

PLACE = Path("/run/way-out")
"""Where in the cage the socket and the programs of the gate are, always the same."""

SSH_CONFIG = Path("/etc/ssh/ssh_config")
"""What ssh reads last: who has a way of his own in ``~/.ssh/config`` keeps it."""

CONNECTIONS = 64
"""How many there are at once; Nix has up to 25 for downloads."""

CONNECT_SECONDS = 20.0
HANDSHAKE_SECONDS = 20.0

_HERE = Path(__file__).parent
_CHUNK = 1 << 16
_VERSION, _NO_LOGIN, _CONNECT = 5, 0, 1
_DONE, _FAILED, _NOT_ALLOWED, _UNREACHABLE, _UNKNOWN = 0, 1, 2, 4, 7
_ANSWER = struct.pack("!BBIH", 0, 1, 0, 0)  # from an address that is none


class Gate:
    """A gate that is open: what goes into its cage, and what was refused there."""

    def __init__(self, folder: Path, reach: Reach) -> None:
        self.refused: list[str] = []
        self.failed: list[str] = []
        self._folder = folder
        self._reach = reach
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(CONNECTIONS)
        self._closed = False

    def box(self, box: Box) -> Box:
        """Return *box* with what of the gate is seen in it."""
        config = self._folder / "ssh_config"
        placed = ((self._folder, PLACE), (config, SSH_CONFIG))
        seen = (_HERE, Path(sys.base_prefix), _python())
        return replace(
            box,
            fetches=True,
            placed=(*box.placed, *placed),
            seen=(*box.seen, *seen),
        )

    def around(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Return what makes itself a way out in the cage, and becomes *argv*."""
        return (*_script("enter.py"), str(PLACE / "socket"), *argv)

    @property
    def variables(self) -> Mapping[str, str]:
        """What tells curl and git of the way out; ssh has its configuration."""
        proxy = f"socks5h://127.0.0.1:{PORT}"
        of_git = {"COUNT": "1", "KEY_0": "http.proxy", "VALUE_0": proxy}
        return {
            "all_proxy": proxy,
            "GIT_PROXY_COMMAND": str(PLACE / "through"),
            **{f"GIT_CONFIG_{name}": value for name, value in of_git.items()},
        }

    def write(self) -> None:
        """Write what the cage sees of it."""
        words = shlex.join((*_script("through.py"), str(PORT)))
        program = self._folder / "through"
        program.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        config = self._folder / "ssh_config"
        way = f"ProxyCommand /bin/sh {PLACE}/through %h %p\n"
        config.write_text(way, encoding="utf-8")

    def serve(self, door: socket.socket) -> None:
        """Answer who connects in the cage, until `close`."""
        with contextlib.suppress(OSError):
            connection, _ = door.accept()
            with connection:
                connection.settimeout(HANDSHAKE_SECONDS)
                _, handed, _, _ = socket.recv_fds(connection, 1, 1)
            for number in handed:
                with self._held(socket.socket(fileno=number)) as listening:
                    self._accept(listening)

    def close(self) -> None:
        """End all that goes through."""
        with self._lock:
            self._closed = True
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            self._room.acquire()
            try:
                connection, _ = listening.accept()
            except OSError:
                return  # shut down
            thread = threading.Thread(
                target=self._answer, args=(connection,), daemon=True
            )
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError), self._held(connection):
                connection.settimeout(HANDSHAKE_SECONDS)
                host, port = _asked(connection)
                upstream = self._reached(connection, host, port)
                if upstream is not None:
                    with self._held(upstream):
                        connection.sendall(bytes([_VERSION, _DONE]) + _ANSWER)
                        connection.settimeout(None)
                        _relay(connection, upstream)
        finally:
            self._room.release()

    def _reached(
        self, connection: socket.socket, host: str, port: int
    ) -> socket.socket | None:
        """Return what is connected to *host*; None, told, where there is no way."""
        try:
            return _connected(self._reach.addresses(host, port), port)
        except Refused as error:
            self.refused.append(str(error))
            code = _NOT_ALLOWED
        except OSError as error:
            reason = error.strerror or str(error)
            self.failed.append(f"{NO_CONNECTION}{host}, port {port}: {reason}")
            code = _UNREACHABLE
        connection.sendall(bytes([_VERSION, code]) + _ANSWER)
        return None

    @contextlib.contextmanager
    def _held(self, one: socket.socket) -> Iterator[socket.socket]:
        """Give *one*, which `close` ends; OSError where that was before."""
        with one:
            with self._lock:
                if self._closed:
                    raise OSError
                self._open.add(one)
            try:
                yield one
            finally:
                with self._lock:
                    self._open.discard(one)


@contextlib.contextmanager
def opened(reach: Reach) -> Iterator[Gate]:
    """Give a gate that lets through what *reach* allows, as long as the block lasts."""
    with (
        process.scratch("gate") as folder,
        socket.socket(socket.AF_UNIX) as door,
    ):
        gate = Gate(folder, reach)
        gate.write()
        door.bind(str(folder / "socket"))
        door.listen(1)
        thread = threading.Thread(target=gate.serve, args=(door,))
        thread.start()
        try:
            yield gate
        finally:
            gate.close()
            with contextlib.suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)
            thread.join()


def _python() -> Path:
    """Return the interpreter itself, and no environment of it."""
    return Path(sys.executable).resolve()


def _script(name: str) -> tuple[str, ...]:
    """Return what runs a program of ours with nothing but Python's own library."""
    return (str(_python()), "-I", "-S", str(_HERE / name))


def _asked(connection: socket.socket) -> tuple[str, int]:
    """Return the host and port that are asked for; OSError for what is no SOCKS 5."""
    version, count = _exactly(connection, 2)
    methods = _exactly(connection, count)
    if version != _VERSION or _NO_LOGIN not in methods:
        raise OSError
    connection.sendall(bytes([_VERSION, _NO_LOGIN]))
    version, command, _, kind = _exactly(connection, 4)
    if version != _VERSION or command != _CONNECT:
        connection.sendall(bytes([_VERSION, _UNKNOWN]) + _ANSWER)
        raise OSError
    host = _host(connection, kind)
    (port,) = struct.unpack("!H", _exactly(connection, 2))
    return host, port


def _host(connection: socket.socket, kind: int) -> str:
    match kind:
        case 1:
            return str(ipaddress.IPv4Address(_exactly(connection, 4)))
        case 4:
            return str(ipaddress.IPv6Address(_exactly(connection, 16)))
        case 3:
            (length,) = _exactly(connection, 1)
            return _exactly(connection, length).decode("ascii", errors="replace")
    raise OSError


def _exactly(connection: socket.socket, count: int) -> bytes:
    read = b""
    while len(read) < count:
        if not (chunk := connection.recv(count - len(read))):
            raise OSError
        read += chunk
    return read


def _connected(addresses: Sequence[Address], port: int) -> socket.socket:
    """Return a connection to the first of *addresses* that answers; OSError."""
    problem: OSError | None = None
    for address in addresses:
        try:
            found = socket.create_connection((str(address), port), CONNECT_SECONDS)
        except OSError as error:
            problem = error
        else:
            found.settimeout(None)
            return found
    raise problem or OSError


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Pass on what each says, until neither has more to say."""
    back = threading.Thread(target=_pump, args=(other, one), daemon=True)
    back.start()
    _pump(one, other)
    back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
