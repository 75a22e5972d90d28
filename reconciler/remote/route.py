"""
What Fabric has to know of the way to a host, as ssh(1) itself reads it.

ssh_config has Match, Include, tokens and defaults that differ from release to release;
``ssh -G`` prints what comes of them. Missing identities are left out, as ssh does.
"""

import hashlib
import os
import pwd
import re
import shlex
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler import process
from reconciler.errors import CommandError, SettingsError, quote
from reconciler.model import Target
from reconciler.remote.known_hosts import entry_name
from reconciler.remote.ssh_config import identity_for
from reconciler.settings import SshSettings

ASK_DEADLINE = 10.0
"""Seconds for ``ssh -G``, which runs the commands of ``Match exec``."""

_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
_TOKEN = re.compile("%(.)")
_VARIABLE = re.compile(r"\$\{([A-Za-z0-9_]+)\}")
_NOISE = "Pseudo-terminal will not be allocated"

Answer = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a connection goes to, once ssh_config has had its say."""

    name: str  # of the host's entries in known_hosts
    address: str
    port: int
    user: str
    proxy: str = ""  # a shell command that speaks for the host, or empty
    identities: tuple[Path, ...] = ()
    agent: str = ""  # the socket of the agent whose keys may be tried, or empty
    only_these: bool = False  # of the agent's keys, only those of the identities
    family: int = socket.AF_UNSPEC


def find_route(target: Target, settings: SshSettings, config: Path) -> Route:
    """
    Return the way to *target* that the ssh_config file *config* describes.

    Raises SettingsError if ssh cannot read it, CommandMissingError, StoppingError.
    """
    found = _ask(target, config)
    tokens = _tokens(target, found)
    return Route(
        name=entry_name(target.address, target.port),
        address=_one(found, "hostname") or target.address,
        port=target.port,
        user=target.user,
        proxy=_proxy(found, config, tokens),
        identities=_identities(target, settings, found, tokens),
        agent=_agent(found, tokens),
        only_these=_one(found, "identitiesonly") == "yes",
        family=_FAMILIES.get(_one(found, "addressfamily"), socket.AF_UNSPEC),
    )


def _ask(target: Target, config: Path) -> Answer:
    """Return what ssh makes of *config*: each keyword in lower case, and its values."""
    argv = ["ssh", "-G", "-F", str(config), "--", target.address]
    try:
        done = process.run(argv, deadline=ASK_DEADLINE)
    except CommandError as error:
        lines = error.stderr.replace("\r", "").splitlines()
        said = "; ".join(line for line in lines if not line.startswith(_NOISE))
        message = f"ssh_config, read for {target.address}: {quote(said) or error}"
        raise SettingsError(message) from error
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        found.setdefault(name.lower(), []).append(value)
    return found


def _one(found: Answer, name: str) -> str:
    return found.get(name, [""])[0]


# --- tokens ----------------------------------------------------------------------


def _tokens(target: Target, found: Answer) -> dict[str, str]:
    """Return what ssh_config(5), "TOKENS", stands for; -G leaves most as they are."""
    account = pwd.getpwuid(os.getuid())
    host, local = _one(found, "hostname") or target.address, socket.gethostname()
    jump, port = _one(found, "proxyjump"), str(target.port)
    ends = f"{local}{host}{port}{target.user}{jump}"
    return {
        "%": "%",
        "C": hashlib.sha1(ends.encode(), usedforsecurity=False).hexdigest(),
        "d": account.pw_dir,
        "h": host,
        "i": str(os.getuid()),
        "j": jump,
        "k": _one(found, "hostkeyalias") or target.address,
        "L": local.partition(".")[0],
        "l": local,
        "n": target.address,
        "p": port,
        "r": target.user,
        "u": account.pw_name,
    }


def _expanded(text: str, tokens: Mapping[str, str]) -> str:
    """Return *text* with its tokens replaced; those that are unknown stay."""
    return _TOKEN.sub(lambda match: tokens.get(match[1], match[0]), text)


def _path(text: str, tokens: Mapping[str, str]) -> Path:
    """Return the path that ssh means by *text*."""
    text = _VARIABLE.sub(lambda match: os.environ.get(match[1], ""), text)
    if text.startswith("~/"):
        text = f"%d{text[1:]}"
    return Path(_expanded(text, tokens))


# --- the parts -------------------------------------------------------------------


def _identities(
    target: Target, settings: SshSettings, found: Answer, tokens: Mapping[str, str]
) -> tuple[Path, ...]:
    """Return the identities that are there, in the order of trying."""
    if (identity := identity_for(target, settings)) is not None:
        if not identity.exists():
            where = "the host's identity" if target.identity else "ssh.identity"
            message = f"{where}: {identity} does not exist"
            raise SettingsError(message)
        return (identity,)
    paths = (_path(text, tokens) for text in found.get("identityfile", ()))
    return tuple(path for path in paths if _is_there(path))


def _is_there(identity: Path) -> bool:
    """Whether there is anything of *identity*; an agent may have the private key."""
    return any(os.access(path, os.R_OK) for path in (identity, Path(f"{identity}.pub")))


def _agent(found: Answer, tokens: Mapping[str, str]) -> str:
    """Return the socket of the agent that ssh would ask; empty for none."""
    said = _one(found, "identityagent")
    if said.lower() == "none":
        return ""
    if said in ("", "SSH_AUTH_SOCK"):
        return os.environ.get("SSH_AUTH_SOCK", "")
    if said.startswith("$") and not said.startswith("${"):
        return os.environ.get(said[1:], "")
    return str(_path(said, tokens))


def _proxy(found: Answer, config: Path, tokens: Mapping[str, str]) -> str:
    """Return the command that reaches the host, where ssh_config demands one."""
    jump = _one(found, "proxyjump")
    if jump and jump.lower() != "none":
        return _jump(_expanded(jump, tokens), config, tokens)
    command = _one(found, "proxycommand")
    if not command or command.lower() == "none":
        return ""
    if _one(found, "proxyusefdpass") == "yes":
        message = (
            f"ssh_config, read for {tokens['n']}: ProxyUseFdpass is not supported: "
            "write a ProxyCommand that speaks for the host itself"
        )
        raise SettingsError(message)
    return _expanded(command, tokens)


def _jump(jump: str, config: Path, tokens: Mapping[str, str]) -> str:
    """Return the ssh that jumps, as ssh(1) starts one for itself."""
    *hops, last = jump.split(",")
    through = ("-J", ",".join(hops)) if hops else ()
    end = f"[{tokens['h']}]:{tokens['p']}"
    hop = last if last.startswith("ssh://") else f"ssh://{last}"
    return shlex.join(("ssh", "-F", str(config), *through, "-W", end, "--", hop))
