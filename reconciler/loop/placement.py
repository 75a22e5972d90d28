"""Which hosts are for this process to look at, and whether it leads."""

import hashlib
from collections.abc import Collection, Iterable
from typing import Protocol

from reconciler.model import HostName


class Placement(Protocol):
    """What a daemon asks before it looks at anything; any thread may."""

    @property
    def leads(self) -> bool:
        """Whether it is for us to look at the repository, clean up and tell people."""

    @property
    def leader(self) -> str:
        """Who leads, in words; empty if nobody is known to."""

    def mine(self, host: HostName) -> bool:
        """Return whether *host* is ours to look at, right now."""

    def announced(self) -> None:
        """Hear that hosts came or went, or that we took over a commit."""

    def pushed(self) -> None:
        """Have whoever leads look at the repository."""


class Alone:
    """The placement of a daemon that has all hosts for itself."""

    leads = True
    leader = ""

    def mine(self, _host: HostName) -> bool:
        """See Placement."""
        return True

    def announced(self) -> None:
        """See Placement."""

    def pushed(self) -> None:
        """See Placement."""


def placed(
    hosts: Iterable[HostName], workers: Collection[str], me: str
) -> frozenset[HostName]:
    """
    Return which of *hosts* are for *me*, of *workers*.

    By rendezvous: each host goes to the worker that scores highest for it. So all who
    know the same workers agree, and one that comes or goes moves no other's hosts.
    """
    return frozenset(
        host
        for host in hosts
        if workers and max(workers, key=lambda one: _score(one, host)) == me
    )


def _score(worker: str, host: HostName) -> bytes:
    name = f"{worker} {host}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(name, digest_size=8).digest()
