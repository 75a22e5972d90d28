"""Commands that a host runs only for whoever has it, of all workers."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources

from reconciler.errors import FencedError, RemoteError
from reconciler.model import HostName
from reconciler.remote.hosts import HostWriter, OnLine, RemoteResult

Number = Callable[[HostName], int | None]
"""By which number a host is changed now; None where nobody shares it."""

REFUSED = 77
_BY_US = "reconciler-fence: "
_BUSY = f"{_BY_US}busy"


def by_no_number(_host: HostName) -> int | None:
    """Share hosts with nobody."""
    return None


@functools.cache
def script() -> str:
    """Return the script that hosts run."""
    return resources.files(__package__).joinpath("fence.sh").read_text("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class FencedWriter:
    """A HostWriter whose commands a host refuses once another worker has been there."""

    writer: HostWriter
    number: int

    @property
    def host(self) -> HostName:
        """See HostReader."""
        return self.writer.host

    def read(self, script: str, *, what: str, deadline: float) -> str:
        """See HostReader: to look is free."""
        return self.writer.read(script, what=what, deadline=deadline)

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
        """See HostWriter. Raises FencedError where another worker has the host."""
        result = self.writer.run(
            ("sh", "-c", script(), "fence", str(self.number), *argv),
            what=what,
            deadline=deadline,
            stdin=stdin,
            on_line=on_line,
            check=False,
        )
        if result.status == REFUSED and _BY_US in result.stderr:
            if _BUSY not in result.stderr:
                raise FencedError(self.host, what=what)
            told = "what another worker began there has not ended"
            raise RemoteError(what, host=self.host, status=REFUSED, stderr=told)
        if check and result.status:
            raise RemoteError(
                what, host=self.host, status=result.status, stderr=result.stderr
            )
        return result


def fenced(writer: HostWriter, number: int | None) -> HostWriter:
    """Return *writer*, with a *number* if there is one."""
    return writer if number is None else FencedWriter(writer=writer, number=number)
