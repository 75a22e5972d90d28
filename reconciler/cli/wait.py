"""``reconciler wait``: wait until hosts run a commit, and tell by the exit status."""

import contextlib
import enum
import time
from typing import Annotated
from urllib.parse import quote, urlencode

import typer
from rich.text import Text

from reconciler.cli.client import Json, ask
from reconciler.cli.common import chosen, out, print_json, waiting, warn
from reconciler.cli.looks import duration, looked
from reconciler.cli.options import AsJson, Hosts
from reconciler.errors import DaemonError
from reconciler.settings import Settings
from reconciler.settings.values import DURATION_FORMS

STEP = 2.0
"""Seconds that one request waits at most: so soon a change is told."""

LOOK = 30.0
"""Seconds for a look at the repository before a commit that is named is waited for."""

PAUSE = 0.5  # seconds between two tries to reach a daemon that is being restarted

SETTLE = 3.0
"""Seconds in which the daemon has obeyed what was ordered just before we came."""


class Ended(enum.IntEnum):
    """The exit status."""

    ARRIVED = 0
    FAILED = 1
    TIME_IS_UP = 2
    ASKED = 3  # a person has to say something first


_ENDS = {
    "arrived": Ended.ARRIVED,
    "failed": Ended.FAILED,
    "asked": Ended.ASKED,
    "waiting": Ended.TIME_IS_UP,
}
_STYLES = {"arrived": "green", "failed": "red", "asked": "magenta", "waiting": "cyan"}


def wait(
    context: typer.Context,
    hosts: Hosts = None,
    *,
    commit: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Wait for this commit; without it, for the newest one."
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            parser=duration,
            metavar="DURATION",
            help=f"How long to wait at most: {DURATION_FORMS}.",
        ),
    ] = "10m",  # type: ignore[assignment] # it goes through the parser as well
    as_json: AsJson = False,
) -> None:
    """
    Wait until hosts run a commit and are well.

    Has the daemon on this machine read the repository first, so that what was pushed
    before is in it. Hosts that run a later commit which has this one in it run it, too.
    A line tells of each change. Exit status: 0 all of them run it and are well, 1 it
    failed on one, was rolled back or is in quarantine there, 2 the time is up, 3 a
    person has to say something first (a hold, an approval, `policy.mode: report`).

    ```
    git push && reconciler wait
    reconciler wait lufta keanu --commit 1a2b3c4d --timeout 5m
    ```
    """
    settings = chosen(context).settings()
    give_up = time.monotonic() + timeout
    if commit is None:
        commit = newest_in(settings, looked(settings, timeout))
    else:
        # It may be that new; a daemon that is just being restarted reads anyway.
        with contextlib.suppress(DaemonError):
            looked(settings, min(timeout, LOOK))
    raise typer.Exit(wait_for(settings, commit, hosts or [], give_up, as_json=as_json))


def wait_for(
    settings: Settings, commit: str, hosts: list[str], give_up: float, *, as_json: bool
) -> int:
    """
    Wait until *hosts*, or all, run *commit*, and tell of each change.

    Returns the exit status, when monotonic time is *give_up* at the latest. Raises
    DaemonError.
    """
    began = time.monotonic()
    told: dict[str, str] = {}
    with waiting("waiting for the hosts"):
        while True:
            left = max(0.0, give_up - time.monotonic())
            found = _found(settings, commit, hosts, min(left, STEP), left)
            if not as_json:
                _tell(found, told)
            if left <= 0 or _is_over(found, time.monotonic() - began):
                break
            if found["standing"] != "waiting":
                time.sleep(PAUSE)
    if as_json:
        print_json(found)
    elif found["standing"] == "waiting":
        warn(f"the time is up: {found['why'] or 'some hosts do not run it yet'}")
    return _ENDS[found["standing"]]


def _is_over(found: Json, seconds: float) -> bool:
    """Return whether nothing more is to be waited for; a hold may just have ended."""
    standing = found["standing"]
    return standing == "arrived" or (standing != "waiting" and seconds > SETTLE)


def newest_in(settings: Settings, found: Json) -> str:
    """
    Return the newest commit by a look at the repository, also one that is withheld.

    Raises DaemonError.
    """
    if not found["error"]:
        return str(found["commit"])
    withheld = ask(settings, "GET", "/status")["withheld"]
    if withheld is None:
        raise DaemonError(found["error"])
    return str(withheld["id"])


def _found(
    settings: Settings, commit: str, hosts: list[str], step: float, left: float
) -> Json:
    """Return how far *commit* has come; a daemon may be restarted meanwhile."""
    query = urlencode([("wait", f"{step:.3f}"), *(("host", name) for name in hosts)])
    give_up = time.monotonic() + left
    while True:
        try:
            return ask(
                settings,
                "GET",
                f"/commits/{quote(commit, safe='')}?{query}",
                seconds=step + 10.0,
            )
        except DaemonError as error:
            if error.refused or time.monotonic() + PAUSE >= give_up:
                raise
            time.sleep(PAUSE)


def _tell(found: Json, told: dict[str, str]) -> None:
    """Print what is new, a line for each host; and remember that in *told*."""
    rows = {one["host"]: one for one in found["hosts"]}
    if found["why"]:
        rows[found["commit"][:8]] = found
    for name, one in rows.items():
        line = f"{one['standing']}  {one['why']}".rstrip()
        if told.get(name) != line:
            told[name] = line
            style = _STYLES[one["standing"]]
            why = f"  {one['why']}" if one["why"] else ""
            shown = Text.assemble((name, "bold"), "  ", (one["standing"], style), why)
            out.print(shown, soft_wrap=True)


COMMANDS = {"wait": wait}
