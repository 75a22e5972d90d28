"""
A TCP connection to whichever of a host's addresses answers first (RFC 8305).

One address that swallows packets, an IPv6 that leads nowhere, must not hide another
that would answer at once.
"""

import contextlib
import errno
import os
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest

STAGGER = 0.25
"""Seconds that an address has before the next one is tried beside it."""

KEEPALIVE_IDLE = 15
KEEPALIVE_INTERVAL = 5
KEEPALIVE_COUNT = 3

Address = tuple[int, int, int, tuple[object, ...]]  # family, kind, protocol, address


def connect(name: str, port: int, *, family: int, deadline: float) -> socket.socket:
    """
    Return a connection to *name*; raises OSError, which says what each address did.

    *deadline* is a reading of ``time.monotonic``. It bounds everything but the
    resolver, which resolv.conf(5) bounds.
    """
    found = socket.getaddrinfo(name, port, family=family, type=socket.SOCK_STREAM)
    with contextlib.closing(_Race(interleaved(found))) as race:
        sock = race.run(deadline)
    sock.settimeout(None)
    _keep_alive(sock)
    return sock


def interleaved(found: Sequence[tuple[object, ...]]) -> list[Address]:
    """Return the addresses in the resolver's order, but families by turns."""
    families: dict[int, list[Address]] = {}
    for kind_of, kind, protocol, _, address in found:
        one = (kind_of, kind, protocol, address)
        families.setdefault(kind_of, []).append(one)  # type: ignore[arg-type]
    rows = zip_longest(*families.values())
    return [one for one in chain.from_iterable(rows) if one is not None]


class _Race:
    """Connections under way to several addresses, of which the first one wins."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._left = list(addresses)
        self._selector = selectors.DefaultSelector()
        self._failures: dict[str, OSError] = {}

    def run(self, deadline: float) -> socket.socket:
        """Return the first connection that stands."""
        next_at = time.monotonic()
        while self._left or self._selector.get_map():
            now = time.monotonic()
            if now >= deadline:
                break
            if self._left and (now >= next_at or not self._selector.get_map()):
                self._start(self._left.pop(0))
                next_at = now + STAGGER
            for sock in self._ready(min(next_at, deadline) if self._left else deadline):
                error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not error:
                    self._selector.unregister(sock)
                    return sock
                self._fail(sock, OSError(error, os.strerror(error)))
                next_at = 0.0  # it need not be waited for
        raise self._error()

    def close(self) -> None:
        """Let go of those that did not win."""
        for key in list(self._selector.get_map().values()):
            self._drop(key.fileobj)  # type: ignore[arg-type]
        self._selector.close()

    def _start(self, one: Address) -> None:
        family, kind, protocol, address = one
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # no IPv6 here, say
            self._failures[str(address[0])] = error
            return
        sock.settimeout(0.0)
        self._selector.register(sock, selectors.EVENT_WRITE, data=str(address[0]))
        try:
            sock.connect(address)
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(sock, error)

    def _ready(self, until: float) -> Iterator[socket.socket]:
        if not self._selector.get_map():
            return
        for key, _ in self._selector.select(max(0.0, until - time.monotonic())):
            yield key.fileobj  # type: ignore[misc]

    def _fail(self, sock: socket.socket, error: OSError) -> None:
        self._failures[self._selector.get_key(sock).data] = error
        self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        sock.close()

    def _error(self) -> OSError:
        """Return what is to be said where none of them stands."""
        silent = {key.data for key in self._selector.get_map().values()}
        late = TimeoutError(errno.ETIMEDOUT, "no answer in time")
        failures = {**self._failures, **dict.fromkeys(silent, late)}
        texts = {error.strerror or str(error) for error in failures.values()}
        if len(texts) == 1:
            return next(iter(failures.values()))
        told = (f"{name}: {error.strerror}" for name, error in failures.items())
        return OSError(errno.EHOSTUNREACH, "; ".join(told) or late.strerror)


def _keep_alive(sock: socket.socket) -> None:
    """Let the kernel notice within half a minute that a host is gone; see tcp(7)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_COUNT)
    patience = KEEPALIVE_IDLE + KEEPALIVE_INTERVAL * KEEPALIVE_COUNT
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience * 1000)
