"""
Which input of a flake could not be fetched, by what Nix says and ``flake.lock``.

Nix names an address and a commit; people know an input by its name.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Where the network or somebody else's machine is the reason, and the commit is not.
_UNFETCHED = re.compile(
    r"unable to download|Could(?:n't| not) resolve host|program 'git' failed|"
    r"Cannot find Git revision|[Ff]ailed to fetch|hg failed with|"
    # Nix 2.20 and newer go on where git failed, and then miss what it did not bring.
    r"revspec '[^']*' not found"
)
NO_CONNECTION = "cannot connect to "
"""How a line begins that says of a host why it is not reached out of the cage."""

_BY_GIT = re.compile(r"program 'git' failed|revspec '[^']*' not found")

_LOGIN = re.compile(r"//[^/@\s]*:[^/@\s]*@")  # belongs into no log

_WHO = (
    "this machine must reach it; where it is private, the reconciler's user needs a key"
    " in ~/.ssh, or a token in ~/.netrc or in nix.conf's access-tokens; or nix.inputs"
    " names a folder of it here"
)


def is_unfetched(message: str) -> bool:
    """Say whether Nix' *message* is that something could not be fetched."""
    return bool(_UNFETCHED.search(message))


def told_unfetched(message: str, stderr: str, lock: Path | None) -> str:
    """Return for people what could not be fetched, why, and what to do."""
    which = _inputs(stderr, lock) if lock else ""
    what = f"{which} could not be fetched" if which else "something cannot be fetched"
    reason = message
    if told := _reason(stderr):
        reason = f"{told}; {reason}"
    return _LOGIN.sub("//…@", f"{what}: {reason}\n({_WHO})")


def told_of_lock(message: str, lock: Path | None) -> str:
    """Return what in ``flake.lock`` Nix' *message* is about; nothing if it is not."""
    if lock is None or not lock.is_file():
        return ""
    if "parse_error" in message and not _is_json(lock):
        return (
            "flake.lock is no JSON; a merge may have left it so: lock and commit anew"
        )
    if not re.search(r"does not exist|No such file", message):
        return ""
    named = (
        name
        for name, node in _locked(lock).items()
        if node.get("type") == "path" and str(node.get("path", "")) in message
    )
    name = next(named, "")
    return (
        f"the input {name} of flake.lock is a folder of another machine: bring it here,"
        " or lock what everybody can fetch"
        if name
        else ""
    )


def _is_json(lock: Path) -> bool:
    try:
        json.loads(lock.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _inputs(stderr: str, lock: Path) -> str:
    locked = _locked(lock)
    named = [name for name, node in locked.items() if _is_named(node, stderr)]
    if not named and _BY_GIT.search(stderr):
        named = [name for name, node in locked.items() if node.get("type") == "git"]
    if not named:
        return ""
    inputs = " or ".join(f"{name} ({_where(locked[name])})" for name in sorted(named))
    return f"the input {inputs} of flake.lock"


def _is_named(node: Mapping[str, Any], stderr: str) -> bool:
    marks = (node.get("rev"), node.get("url"))
    return any(mark and str(mark) in stderr for mark in marks)


def _where(node: Mapping[str, Any]) -> str:
    if "owner" in node:
        return f"{node.get('type')}:{node['owner']}/{node.get('repo')}"
    return str(node.get("url", node.get("type")))


def _locked(lock: Path) -> dict[str, Mapping[str, Any]]:
    """Return what each input is locked to; nothing where the lock cannot be read."""
    try:
        nodes = json.loads(lock.read_bytes())["nodes"]
        return {
            name: node["locked"] for name, node in nodes.items() if "locked" in node
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _reason(stderr: str) -> str:
    """Return why there is no connection, or the first that git or ssh complains of."""
    said = (line.strip() for line in stderr.splitlines())
    begins = (NO_CONNECTION, "fatal:", "ssh:", "remote:")
    return next((line for line in said if line.startswith(begins)), "")
