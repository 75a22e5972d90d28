"""
One module of Nix for each host that a test writes anew at will.

    add_extras(rig, "keanu")
    set_extra(rig, "keanu", "within.services.printerfacts.port = 8081;")
    rig.push("Move the facts")
"""

import contextlib

from reconciler.history import History
from reconciler.model import Attempt, HostName
from tests.support.rig import Rig

HEAD = "{ config, lib, pkgs, ... }:\n{\n"
FIRST_LINE = HEAD.count("\n") + 1
"""The line of an extra's file at which what a test writes begins."""


def add_extras(rig: Rig, *hosts: str) -> None:
    """Have each host of the example import a file that is empty as yet."""
    for host in hosts:
        rig.edit(
            f"hosts/{host}/configuration.nix",
            "    ../../common\n",
            "    ../../common\n    ./extra.nix\n",
        )
        set_extra(rig, host)


def set_extra(rig: Rig, host: str, nix: str = "") -> None:
    """Write what the host's extra file says; nothing by default."""
    path = rig.repository.work / extra_file(host)
    path.write_text(f"{HEAD}{nix}\n}}\n")


def extra_file(host: str) -> str:
    """Return the name of a host's extra file in the repository."""
    return f"hosts/{host}/extra.nix"


def attempts(rig: Rig, host: str) -> list[Attempt]:
    """Return the attempts on a host, newest first, without starting a program."""
    with contextlib.closing(
        History.open(rig.state / "history.sqlite", read_only=True)
    ) as history:
        return history.attempts(host=HostName(host), limit=1000)


def last_ended(rig: Rig, host: str) -> Attempt:
    """Return the newest attempt on a host that is over: the next may have begun."""
    return next(one for one in attempts(rig, host) if one.outcome is not None)


def flat(text: str) -> str:
    """Return *text* in one line."""
    return " ".join(text.split())
