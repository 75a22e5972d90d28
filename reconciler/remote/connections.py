"""One SSH connection per host, kept open between passes."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import fabric
import structlog

from reconciler.errors import NoAddressError, RemoteError
from reconciler.model import Desired, HostName, StorePath, Target
from reconciler.remote import building, copying, session, ssh_config
from reconciler.remote.age_names import age_names
from reconciler.remote.connect import open_connection
from reconciler.remote.ears import Ears
from reconciler.remote.hosts import (
    Hear,
    HostReader,
    HostWriter,
    OnLine,
    RemoteResult,
)
from reconciler.remote.known_hosts import add, entry_name, known_keys
from reconciler.remote.link import Link
from reconciler.remote.route import find_route
from reconciler.settings import SshSettings

log = structlog.get_logger(__name__)


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
        self._links: dict[HostName, dict[Target, Link]] = {}
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

    def _link(self, host: HostName, target: Target) -> Link:
        way = self.way_to(host, target)
        if not way.address:
            raise NoAddressError(host)
        with self._lock:
            links = self._links.setdefault(host, {})
            if way not in links:
                links[way] = Link(host, way, self._opener(host, way))
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


class _Reader:
    """A HostReader; see there."""

    def __init__(self, link: Link) -> None:
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
