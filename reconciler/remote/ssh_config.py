"""
How a host is reached, written down once, in a file of ssh_config(5).

Everything that reaches a host is given this file: ssh(1) itself, Nix, which starts
ssh to copy, and Fabric, for which ssh is asked what it makes of the file
(`reconciler.remote.route`). Nix before 2.26 splits the options that it hands to ssh
at each blank and knows no quotes, so they are one option and the name of this file.

First comes what decides whom we trust and as whom we come: port, user, known_hosts
and the name looked up there, deadlines, and the identity if the settings name one. Of
several values ssh takes the first, so the rest of what the account's own files
(``~/.ssh/config``, then ``/etc/ssh/ssh_config``) say counts: HostName, ProxyJump,
ProxyCommand, Match, and without ``ssh.identity`` IdentityFile and the agent.

A jump host is reached by those alone, with the account's own known_hosts and without
a prompt, so that an unknown one is refused.
"""

import contextlib
import hashlib
import math
import os
import pwd
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from reconciler.errors import SettingsError, StateError
from reconciler.model import Target
from reconciler.remote.known_hosts import entry_name
from reconciler.settings import SshSettings, values

SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
ALIVE_INTERVAL = 5
ALIVE_COUNT = 3
UNUSED = 7 * 86400.0  # seconds after which a file that nobody was given is removed

_NEWER = "KnownHostsCommand,SessionType,StdinNull,ForkAfterAuthentication"
"""Options that OpenSSH before 8.7 does not know."""

_EVERYWHERE = {
    # Of jump hosts too, to which our file is handed on.
    "IgnoreUnknown": _NEWER,
    "BatchMode": "yes",
    "ServerAliveCountMax": str(ALIVE_COUNT),
    "ServerAliveInterval": str(ALIVE_INTERVAL),
}
_OURS = {
    "CheckHostIP": "no",
    "ClearAllForwardings": "yes",
    # A connection that somebody else opened proves nothing of the way and the key.
    "ControlMaster": "no",
    "ControlPath": "none",
    "ForkAfterAuthentication": "no",
    "ForwardAgent": "no",
    "GlobalKnownHostsFile": "none",
    "KnownHostsCommand": "none",
    "NoHostAuthenticationForLocalhost": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "auto",
    "SessionType": "default",
    "StdinNull": "no",
    "StrictHostKeyChecking": "yes",
    "Tunnel": "no",
    "UpdateHostKeys": "no",
    "VerifyHostKeyDNS": "no",
}


def config_text(
    target: Target, settings: SshSettings, *, known_hosts: Path, account: Path | None
) -> str:
    """
    Return the ssh_config that reaches *target*.

    *account* replaces the account's own files. Raises SettingsError for what no
    ssh_config can hold.
    """
    try:
        values.address(target.address)
        values.user(target.user)
    except ValueError as error:  # kept by a version that did not check it
        message = f"cannot be reached over SSH: {error}"
        raise SettingsError(message) from error
    deadline = str(max(1, math.ceil(settings.connect_timeout)))
    everywhere = {**_EVERYWHERE, "ConnectTimeout": deadline}
    ours = {
        **_OURS,
        "HostKeyAlias": entry_name(target.address, target.port),
        "Port": str(target.port),
        "User": target.user,
        "UserKnownHostsFile": _value(known_hosts, tokens=True),
    }
    if (identity := identity_for(target, settings)) is not None:
        ours["IdentitiesOnly"] = "yes"
        ours["IdentityAgent"] = "none"
        ours["IdentityFile"] = _value(identity, tokens=True)
    blocks = [_block("*", everywhere), _block(target.address, ours)]
    blocks += [f"Host *\n  Include {_value(file)}\n" for file in _accounts(account)]
    return "".join(blocks)


def identity_for(target: Target, settings: SshSettings) -> Path | None:
    """Return the one key that is to be used; None: what the account's files say."""
    return Path(target.identity) if target.identity else settings.identity


def written(
    target: Target,
    settings: SshSettings,
    *,
    known_hosts: Path,
    folder: Path,
    account: Path | None = None,
) -> Path:
    """Return a file with `config_text`. Raises SettingsError, StateError."""
    text = config_text(target, settings, known_hosts=known_hosts, account=account)
    return write(folder, text)


def _block(host: str, options: Mapping[str, str]) -> str:
    lines = (f"  {name} {value}\n" for name, value in options.items())
    return f"Host {host}\n{''.join(lines)}"


def _accounts(account: Path | None) -> list[Path]:
    """Return the account's own files, in the order in which ssh reads them."""
    if account is not None:
        return [account]
    # The passwd entry rather than $HOME, as OpenSSH does.
    home = Path(pwd.getpwuid(os.getuid()).pw_dir, ".ssh")
    return [home / "config", SYSTEM_CONFIG]


def _value(path: Path, *, tokens: bool = False) -> str:
    """Write *path* as a value of ssh_config(5); ``%`` is special in one of *tokens*."""
    text = str(path)
    if '"' in text or "\n" in text:
        message = (
            f"{text!r} cannot be told to ssh: the path holds a quote or a line end"
        )
        raise SettingsError(message)
    return f'"{text.replace("%", "%%") if tokens else text}"'


def write(folder: Path, text: str) -> Path:
    """
    Return a file of *folder* that holds *text*, for ever the same one.

    Named after what it holds, so that whoever was given one is never led elsewhere by
    settings that changed meanwhile. The name needs no quotes. Raises StateError.
    """
    name = f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.conf"
    path = folder / name
    try:
        if _holds(path, text):
            os.utime(path)
        else:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _put(path, text)
            _clean(folder)
    except OSError as error:
        message = f"{path}: cannot write how a host is reached: {error.strerror}"
        raise StateError(message) from error
    return path


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() == text.encode()
    except FileNotFoundError:
        return False


def _put(path: Path, text: str) -> None:
    """Write *text* beside *path* and move it there, so that readers see all or none."""
    handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _clean(folder: Path) -> None:
    """Remove what nobody was given for long: a host that is gone, other settings."""
    long_ago = time.time() - UNUSED  # noqa: TID251 -- compared with times of files
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < long_ago:
                path.unlink()
