"""Orders: hold, release, retry, approve."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import typer
from rich.text import Text

from reconciler.app import make_state
from reconciler.cli.common import actor, chosen, duration, now, out, print_json
from reconciler.cli.options import (
    AsJson,
    DryRun,
    Everything,
    Selection,
    Why,
    complete_selection,
)
from reconciler.cli.records import recorded
from reconciler.cli.screen.listing import Listing, Row
from reconciler.cli.screen.words import ago, short_path, when
from reconciler.cli.worlds import look, opened, tags_of
from reconciler.errors import ReconcilerError, UnknownHostError
from reconciler.history import open_history
from reconciler.loop import Orders
from reconciler.model import Commit, Hold, HostName, StorePath
from reconciler.model.selection import needs_tags, select
from reconciler.revisions.trust import require_trust


def hold(  # noqa: PLR0913 -- an option each
    context: typer.Context,
    hosts: Selection = None,
    *,
    everything: Everything = False,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; everybody is shown this.")
    ] = "",
    for_: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="DURATION",
            help="Let go by itself after so long: 30m, 2h, 1d.",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """
    Have hosts left alone, or show who is held.

    Until it is released, a held host is looked at and reported, and nothing on it is
    changed, not even by `apply`. An attempt that is under way goes on to its end. Holds
    are remembered across restarts; a second hold of a host replaces the first. Without
    hosts: show the holds.

    ```
    reconciler hold lufta --reason "the disk is being changed"
    reconciler hold @home --reason "holidays" --for 2d
    reconciler hold
    ```
    """
    if not hosts and not everything:
        with recorded(context) as history:
            _show_holds(history.holds(now()) if history else [], as_json=as_json)
        return
    if not reason.strip():
        message = "say why, so that others know whom to ask and when to let go"
        raise typer.BadParameter(message, param_hint="--reason")
    seconds = duration(for_)
    with ordering(context) as orders:
        names = choose(context, orders, hosts, everything=everything)
        holds = orders.drafted(names, reason=reason, seconds=seconds)
        if not dry_run:
            orders.hold(holds)
    _show_holds(holds, as_json=as_json)


def _show_holds(holds: Sequence[Hold], *, as_json: bool) -> None:
    if as_json:
        print_json([_hold_as_dict(one) for one in holds])
    elif not holds:
        out.print("No host is held.")
    else:
        titles = ("HOST", "BY", "SINCE", "UNTIL", "REASON")
        out.print(Listing(titles=titles, rows=[_hold_row(one) for one in holds]))


def _hold_as_dict(hold: Hold) -> dict[str, object]:
    """Return a hold for ``--json``. The keys stay; new ones may come."""
    return {
        "host": hold.host,
        "reason": hold.reason,
        "actor": hold.actor,
        "since": hold.since,
        "until": hold.until,
    }


def _hold_row(hold: Hold) -> Row:
    until = when(hold.until) if hold.until is not None else "released"
    return Row(
        cells=(
            Text(hold.host, "bold"),
            hold.actor or "-",
            f"{ago(now() - hold.since)} ago",
            until,
            hold.reason,
        )
    )


def release(
    context: typer.Context,
    hosts: Selection = None,
    *,
    everything: Everything = False,
    reason: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """
    Let go of hosts that are held.

    The loop brings them to their commit at once, if they differ. Exit status 0, also
    where a host was not held.

    ```
    reconciler release lufta
    reconciler release --all
    ```
    """
    with ordering(context) as orders:
        names = choose(context, orders, hosts, everything=everything)
        before = {one.host for one in orders.history.holds(orders.now)}
        if not dry_run:
            orders.release(names, reason=reason)
    done = {name: name in before for name in names}
    show_done(done, key="held", yes="released", no="was not held", as_json=as_json)


def retry(
    context: typer.Context,
    hosts: Selection = None,
    *,
    everything: Everything = False,
    reason: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """
    Try hosts again at once, also a system that failed there.

    A system that failed on a host is not tried there again by itself: this lifts that
    quarantine. It also ends every wait between attempts, and after an evaluation that
    failed. A hold stays. Without a daemon, `reconciler apply` is what tries.

    ```
    reconciler retry lufta
    reconciler retry @home
    ```
    """
    with ordering(context) as orders:
        chosen_hosts = choose(context, orders, hosts, everything=everything)
        names = orders.reached(chosen_hosts)
        before = {one.host for one in orders.history.quarantines()}
        if not dry_run:
            orders.retry(names, reason=reason)
    done = {name: name in before for name in names}
    show_done(
        done,
        key="quarantined",
        yes="quarantine lifted; tried again",
        no="tried again",
        as_json=as_json,
    )


_COMMIT = re.compile("[0-9a-f]{7,64}")


def approve(
    context: typer.Context,
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="HOST|@TAG|COMMIT",
            help="Hosts whose new system may come, or a commit that may count.",
            autocompletion=complete_selection,
            show_default=False,
        ),
    ],
    *,
    reason: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """
    Let pass what a guard stopped.

    A commit that removes more than `policy.removal_limit` of the fleet's hosts does not
    count until it is approved; a system that lacks as much of its host's services is
    not brought there. What is approved is that one commit, or the system that the host
    should run by now; the next one is judged anew.

    ```
    reconciler approve lufta
    reconciler approve 1a2b3c4d
    ```
    """
    with ordering(context) as orders:
        found = [_approvable(context, orders, word) for word in what]
        if not dry_run:
            for systems, commit in found:
                _approve(orders, systems, commit, reason)
    rows = [row for one in found for row in _approved_rows(*one)]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        name = row["host"] or row["commit"]
        may = short_path(row["toplevel"]) if row["host"] else "this commit"
        out.print(Text.assemble((str(name), "bold"), f"  {may} may come"))


def _approvable(
    context: typer.Context, orders: Orders, word: str
) -> tuple[dict[HostName, StorePath], Commit | None]:
    """Return the systems that *word* means, or else the commit."""
    try:
        hosts = select([word], orders.hosts())
    except UnknownHostError:
        if not _COMMIT.fullmatch(word):
            raise
        return {}, _resolved(context, word)
    return orders.to_come(hosts), None


def _approve(
    orders: Orders,
    systems: dict[HostName, StorePath],
    commit: Commit | None,
    reason: str,
) -> None:
    if commit is not None:
        orders.approve_commit(commit.id, reason=reason)
    orders.approve(systems, reason=reason)


def _approved_rows(
    systems: dict[HostName, StorePath], commit: Commit | None
) -> list[dict[str, str | None]]:
    if commit is not None:
        return [{"host": None, "toplevel": None, "commit": commit.id}]
    return [
        {"host": host, "toplevel": toplevel, "commit": None}
        for host, toplevel in systems.items()
    ]


def _resolved(context: typer.Context, ref: str) -> Commit:
    """Return the commit that may be approved. Raises UntrustedError for another one."""
    with opened(context) as world:
        commit = world.mirror.resolve(ref)
        require_trust(world, commit)
        return commit


# --- parts -----------------------------------------------------------------------


@contextlib.contextmanager
def ordering(context: typer.Context) -> Iterator[Orders]:
    """Open history to write orders into it. Raises SettingsError, StateError."""
    state = chosen(context).settings().state
    make_state(state.path)
    with contextlib.closing(open_history(state)) as history:
        yield Orders(history=history, now=now(), actor=actor())


def choose(
    context: typer.Context,
    orders: Orders,
    names: Sequence[str] | None,
    *,
    everything: bool,
) -> list[HostName]:
    """
    Return the hosts that an order is about; a person must say which.

    The repository is asked only for what nothing is known of yet. Raises
    UnknownHostError and EmptySelectionError.
    """
    if bool(names) == everything:
        message = "name hosts or @tags, or say --all"
        raise typer.BadParameter(message, param_hint="HOST|@TAG|!HOST")
    return chosen_of(context, orders, names or ())


def chosen_of(
    context: typer.Context, orders: Orders, words: Sequence[str]
) -> list[HostName]:
    """Return the hosts that *words* mean, of those known or else declared."""
    known = orders.hosts()
    if known:
        with contextlib.suppress(UnknownHostError):
            return select(words, known)
    try:
        declared = _declared(context, words)
    except ReconcilerError:
        if known:  # what it has not, nobody can say now
            return select(words, known)
        raise
    return select(words, {**declared, **known})


def _declared(
    context: typer.Context, words: Sequence[str]
) -> dict[HostName, tuple[str, ...]]:
    """Return the hosts of the newest commit, with their tags where those matter."""
    with opened(context) as world:
        revision = look(world)[1]
        if needs_tags(words):
            return tags_of(world, revision)
        return dict.fromkeys(revision.hosts, ())


def show_done(
    done: Mapping[HostName, bool], *, key: str, yes: str, no: str, as_json: bool
) -> None:
    """Say of each host whether the order changed anything, in the words *yes*, *no*."""
    if as_json:
        print_json([{"host": host, key: was} for host, was in done.items()])
        return
    for host, was in done.items():
        out.print(Text.assemble((host, "bold"), f"  {yes if was else no}"))


COMMANDS = {"hold": hold, "release": release, "retry": retry, "approve": approve}
