"""What the rest of the program may do with a host."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from reconciler.model import HostName

OnLine = Callable[[str], None]
"""Gets each line of output, without its newline, as it arrives."""


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
