"""
Hosts over SSH, and the machine that we run on: each as it is reached.

One that deploys itself is not reached at all. That is refused here, by its name and the
settings of now, since a way to it may be remembered from before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from reconciler.model import Desired, HostName, StorePath, Target
from reconciler.remote.fence import Number, by_no_number, fenced
from reconciler.remote.hosts import (
    DeploysItselfError,
    Hear,
    HostReader,
    HostWriter,
    OnLine,
    Transport,
)


def _none(_host: HostName) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Transports:
    """The Transport to all hosts; see there."""

    ssh: Transport
    local: Transport
    pulls: Callable[[HostName], bool] = _none
    """Says whether a host deploys itself; any thread may call it."""
    number: Number = by_no_number

    def _to(self, host: HostName, target: Target) -> Transport:
        """Return what leads to *target*. Raises DeploysItselfError."""
        if self.pulls(host):
            raise DeploysItselfError(host)
        return self._by(target)

    def _by(self, target: Target) -> Transport:
        return self.local if target.local else self.ssh

    # --- by where it leads -------------------------------------------------------

    def reader(self, host: HostName, target: Target) -> HostReader:
        """See Transport."""
        return self._to(host, target).reader(host, target)

    def writer(self, host: HostName, target: Target) -> HostWriter:
        """See Transport."""
        writer = self._to(host, target).writer(host, target)
        return fenced(writer, self.number(host))

    def copy(
        self,
        desired: Desired,
        *,
        deadline: float,
        on_line: OnLine | None = None,
        derivation: bool = False,
    ) -> None:
        """See Transport."""
        self._to(desired.host, desired.target).copy(
            desired, deadline=deadline, on_line=on_line, derivation=derivation
        )

    def build(
        self,
        desired: Desired,
        *,
        root: str,
        deadline: float,
        on_line: OnLine | None = None,
    ) -> None:
        """See Transport."""
        self._to(desired.host, desired.target).build(
            desired, root=root, deadline=deadline, on_line=on_line
        )

    def read_log(self, desired: Desired, derivation: str, *, deadline: float) -> str:
        """See Transport."""
        to = self._to(desired.host, desired.target)
        return to.read_log(desired, derivation, deadline=deadline)

    def try_copying(
        self, desired: Desired, there: StorePath, *, deadline: float
    ) -> None:
        """See Transport."""
        self._to(desired.host, desired.target).try_copying(
            desired, there, deadline=deadline
        )

    def shell(
        self, host: HostName, target: Target, line: str, *, terminal: bool
    ) -> list[str]:
        """See Transport."""
        return self._to(host, target).shell(host, target, line, terminal=terminal)

    def way_to(self, host: HostName, target: Target) -> Target:
        """See Transport."""
        return self._to(host, target).way_to(host, target)

    def introduce(self, known: Target, target: Target) -> None:
        """See Transport: only who is reached over SSH at both has keys to compare."""
        if not known.local:
            self._by(target).introduce(known, target)

    def host_keys(self, host: HostName, target: Target) -> frozenset[str]:
        """See Transport."""
        return self._to(host, target).host_keys(host, target)

    def listen(self, host: HostName, target: Target, script: str, hear: Hear) -> bool:
        """See Transport: what it was reached by before says nothing more."""
        (self.ssh if target.local else self.local).forget(host)
        return self._to(host, target).listen(host, target, script, hear)

    def leave(self, host: HostName, way: Target) -> None:
        """See Transport."""
        self._by(way).leave(host, way)

    # --- whichever it is ---------------------------------------------------------

    def go_by(self, host: HostName, way: Target | None) -> None:
        """See Transport."""
        self.ssh.go_by(host, way)
        self.local.go_by(host, way)

    def reconnect(self, host: HostName) -> None:
        """See Transport."""
        self.ssh.reconnect(host)
        self.local.reconnect(host)

    def ignore(self, host: HostName) -> None:
        """See Transport."""
        self.ssh.ignore(host)
        self.local.ignore(host)

    def lost(self) -> list[HostName]:
        """See Transport."""
        return [*self.ssh.lost(), *self.local.lost()]

    def forget(self, host: HostName) -> None:
        """See Transport."""
        self.ssh.forget(host)
        self.local.forget(host)

    def apart(self) -> Self:
        """See Transport."""
        ssh, local = self.ssh.apart(), self.local.apart()
        return type(self)(ssh=ssh, local=local, pulls=self.pulls, number=self.number)

    def close(self) -> None:
        """See Transport."""
        self.ssh.close()
        self.local.close()
