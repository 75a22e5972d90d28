"""
The machine that we run on, without SSH: the same scripts, deadlines and bounds.

Commands get what a login over SSH would give them, and not what our unit has: another
umask, another environment. They are cut when the program ends, as a connection is: what
must not be cut is in units of its own on every host.
"""

import contextlib
import os
import pwd
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import structlog

from reconciler import process
from reconciler.errors import (
    CommandError,
    CommandOutputError,
    CommandTimeoutError,
    CopyError,
    RemoteError,
    RemoteTimeoutError,
    StoppingError,
    last_line,
)
from reconciler.model import Desired, HostName, StorePath, Target
from reconciler.remote import building
from reconciler.remote.age_names import age_names
from reconciler.remote.ears import SILENT_AFTER
from reconciler.remote.hosts import Hear, HostReader, HostWriter, OnLine, RemoteResult
from reconciler.remote.known_hosts import HostKey, public_key
from reconciler.remote.session import (
    GRACE,
    KILL_AFTER,
    RUN_STDIN,
    TIMED_OUT,
    become_root,
    bounded_words,
)

log = structlog.get_logger(__name__)

HOST_KEYS = Path("/etc/ssh")
"""Where the SSH server of this machine has its keys."""

_PATH = (
    "/run/wrappers/bin:/run/current-system/sw/bin"
    ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)
_AS_AT_LOGIN = 'umask 022; cd / && exec "$@"'
_NO_COPY = (
    "where `transport` is `local`, what is built goes into the store that the machine"
    " runs from, and it is not there"
)


class Local:
    """The Transport to this machine; see there. Nothing of it can be lost."""

    def __init__(self, host_keys: Path = HOST_KEYS) -> None:
        self._host_keys = host_keys
        self._ears: dict[HostName, _Ear] = {}
        self._lock = threading.Lock()

    def reader(self, host: HostName, target: Target) -> HostReader:
        """See Transport."""
        return _Here(host, target)

    def writer(self, host: HostName, target: Target) -> HostWriter:
        """See Transport."""
        return _Here(host, target)

    def copy(
        self,
        desired: Desired,
        *,
        deadline: float,
        on_line: OnLine | None = None,
        derivation: bool = False,
    ) -> None:
        """See Transport: it is there, since it was built here."""
        del on_line
        path = desired.derivation if derivation else desired.toplevel
        self.try_copying(desired, path, deadline=deadline)

    def try_copying(
        self, desired: Desired, there: StorePath, *, deadline: float
    ) -> None:
        """See Transport."""
        host, argv = desired.host, ("nix-store", "--check-validity", there)
        try:
            _Here(host, desired.target).run(argv, what="its store", deadline=deadline)
        except RemoteTimeoutError as error:
            raise CopyError(str(error), host=host) from error
        except RemoteError as error:
            message = f"{host}: {_NO_COPY}: {last_line(error.stderr)}"
            raise CopyError(message, host=host) from error

    def build(
        self,
        desired: Desired,
        *,
        root: str,
        deadline: float,
        on_line: OnLine | None = None,
    ) -> None:
        """See Transport."""

        def here(words: Sequence[str]) -> list[str]:
            return _as_at_login((*become_root(desired.target), *words))

        building.build(
            desired, root=root, there=here, deadline=deadline, on_line=on_line
        )

    def read_log(self, desired: Desired, derivation: str, *, deadline: float) -> str:
        """See Transport."""
        reader = self.reader(desired.host, desired.target)
        script = building.read_log(derivation)
        return reader.read(script, what="log of a build", deadline=deadline)

    def shell(
        self, host: HostName, target: Target, line: str, *, terminal: bool
    ) -> list[str]:
        """See Transport."""
        del host, target, terminal
        return ["sh", "-c", line] if line else [os.environ.get("SHELL", "sh")]

    def reconnect(self, host: HostName) -> None:
        """See Transport: what listens here begins anew, too."""
        with self._lock:
            ear = self._ears.get(host)
        if ear is not None:
            ear.end()

    def go_by(self, host: HostName, way: Target | None) -> None:
        """See Transport: there is one way."""

    def way_to(self, host: HostName, target: Target) -> Target:
        """See Transport."""
        del host
        return target

    def introduce(self, known: Target, target: Target) -> None:
        """See Transport: nobody has to prove here who it is."""

    def host_keys(self, host: HostName, target: Target) -> frozenset[str]:
        """See Transport: those that lie where the SSH server has them."""
        del host, target
        return age_names(_public_keys(self._host_keys))

    def listen(self, host: HostName, target: Target, script: str, hear: Hear) -> bool:
        """See Transport."""
        argv = tuple(_as_at_login((*become_root(target), "sh", "-c", script)))
        with self._lock:
            ear = self._ears.get(host)
            if ear is not None and ear.argv == argv and ear.is_open:
                return False
            self._ears[host] = new = _Ear(host=host, argv=argv, hear=hear)
        if ear is not None:
            ear.ignore()
        new.start()
        return True

    def ignore(self, host: HostName) -> None:
        """See Transport."""
        with self._lock:
            ear = self._ears.pop(host, None)
        if ear is not None:
            ear.ignore()

    def leave(self, host: HostName, way: Target) -> None:
        """See Transport: there is no connection."""

    def lost(self) -> list[HostName]:
        """See Transport: who asks is here."""
        return []

    def forget(self, host: HostName) -> None:
        """See Transport."""
        self.ignore(host)

    def apart(self) -> Self:
        """See Transport."""
        return type(self)(self._host_keys)

    def close(self) -> None:
        """See Transport."""
        with self._lock:
            hosts = list(self._ears)
        for host in hosts:
            self.ignore(host)


