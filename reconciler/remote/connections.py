"""One SSH connection per host, kept open between passes."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import fabric
import paramiko
import structlog

from reconciler.errors import (
    ConnectError,
    NoAddressError,
    RemoteError,
    RemoteTimeoutError,
)
from reconciler.model import Desired, HostName, StorePath, Target
from reconciler.remote import building, copying, session, ssh_config
from reconciler.remote.age_names import age_names
from reconciler.remote.connect import bounded, open_connection, shut
from reconciler.remote.ears import Ears, TooFewSessionsError
from reconciler.remote.hosts import (
    Hear,
    HostReader,
    HostWriter,
    OnLine,
    RemoteResult,
)
from reconciler.remote.known_hosts import add, entry_name, known_keys
from reconciler.remote.route import find_route
from reconciler.settings import SshSettings

log = structlog.get_logger(__name__)

LISTEN_SECONDS = 10.0
"""How long a host may take to begin with what is to be listened to."""

LATE = 64
"""Commands after which nothing comes any more that belongs to an earlier one."""


class Connections:
    """
    The Transport over SSH; see there.

    A host's connection is opened at first use, under a lock, because Paramiko breaks
    when several threads open one at once. How hosts are reached is written down in
    *folder*, beside *known_hosts* if there is none. *account* replaces the account's
    own ssh_config files, for tests.
    """

    def __init__(
        self,
        settings: SshSettings,
        *,
        known_hosts: Path,
        folder: Path | None = None,
        account: Path | None = None,
    ) -> None:
        self._settings = settings
        self._known_hosts = known_hosts
        self._folder = folder or known_hosts.parent / "ssh"
        self._account = account
        self._links: dict[HostName, dict[Target, _Link]] = {}
        self._ways = _Ways()
        self._ears = Ears()
        self._lock = threading.Lock()

    def reader(self, host: HostName, target: Target) -> HostReader:
        """See Transport."""
        return _Reader(self._link(host, target))

    def writer(self, host: HostName, target: Target) -> HostWriter:
        """See Transport."""
        return _Writer(self._link(host, target))

    def go_by(self, host: HostName, way: Target | None) -> None:
        """See Transport."""
        if way is None:
            self._ways.of.pop(host, None)
        else:
            self._ways.of[host] = way

    def way_to(self, host: HostName, target: Target) -> Target:
        """See Transport."""
        return self._ways.of.get(host, target)

    def introduce(self, known: Target, target: Target) -> None:
        """See Transport: at both the host has one of the keys recorded for one."""
        old, new = (entry_name(one.address, one.port) for one in (known, target))
        keys = known_keys(self._known_hosts, old).accepted
        there = known_keys(self._known_hosts, new)
        wanted = [key for key in keys if key not in there.revoked]
        if not there.accepted and wanted:
            add(self._known_hosts, new, wanted, replace=False)

    def host_keys(self, host: HostName, target: Target) -> frozenset[str]:
        """See Transport."""
        way = self.way_to(host, target)
        name = entry_name(way.address, way.port)
        return age_names(known_keys(self._known_hosts, name).accepted)

    def reconnect(self, host: HostName) -> None:
        """See Transport."""
        with self._lock:
            links = list(self._links.get(host, {}).values())
        for link in links:
            link.drop()

    def listen(self, host: HostName, target: Target, script: str, hear: Hear) -> bool:
        """See Transport."""
        return self._link(host, target).listen(self._ears, script, hear)

    def ignore(self, host: HostName) -> None:
        """See Transport."""
        self._ears.close(host)

    def leave(self, host: HostName, way: Target) -> None:
        """See Transport."""
        with self._lock:
            link = self._links.get(host, {}).pop(way, None)
        if link is not None:
            link.drop()

    def lost(self) -> list[HostName]:
        """See Transport."""
        with self._lock:
            return [
                host
                for host, links in self._links.items()
                if any(link.lost for link in links.values())
            ]

    def forget(self, host: HostName) -> None:
        """See Transport."""
        self.ignore(host)
        with self._lock:
            links = self._links.pop(host, {})
        for link in links.values():
            link.drop()

    def close(self) -> None:
        """See Transport."""
        self._ears.stop()
        with self._lock:
            hosts, self._links = self._links, {}
        for links in hosts.values():
            for link in links.values():
                link.drop()

    def ssh_config(self, target: Target) -> Path:
        """
        Return the file with which ``ssh -F`` reaches *target* as we do.

        Its name needs no quotes, whatever that of its folder holds. Raises
        SettingsError, StateError.
        """
        return ssh_config.written(
            target,
            self._settings,
            known_hosts=self._known_hosts,
            folder=self._folder,
            account=self._account,
        )

    def copy(
        self,
        desired: Desired,
        *,
        deadline: float,
        on_line: OnLine | None = None,
        derivation: bool = False,
    ) -> None:
        """See Transport."""
        desired = self._where_it_is(desired)
        copying.copy_closure(
            desired,
            config=self.ssh_config(desired.target),
            deadline=deadline,
            on_line=on_line,
            derivation=derivation,
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
        desired = self._where_it_is(desired)
        building.build(
            desired,
            root=root,
            there=building.over_ssh(desired.target, self.ssh_config(desired.target)),
            deadline=deadline,
            on_line=on_line,
        )

    def read_log(self, desired: Desired, derivation: str, *, deadline: float) -> str:
        """See Transport."""
        script = building.read_log(derivation)
        reader = self.reader(desired.host, desired.target)
        return reader.read(script, what="log of a build", deadline=deadline)

    def try_copying(
        self, desired: Desired, there: StorePath, *, deadline: float
    ) -> None:
        """See Transport."""
        desired = self._where_it_is(desired)
        config = self.ssh_config(desired.target)
        copying.try_copying(desired, there, config=config, deadline=deadline)

    def _where_it_is(self, desired: Desired) -> Desired:
        return replace(desired, target=self.way_to(desired.host, desired.target))

    def shell(
        self, host: HostName, target: Target, line: str, *, terminal: bool
    ) -> list[str]:
        """See Transport."""
        way = self.way_to(host, target)
        options = ["-t"] if terminal else []
        words = ["--", way.address, *([line] if line else [])]
        return ["ssh", "-F", str(self.ssh_config(way)), *options, *words]

    def apart(self) -> Self:
        """See Transport."""
        return type(self)(
            self._settings,
            known_hosts=self._known_hosts,
            folder=self._folder,
            account=self._account,
        )

    def _link(self, host: HostName, target: Target) -> "_Link":
        way = self.way_to(host, target)
        if not way.address:
            raise NoAddressError(host)
        with self._lock:
            links = self._links.setdefault(host, {})
            if way not in links:
                links[way] = _Link(host, way, self._opener(host, way))
            return links[way]

    def _opener(
        self, host: HostName, target: Target
    ) -> Callable[[float], fabric.Connection]:
        def opener(seconds: float) -> fabric.Connection:
            route = find_route(target, self._settings, self.ssh_config(target))
            timeout = min(seconds, self._settings.connect_timeout)
            began = time.monotonic()
            connection = open_connection(
                host, route, known_hosts=self._known_hosts, timeout=timeout
            )
            took = time.monotonic() - began
            log.debug("connect", host=host, what=route.name, seconds=took)
            connection.transport.channel_timeout = self._settings.connect_timeout
            return connection

        return opener


class _Ways(threading.local):
    """By which way this thread reaches hosts that are not where they should be."""

    def __init__(self) -> None:
        self.of: dict[HostName, Target] = {}


class _Link:
    """The connection to one host, or the lack of one."""

    def __init__(
        self,
        host: HostName,
        target: Target,
        opener: Callable[[float], fabric.Connection],
    ) -> None:
        self.host = host
        self.target = target
        self._opener = opener
        self._opening = threading.Lock()
        self._connection: fabric.Connection | None = None
        self._past: deque[int] = deque()  # the channels of the last commands

    @property
    def lost(self) -> bool:
        """Whether there was a connection and it has ended."""
        connection = self._connection
        return connection is not None and not connection.is_connected

    def drop(self) -> None:
        """Close the connection; commands that use it fail."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _close(connection)

    def execute(
        self, command: session.Command, *, what: str, deadline: float, again: bool
    ) -> RemoteResult:
        """
        Run *command*, over a new connection if the kept one turns out dead.

        That second try is made only where *again* says that it does no harm.
        """
        end = time.monotonic() + deadline + session.GRACE
        kept = self._connection
        try:
            return self._execute(command, what=what, deadline=deadline, end=end)
        except ConnectError:
            if not again or kept is None or self._connection is not None:
                raise
        return self._execute(command, what=what, deadline=deadline, end=end)

    def _execute(
        self, command: session.Command, *, what: str, deadline: float, end: float
    ) -> RemoteResult:
        connection = self._open(end - time.monotonic())
        with bounded(end - time.monotonic(), lambda: self._abandon(connection)) as late:
            result = self._over(connection, command, what)
        if late.is_set():
            raise RemoteTimeoutError(what, host=self.host, seconds=deadline)
        if result is None:
            self._abandon(connection)
            message = f"{self.host}: the connection broke during {what}"
            raise ConnectError(message, host=self.host)
        log.debug("remote", host=self.host, what=what, seconds=result.seconds)
        if result.status in session.TIMED_OUT and result.seconds >= deadline:
            raise RemoteTimeoutError(what, host=self.host, seconds=deadline)
        return result

    def listen(self, ears: Ears, script: str, hear: Hear) -> bool:
        """Have *script* run over this connection; return whether it is new."""
        what, line = "listening", session.lasting_line(script, self.target)
        connection = self._open(LISTEN_SECONDS)
        if ears.has(self.host, line, connection):
            return False
        late = threading.Event()
        try:
            with bounded(LISTEN_SECONDS, lambda: self._abandon(connection)) as late:
                ears.open(self.host, line, connection, hear)
        except TooFewSessionsError as error:
            stderr = str(TooFewSessionsError.__doc__)
            raise RemoteError(what, host=self.host, status=-1, stderr=stderr) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            if late.is_set():
                seconds = LISTEN_SECONDS
                raise RemoteTimeoutError(
                    what, host=self.host, seconds=seconds
                ) from error
            message = f"{self.host}: the connection broke during {what}"
            raise ConnectError(message, host=self.host) from error
        return True

    def _over(
        self, connection: fabric.Connection, command: session.Command, what: str
    ) -> RemoteResult | None:
        """Run *command* over *connection*; None if that broke."""
        try:
            with connection.create_session() as channel:
                result = session.execute(channel, command)
        except session.OutputLimitError as error:
            stderr = f"it printed more than {session.OUTPUT_LIMIT} bytes"
            raise RemoteError(what, host=self.host, status=-1, stderr=stderr) from error
        except (paramiko.SSHException, EOFError, OSError):
            return None
        self._forget_old(connection, channel.get_id())
        return result

    def _forget_old(self, connection: fabric.Connection, last: int) -> None:
        """
        Forget a channel of long ago.

        Paramiko keeps the number of each for as long as the connection lasts, so that
        it knows what comes late: a hundred megabytes a day for a thousand hosts.
        """
        past = self._past
        if connection is self._connection:
            past.append(last)
        if len(past) > LATE:
            connection.transport.channels_seen.pop(past.popleft(), None)

    def _open(self, seconds: float) -> fabric.Connection:
        with self._opening:
            connection = self._connection
            if connection is None or not connection.is_connected:
                self.drop()
                self._past = deque()
                connection = self._connection = self._opener(seconds)
            return connection

    def _abandon(self, connection: fabric.Connection) -> None:
        """Close *connection*, and let go of it if it is still the one in use."""
        if self._connection is connection:
            self._connection = None
        _close(connection)


def _close(connection: fabric.Connection) -> None:
    transport = connection.transport
    with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
        shut(transport.sock)
        connection.client.close()


class _Reader:
    """A HostReader; see there."""

    def __init__(self, link: _Link) -> None:
        self._link = link

    @property
    def host(self) -> HostName:
        return self._link.host

    def read(self, script: str, *, what: str, deadline: float) -> str:
        link = self._link
        command = session.script_command(script, link.target, deadline=deadline)
        result = link.execute(command, what=what, deadline=deadline, again=True)
        return _checked(result, what, link.host).stdout


class _Writer(_Reader):
    """A HostWriter; see there."""

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
        link = self._link
        command = session.argv_command(
            argv, link.target, deadline=deadline, stdin=stdin, on_line=on_line
        )
        result = link.execute(command, what=what, deadline=deadline, again=False)
        return _checked(result, what, link.host) if check else result


def _checked(result: RemoteResult, what: str, host: HostName) -> RemoteResult:
    if result.status:
        raise RemoteError(what, host=host, status=result.status, stderr=result.stderr)
    return result
