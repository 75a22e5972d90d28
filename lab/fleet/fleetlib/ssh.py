"""How the fleet's hosts are reached: the files for clients, and the wait for SSH."""

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from fleetlib.addresses import SSH_PORT
from fleetlib.commands import missing_tool, tail, tail_of_file
from fleetlib.errors import FleetError
from fleetlib.host import Host
from fleetlib.places import FleetDir

READY_DEADLINE = 120.0
CONNECT_SECONDS = 5
PAUSE = 0.02
LOGIN_PAUSE = 0.5  # sshd of OpenSSH 9.8 and later punishes those who come too often
PLAIN_YAML = re.compile(r"[A-Za-z/][\w./-]*|\d+\.\d+\.\d+\.\d+")
YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}

SSH_DEFAULTS = """\
Host *
  IdentityFile {identity}
  IdentitiesOnly yes
  UserKnownHostsFile {known_hosts}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  ConnectTimeout 10
"""


def write_client_files(fleet: FleetDir, hosts: Sequence[Host]) -> None:
    """Write fleet.yaml, known_hosts and ssh_config for *hosts*."""
    known = [f"{host.address} {host.public_key()}\n" for host in hosts]
    fleet.known_hosts.write_text("".join(known))
    fleet.ssh_config.write_text(_ssh_config(fleet, hosts))
    fleet.settings.write_text(_settings(fleet, hosts))


def wait_until_ready(started: Iterable["Starting"]) -> None:
    """
    Wait until a login over SSH works on every host, with the right host key.

    Raises `FleetError` with what the host or ssh said, if one ends or takes longer
    than the deadline.
    """
    waiting = list(started)
    end = time.monotonic() + READY_DEADLINE
    while waiting := [one for one in waiting if not one.is_ready()]:
        if time.monotonic() > end:
            raise FleetError(waiting[0].why_not())
        time.sleep(PAUSE)


@dataclass(slots=True, kw_only=True)
class Starting:
    """A host on its way up."""

    host: Host
    supervisor: subprocess.Popen[bytes] | None = None
    _login: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _refusal: bytes = field(default=b"", init=False)
    _next_try: float = field(default=0.0, init=False)

    def is_ready(self) -> bool:
        """Whether the login has worked; tries it when sshd answers."""
        if self.supervisor is not None and self.supervisor.poll() is not None:
            msg = f"{self.host.name} ended while it started; {self._console()}"
            raise FleetError(msg)
        if self._login is None:
            if time.monotonic() > self._next_try and _answers(self.host.address):
                self._start_login()
            return False
        if self._login.poll() is None:
            return False
        _, self._refusal = self._login.communicate()
        worked = self._login.returncode == 0
        self._login = None
        self._next_try = time.monotonic() + LOGIN_PAUSE
        return worked

    def why_not(self) -> str:
        """Return what is known of a host that did not become ready."""
        if self._login is not None:
            self._login.kill()
            self._login.communicate()
        refusal = f"ssh said:\n{tail(self._refusal)}\n" if self._refusal else ""
        return (
            f"{self.host.name} did not answer over SSH within {READY_DEADLINE:.0f} s; "
            f"{refusal}{self._console()}"
        )

    def _start_login(self) -> None:
        self.host.ensure_user()
        argv = ["ssh", "-F", str(self.host.fleet.ssh_config)]
        argv += ["-o", f"ConnectTimeout={CONNECT_SECONDS}", self.host.name, "true"]
        try:
            self._login = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError as error:
            raise missing_tool(argv[0]) from error

    def _console(self) -> str:
        console = self.host.fleet.console(self.host.name)
        return f"its console ({console}) ends with:\n{tail_of_file(console)}"


def _answers(address: str) -> bool:
    with suppress(OSError), socket.create_connection((address, SSH_PORT), 1) as probe:
        return probe.recv(4) == b"SSH-"
    return False


def _ssh_config(fleet: FleetDir, hosts: Sequence[Host]) -> str:
    sections = [
        f"Host {host.name}\n  HostName {host.address}\n  User {host.user}\n\n"
        for host in hosts
    ]
    defaults = SSH_DEFAULTS.format(
        identity=_ssh_quoted(str(fleet.identity)),
        known_hosts=_ssh_quoted(str(fleet.known_hosts)),
    )
    return "".join(sections) + defaults


def _ssh_quoted(path: str) -> str:
    return '"' + path.replace("%", "%%") + '"'


def _settings(fleet: FleetDir, hosts: Sequence[Host]) -> str:
    lines = [
        "ssh:",
        f"  identity: {_yaml(str(fleet.identity))}",
        f"  known_hosts: {_yaml(str(fleet.known_hosts))}",
        "  connect_timeout: 10s",
        "hosts:",
    ]
    for host in hosts:
        values = f"address: {host.address}, port: {SSH_PORT}, user: {_yaml(host.user)}"
        lines.append(f"  {_yaml(host.name)}: {{{values}}}")
    return "\n".join(lines) + "\n"


def _yaml(text: str) -> str:
    plain = PLAIN_YAML.fullmatch(text) and text.lower() not in YAML_WORDS
    return text if plain else json.dumps(text)