def _as_at_login(words: Sequence[str]) -> list[str]:
    """Return the command that runs *words* as after a login over SSH."""
    account = pwd.getpwuid(os.geteuid())
    environment = {
        "HOME": account.pw_dir,
        "LOGNAME": account.pw_name,
        "PATH": _PATH,
        "SHELL": account.pw_shell or "/bin/sh",
        "USER": account.pw_name,
    }
    given = [f"{name}={value}" for name, value in environment.items()]
    return ["env", "-i", *given, "sh", "-c", _AS_AT_LOGIN, "sh", *words]


class _Here:
    """A HostReader and HostWriter; see there."""

    def __init__(self, host: HostName, target: Target) -> None:
        self._host = host
        self._target = target

    @property
    def host(self) -> HostName:
        return self._host

    def read(self, script: str, *, what: str, deadline: float) -> str:
        argv = ("sh", "-c", RUN_STDIN)
        stdin = script.encode()
        return self.run(argv, what=what, deadline=deadline, stdin=stdin).stdout

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
        host = self._host
        words = _as_at_login(bounded_words(argv, self._target, deadline))
        try:
            done = process.run(
                words,
                deadline=deadline + KILL_AFTER + GRACE,
                stdin=stdin,
                on_line=on_line,
                both=True,
                check=False,
                told_as=(what,),
            )
        except CommandTimeoutError as error:
            raise RemoteTimeoutError(what, host=host, seconds=deadline) from error
        except CommandOutputError as error:
            stderr = f"it printed more than {process.STDOUT_LIMIT} bytes"
            raise RemoteError(what, host=host, status=-1, stderr=stderr) from error
        except CommandError as error:
            status, stderr = error.status, error.stderr
            raise RemoteError(what, host=host, status=status, stderr=stderr) from error
        status = done.status if done.status >= 0 else 128 - done.status
        if status in TIMED_OUT and done.seconds >= deadline:
            raise RemoteTimeoutError(what, host=host, seconds=deadline)
        if check and status:
            raise RemoteError(what, host=host, status=status, stderr=done.stderr)
        return RemoteResult(
            status=status, stdout=done.stdout, stderr=done.stderr, seconds=done.seconds
        )


def _public_keys(folder: Path) -> list[HostKey]:
    found: list[HostKey] = []
    for path in sorted(folder.glob("ssh_host_*_key.pub")):
        with contextlib.suppress(OSError, ValueError):
            found.append(public_key(path.read_text(encoding="utf-8")))
    return found


@dataclass(eq=False, slots=True, kw_only=True)
class _Ear:
    """One command that goes on and on; the end of its input ends it."""

    host: HostName
    argv: tuple[str, ...]
    hear: Hear
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _input: int | None = None  # our end of it
    _ignored: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it goes on, and was not told to end."""
        with self._lock:
            return self._input is not None

    def start(self) -> None:
        """Start it, and a thread that hears it, unless it is to be ignored already."""
        with self._lock:
            if self._ignored:
                return
            theirs, self._input = os.pipe()
        run = threading.Thread(
            target=self._run, args=(theirs,), name="ear of this machine", daemon=True
        )
        run.start()

    def end(self) -> None:
        """Have it end, which is heard."""
        with self._lock:
            ours, self._input = self._input, None
        if ours is not None:
            os.close(ours)

    def ignore(self) -> None:
        """Have it end, and hear nothing more."""
        with self._lock:
            self._ignored = True
        self.end()

    def _run(self, theirs: int) -> None:
        try:
            process.listen(
                self.argv, stdin=theirs, on_line=self._say, silence=SILENT_AFTER
            )
        except (StoppingError, OSError) as error:
            log.info("cannot listen", host=self.host, reason=str(error))
        finally:
            os.close(theirs)
            self.end()
            self._say(None)

    def _say(self, line: str | None) -> None:
        if self._ignored:
            return
        try:
            self.hear(line)
        except Exception:
            # A bug must cost one word, not the thread.
            log.exception("hearing a host failed", host=self.host)
