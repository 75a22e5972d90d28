"""What the rest of the program may do with a host."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from reconciler.errors import PermanentError
from reconciler.model import Desired, HostName, StorePath, Target

OnLine = Callable[[str], None]
"""Gets each line of output, without its newline, as it arrives."""

Hear = Callable[[str | None], None]
"""Gets each line that a host says by itself; None once it will say no more."""


class DeploysItselfError(PermanentError):
    """Something was to be done on a host that nobody but itself deploys."""

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            f"{host} deploys itself (hosts.{host}.transport: pull): give the command"
            " there"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteResult:
    """How a command on a host ended."""

    status: int  # of the command; 128 + n where signal n ended it
    stdout: str
    stderr: str
    seconds: float


class HostReader(Protocol):
    """A host that may be looked at and not be changed."""

    @property
    def host(self) -> HostName:
        """The host's name in the repository."""

    def read(self, script: str, *, what: str, deadline: float) -> str:
        """
        Run the POSIX sh *script* as root and return its standard output.

        The script must change nothing: it is run again where the connection broke.
        *what* names it for error messages. The host kills it after *deadline*
        seconds; should the host itself be frozen, we stop waiting two seconds later.
        Raises ConnectError, HostKeyError, RemoteError, RemoteTimeoutError.
        """


class HostWriter(HostReader, Protocol):
    """A host that may be changed; only ``apply`` is given one."""

    def run(
        self,
        argv: Sequence[str],
        *,
        what: str,
        deadline: float,
        stdin: bytes | None = None,
        on_line: OnLine | None = None,
        check: bool = True,
    ) -> RemoteResult:
        """
        Run *argv* as root, once, and return how it ended.

        *what* names the command for error messages, which never quote *argv* or
        *stdin*. *on_line* gets the lines of both outputs, in the order in which they
        arrive. The host kills the command after *deadline* seconds. Raises
        ConnectError, HostKeyError, RemoteTimeoutError, and RemoteError unless
        *check* is false.
        """


class Transport(Protocol):
    """
    The ways to all hosts; safe to share between threads.

    The composition root chooses one, and nobody else knows which it is.
    """

    def reader(self, host: HostName, target: Target) -> HostReader:
        """Return what may look at *host*, not yet connected. Raises NoAddressError."""

    def writer(self, host: HostName, target: Target) -> HostWriter:
        """Return what may change *host*, not yet connected. Raises NoAddressError."""

    def copy(
        self,
        desired: Desired,
        *,
        deadline: float,
        on_line: OnLine | None = None,
        derivation: bool = False,
    ) -> None:
        """
        Bring the desired system and all that it needs into the store of its host.

        Or its *derivation*, and all that it takes to build it there.

        Unless its connection is fast, the host may fetch from its own caches what it
        can. *deadline* in seconds. Raises CopyError, CommandMissingError. A copy that
        was cut short leaves whole paths only: Nix registers a path once it is complete.
        """

    def build(
        self,
        desired: Desired,
        *,
        root: str,
        deadline: float,
        on_line: OnLine | None = None,
    ) -> None:
        """
        Build the desired system on its host, which has the derivation, and keep it.

        By the link *root*, for at most *deadline* seconds. Raises CommandError with
        what Nix said, CommandTimeoutError, ConnectError, StoppingError.
        """

    def read_log(self, desired: Desired, derivation: str, *, deadline: float) -> str:
        """
        Return what the builder of *derivation* printed on the host.

        Empty if Nix kept no log of it there. Raises what reading raises.
        """

    def try_copying(
        self, desired: Desired, there: StorePath, *, deadline: float
    ) -> None:
        """
        Speak with the store of a host just as copying does, about a path that it has.

        So everything that copying needs is tried, and nothing is changed. Raises
        CopyError, CommandMissingError.
        """

    def shell(
        self, host: HostName, target: Target, line: str, *, terminal: bool
    ) -> list[str]:
        """Return the command that runs a *line* of shell there; empty: a shell."""

    def reconnect(self, host: HostName) -> None:
        """Drop the connections of *host*: the next call opens a new one."""

    def go_by(self, host: HostName, way: Target | None) -> None:
        """
        Reach *host* by *way*, whatever target is asked for; not any more if it is None.

        For a host that is not yet where its commit says, or not there any more. Only
        for the thread that says so: another one may look at the host as well.
        """

    def way_to(self, host: HostName, target: Target) -> Target:
        """Return by which way *host* is reached where *target* is asked for."""

    def introduce(self, known: Target, target: Target) -> None:
        """
        Trust at *target* whom we trust at *known*, if nobody is known there.

        Both are ways to one host, which proves that it is that host. Raises StateError.
        """

    def host_keys(self, host: HostName, target: Target) -> frozenset[str]:
        """
        Return the keys that are recorded for *host*, by the names that age gives them.

        Raises StateError.
        """

    def listen(self, host: HostName, target: Target, script: str, hear: Hear) -> bool:
        """
        Have *host* run the sh *script* as root until the connection ends, and hear it.

        Return False if that very script runs there already. It ends with its input, and
        says something, be it empty lines, twice in `SILENT_AFTER` seconds: a host that
        does not is frozen, and the connection to it is closed. Raises ConnectError,
        HostKeyError, RemoteError, RemoteTimeoutError.
        """

    def ignore(self, host: HostName) -> None:
        """End what `listen` began; nothing more is heard of it."""

    def leave(self, host: HostName, way: Target) -> None:
        """Drop the connection by a *way* by which *host* is not reached any more."""

    def lost(self) -> list[HostName]:
        """
        Return the hosts whose connection ended without our doing.

        Only until the connection is used or dropped; then its state is known anyway.
        """

    def forget(self, host: HostName) -> None:
        """Drop the connections of a host that is gone."""

    def apart(self) -> Self:
        """Return connections of its own, for what may be cut without harm to others."""

    def close(self) -> None:
        """Drop every connection."""
