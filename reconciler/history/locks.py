"""
One attempt per host at a time, across a daemon and a person's command line.

A lock is the kernel's (``flock`` on a file per host in the state directory): it dies
with its holder, however that ends, and so tells a running attempt from one whose
process is gone. A lease in the database would outlive a crash, or run out under a slow
copy. Where several machines share a database, a host is claimed there as well.
"""

import contextlib
import fcntl
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from reconciler.errors import ClaimedError, HostBusyError, StateError
from reconciler.model import HostName

_OWNER_LIMIT = 200


def this_process() -> str:
    """Return how people would find this process again."""
    program, *arguments = sys.argv or ["reconciler"]
    command = shlex.join([Path(program).name, *arguments])
    return f"{command[:_OWNER_LIMIT]} (process {os.getpid()})"


class HostLocks:
    """The locks in one directory, which is made when it is first needed."""

    def __init__(
        self,
        directory: Path,
        claim: Callable[[str], contextlib.AbstractContextManager[None]],
    ) -> None:
        """*claim* has something for this process alone, of all machines."""
        self._directory = directory
        self._claim = claim

    @contextlib.contextmanager
    def lock(self, host: HostName) -> Iterator[None]:
        """
        Hold *host* for as long as the context lasts; never waits.

        Raises HostBusyError, saying who has it, and StateError.
        """
        with self._file(host) as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(descriptor, 4 * _OWNER_LIMIT, 0)
                raise HostBusyError(
                    host, owner=owner.decode(errors="replace")
                ) from None
            self._sign(descriptor)
            with self._claimed(host):
                yield
            # The file stays: to remove it would let two processes hold a file each.
            os.ftruncate(descriptor, 0)

    @contextlib.contextmanager
    def _claimed(self, host: HostName) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(self._claim(f"host {host}"))
            except ClaimedError as error:
                raise HostBusyError(host, owner=error.owner) from None
            yield

    @contextlib.contextmanager
    def _file(self, host: HostName) -> Iterator[int]:
        # The ending also keeps a host named ".." in the directory.
        path = self._directory / f"{quote(host, safe='')}.lock"
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            # Not inherited by children, which would hold the lock after our death.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            message = f"cannot open {path}: {error.strerror}"
            raise StateError(message) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @staticmethod
    def _sign(descriptor: int) -> None:
        # Only for people: a full disk must not keep anybody from the lock itself.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, this_process().encode(errors="replace"), 0)
