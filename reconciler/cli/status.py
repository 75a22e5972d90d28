"""``reconciler status [HOST]``: how hosts stand, as the last pass left them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import typer
from rich.text import Text

from reconciler.cli.client import ask, is_running
from reconciler.cli.common import chosen, now, out, print_json, warn
from reconciler.cli.history import attempt_table
from reconciler.cli.options import AsJson, Selection
from reconciler.cli.records import recorded
from reconciler.cli.screen.listing import Listing, Paragraphs, Row
from reconciler.cli.screen.plans import drift_lines
from reconciler.cli.screen.words import (
    ago,
    counted,
    note,
    short_path,
    state,
    told_bell,
    told_hold,
    told_quarantine,
    told_report,
    when,
)
from reconciler.errors import DaemonError, StateError
from reconciler.history import History, pushed
from reconciler.model import Bell, BellState, HostName, HostStatus
from reconciler.model.selection import select
from reconciler.plan import attempt_as_dict, status_as_dict
from reconciler.printable import shown
from reconciler.settings import Settings

RECENT = 5  # attempts shown of one host
FEW = 5  # hosts without a bell that are named
ASKING = 2.0  # seconds that a daemon has to say what it does


def status(
    context: typer.Context, hosts: Selection = None, *, as_json: AsJson = False
) -> None:
    """
    Show how hosts stood when last looked at; of one, all of it.

    Reads what the daemon (or the last `apply`) recorded and asks no host, and a daemon
    that runs only whether it is looking at the repository for long, and which hosts
    ring when something changes there; `plan` looks at the hosts now. Of one host, named
    by itself: what differs and its last attempts, as JSON one object with `attempts`
    besides.

    ```
    reconciler status
    reconciler status lufta
    reconciler status --json | jq -r '.[] | select(.in_sync | not).host'
    ```
    """
    settings = chosen(context).settings()
    bells = _told_by_daemon(settings)
    with recorded(context) as history:
        found = _read(history, bells) if history else {}
        if history and not hosts:
            _warn_of_targets(history, settings)
            _warn_of_caches(settings)
        if not found:
            _tell_of_none(hosts, running=is_running(settings), as_json=as_json)
            return
        names = select(hosts or (), {name: one.tags for name, one in found.items()})
        if history and hosts and list(hosts) == names:
            _show_one(history, found[names[0]], as_json=as_json)
            return
    _show_all([found[name] for name in names], as_json=as_json)


def _told_by_daemon(settings: Settings) -> Mapping[str, Bell]:
    """
    Return how the bells of hosts stand, and say what the daemon does since long.

    That is one on this machine; none need run.
    """
    try:
        told = ask(settings, "GET", "/status", seconds=ASKING)
    except DaemonError:
        return {}
    if doing := told.get("doing", ""):
        warn(f"the daemon is {doing}; what follows is from before")
    return {
        host: Bell(state=BellState(bell["state"]), why=bell["why"])
        for host, bell in told.get("bells", {}).items()
    }


def _tell_of_none(hosts: list[str] | None, *, running: bool, as_json: bool) -> None:
    """Tell that no host was looked at. Raises StateError if some were asked for."""
    if hosts:
        told = " ".join(hosts)
        wait = "the daemon is about to" if running else "start `reconciler run`"
        message = (
            f"nothing is known of {told}: no host was looked at yet; {wait},"
            f" or look now with `reconciler plan {told}`"
        )
        raise StateError(message)
    if as_json:
        print_json([])
    elif running:
        out.print("No host was looked at yet; the daemon runs and is about to.")
    else:
        out.print("No host was looked at yet: start `reconciler run`.")


def _read(history: History, bells: Mapping[str, Bell]) -> dict[HostName, HostStatus]:
    if problem := history.repository.problem():
        warn(f"the repository, when last looked at: {problem}")
    return {
        one.host: replace(one, bell=bells.get(one.host))
        for one in history.statuses(now=now())
    }


# --- all of them -----------------------------------------------------------------


def _show_all(found: list[HostStatus], *, as_json: bool) -> None:
    if as_json:
        print_json([status_as_dict(status) for status in found])
    else:
        out.print(_table(found))
        out.print(Text(_summary(found), "bold"))


def _warn_of_targets(history: History, settings: Settings) -> None:
    """Say which targets do not accept what they are to be told."""
    outbox = history.outbox
    lefts = [
        *(outbox.backlog(target.name) for target in settings.notify.targets),
        *(outbox.mark_backlog(target.name) for target in settings.statuses),
    ]
    for left in lefts:
        if left.error:
            warn(f"cannot tell {left.target} ({left.waiting} waiting): {left.error}")


def _warn_of_caches(settings: Settings) -> None:
    """Say which caches do not take what they are to be given."""
    for name, one in pushed.read(settings.state.path).items():
        if one.problem and name in map(shown, settings.cache.push):
            since = ago(now() - one.since)
            waiting = f"{one.waiting} waiting, for {since}"
            warn(f"cannot push to the cache {name} ({waiting}): {one.problem}")


def _table(found: list[HostStatus]) -> Listing:
    titles = ("HOST", "STATE", "SERVICES", "DRIFT", "COMMIT", "SEEN", "SYSTEM")
    return Listing(titles=titles, rows=[_row(status) for status in found])


def _row(status: HostStatus) -> Row:
    drift = str(sum(one.is_open for one in status.drifts) or "-")
    if status.drift_since is not None:
        drift += f" for {ago(now() - status.drift_since)}"
    return Row(
        cells=(
            status.host,
            state(status),
            f"{status.units_active}/{status.units_desired}",
            drift,
            status.commit[:8],
            f"{ago(now() - status.updated_at)} ago",
            short_path(status.running),
        ),
        note=note(status, now()),
    )


def _summary(found: list[HostStatus]) -> str:
    told = counted([state(status).plain for status in found])
    return "; ".join([told, *_told_polled(found)])


def _told_polled(found: list[HostStatus]) -> Iterator[str]:
    """Name the few hosts that do not ring where others do."""
    bells = {one.host: one.bell for one in found if one.bell and one.reachable}
    without = [host for host, bell in bells.items() if bell.why]
    if 0 < len(without) < len(bells):
        few = len(without) <= FEW
        yield f"polled: {', '.join(without) if few else len(without)}"


# --- one -------------------------------------------------------------------------


def _show_one(history: History, status: HostStatus, *, as_json: bool) -> None:
    attempts = history.attempts(host=status.host, limit=RECENT)
    if as_json:
        told = [attempt_as_dict(attempt) for attempt in attempts]
        print_json(status_as_dict(status) | {"attempts": told})
        return
    out.print(_facts(status))
    if status.drifts:
        out.print(Text("\nDrift", "bold"))
        out.print(drift_lines(status))
    if attempts:
        out.print(Text("\nAttempts", "bold"))
        out.print(attempt_table(attempts))


def _facts(status: HostStatus) -> Paragraphs:
    since = status.drift_since
    rows: list[tuple[str, str | Text]] = [
        ("host", status.host),
        ("state", state(status)),
        ("address", status.address or "-"),
        ("tags", ", ".join(status.tags) or "-"),
        ("commit", status.commit),
        ("desired system", status.target or "-"),
        ("running system", status.running or "-"),
        ("services", f"{status.units_active} of {status.units_desired} active"),
        ("drift since", f"{when(since)} ({ago(now() - since)})" if since else "-"),
        ("last looked at", f"{when(status.updated_at)}"),
        ("bell", told_bell(status.bell)),
    ]
    if status.deploys_itself:
        rows[-1] = ("report", told_report(status, now()))
    if status.hold is not None:
        rows.append(("hold", Text(told_hold(status.hold, now()), "magenta")))
    if status.quarantine is not None:
        told = told_quarantine(status.quarantine, now())
        rows.append(("quarantine", Text(told, "red")))
    if status.error:
        style = "dim" if status.is_silent else "red"
        rows.append(("problem", Text(status.error, style)))
    return Paragraphs(rows=[(Text(name, "bold"), value) for name, value in rows])


COMMANDS = {"status": status}
