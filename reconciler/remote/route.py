"""
How a host is reached: one answer for Fabric and for OpenSSH.

Both follow the ssh_config of the account that runs the reconciler (``~/.ssh/config``,
then ``/etc/ssh/ssh_config``, with ``Include``), because aliases and jump hosts are
written down there and ``nix-copy-closure`` would follow them anyway. What decides
whom we trust and as whom we come is ours, though, and overrides it on both sides:
port, user, the known_hosts file and the name looked up in it, deadlines, and the
identity if the settings name one. So ssh_config contributes HostName, ProxyJump,
ProxyCommand and, without ``ssh.identity``, IdentityFile and the agent.

A jump is made by OpenSSH on both sides, with the account's own known_hosts for the
jump host and no prompt, so that an unknown jump host is refused.
"""

import glob
import io
import math
import os
import pwd
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from paramiko import SSHConfig, SSHException

from reconciler.errors import SettingsError
from reconciler.model import Target
from reconciler.remote.known_hosts import entry_name
from reconciler.settings import SshSettings

SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
INCLUDE_DEPTH = 16
"""ssh_config(5) nests as deep as READCONF_MAX_DEPTH of OpenSSH's readconf.c."""
ALIVE_INTERVAL = 5
ALIVE_COUNT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a connection goes to, once ssh_config has had its say."""

    name: str  # of the host's entries in known_hosts
    address: str
    port: int
    user: str
    proxy: str = ""  # a shell command that speaks for the host, or empty
    identities: tuple[str, ...] = ()
    agent: bool = True  # whether keys that the settings do not name may be tried


def find_route(target: Target, settings: SshSettings, config: Path | None) -> Route:
    """
    Return the way to *target*; *config* replaces the account's ssh_config files.

    Raises SettingsError if a configuration file cannot be understood.
    """
    found = _lookup(target, config)
    if settings.identity is None:
        identities = tuple(found.get("identityfile", ()))
    else:
        identities = (str(settings.identity),)
    return Route(
        name=entry_name(target.address, target.port),
        address=found.get("hostname", target.address),
        port=target.port,
        user=target.user,
        proxy=_proxy(found, config),
        identities=identities,
        agent=settings.identity is None,
    )


def openssh_options(
    target: Target, settings: SshSettings, *, known_hosts: Path, config: Path | None
) -> tuple[str, ...]:
    """Return the arguments that make ssh(1) reach *target* just as we do."""
    # Of several values ssh_config(5) takes the first, and the command line is first.
    options = {
        "BatchMode": "yes",
        "CheckHostIP": "no",
        "ClearAllForwardings": "yes",
        "ConnectTimeout": str(max(1, math.ceil(settings.connect_timeout))),
        "ForwardAgent": "no",
        "GlobalKnownHostsFile": "none",
        "HostKeyAlias": entry_name(target.address, target.port),
        "Port": str(target.port),
        "ServerAliveCountMax": str(ALIVE_COUNT),
        "ServerAliveInterval": str(ALIVE_INTERVAL),
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "User": target.user,
        "UserKnownHostsFile": _value(known_hosts),
    }
    if settings.identity is not None:
        options["IdentitiesOnly"] = "yes"
        options["IdentityAgent"] = "none"
        options["IdentityFile"] = _value(settings.identity)
    arguments = [word for item in options.items() for word in ("-o", "=".join(item))]
    return (*_config_option(config), *arguments)


def _value(path: Path) -> str:
    """Write *path* as a value of ssh_config(5): ``%`` is special, blanks part."""
    text = str(path).replace("%", "%%")
    return f'"{text}"' if any(character.isspace() for character in text) else text


def _config_option(config: Path | None) -> tuple[str, ...]:
    return () if config is None else ("-F", str(config))


def _lookup(target: Target, config: Path | None) -> dict[str, str]:
    # Our values come first, so they win and %p and %r in a ProxyCommand mean them.
    head = f"Host *\n  Port {target.port}\n  User {target.user}\n"
    try:
        parsed = SSHConfig.from_text(head + _config_text(config))
        return dict(parsed.lookup(target.address))
    except SSHException as error:
        message = f"ssh_config, read for {target.address}: {error}"
        raise SettingsError(message) from error


def _config_text(config: Path | None) -> str:
    # The passwd entry rather than $HOME, as OpenSSH does.
    home = Path(pwd.getpwuid(os.getuid()).pw_dir, ".ssh")
    files = [home / "config", SYSTEM_CONFIG] if config is None else [config]
    text = io.StringIO()
    for file in files:
        # Each file starts afresh: its head is not part of the last one's last Host.
        text.write("Host *\n")
        text.writelines(_lines(file, depth=0))
    return text.getvalue()


def _lines(file: Path, *, depth: int) -> Iterator[str]:
    """Yield the lines of *file*, with those of the files it includes in their place."""
    if depth > INCLUDE_DEPTH or not file.is_file():
        return
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        keyword, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if keyword.lower() == "include":
            for included in _included(shlex.split(rest, comments=True), file.parent):
                yield from _lines(included, depth=depth + 1)
        else:
            yield f"{line}\n"


def _included(patterns: Sequence[str], directory: Path) -> Iterator[Path]:
    for pattern in patterns:
        full = Path(directory, Path(pattern).expanduser())
        yield from (Path(name) for name in sorted(glob.glob(str(full))))  # noqa: PTH207


def _proxy(found: dict[str, str], config: Path | None) -> str:
    """Return the command that reaches the host, where ssh_config demands one."""
    jump = found.get("proxyjump", "none")
    if jump.lower() == "none":
        command = found.get("proxycommand", "none")
        return "" if command.lower() == "none" else command
    *hops, last = jump.split(",")
    through = ("-J", ",".join(hops)) if hops else ()
    end = f"[{found['hostname']}]:{found['port']}"
    options = ("-o", "BatchMode=yes", *_config_option(config), *through)
    return shlex.join(("ssh", *options, "-W", end, *_hop(last)))


def _hop(hop: str) -> tuple[str, ...]:
    """Return ``user@host:port`` as arguments of ssh(1)."""
    return ("--", hop if hop.startswith("ssh://") else f"ssh://{hop}")
