"""What was done: the attempts, the log of one, and who did what."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from reconciler.cli.common import err, now, out, print_json
from reconciler.cli.options import AsJson, Hosts
from reconciler.cli.records import recorded
from reconciler.cli.screen.brought import brought
from reconciler.cli.screen.listing import Listing, Row
from reconciler.cli.screen.words import OUTCOME_STYLES, ago, when
from reconciler.errors import UnknownAttemptError
from reconciler.history import Event, History
from reconciler.model import Attempt, HostName
from reconciler.model.selection import NOT, select
from reconciler.plan import attempt_as_dict, one_attempt_as_dict

_ATTEMPT = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{4}")


def history(
    context: typer.Context,
    hosts: Hosts = None,
    *,
    limit: Annotated[
        int, typer.Option("-n", "--limit", min=1, help="At most so many attempts.")
    ] = 20,
    log: Annotated[
        str | None,
        typer.Option(
            metavar="ATTEMPT",
            help="Print what Nix, the copy and the switch said in this attempt.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Show attempts, newest first: what was done, how it ended.

    With the id of an attempt: what it brought to its host. Each commit since the host
    was last in sync, packages, sizes, the kernel, the units that were restarted, and
    how long each was down by systemd's own stamps.

    ```
    reconciler history
    reconciler history lufta -n 3
    reconciler history 20260301T120000-1a2b
    reconciler history --log 20260301T120000-1a2b
    ```
    """
    one = _attempt_meant(hosts)
    with recorded(context) as found:
        if log is not None:
            _show_log(found, log)
            return
        if one is not None:
            _show_attempt(found, one, as_json=as_json)
            return
        attempts = _attempts(found, hosts, limit) if found else []
    if as_json:
        print_json([attempt_as_dict(one) for one in attempts])
    else:
        out.print(attempt_table(attempts) if attempts else "No attempt was made yet.")


def _attempt_meant(words: list[str] | None) -> str | None:
    """Return the attempt that *words* name, which no host could be called."""
    word = words[0] if words and len(words) == 1 else ""
    return word if _ATTEMPT.fullmatch(word) else None


def _show_attempt(history: History | None, attempt: str, *, as_json: bool) -> None:
    if history is None:
        raise UnknownAttemptError(attempt)
    made, found = history.attempt(attempt), history.brought.of(attempt)
    if as_json:
        print_json(one_attempt_as_dict(made, found))
        return
    out.print(attempt_table([made]))
    for part in brought(made, found):
        out.print(part)


def _show_log(history: History | None, attempt: str) -> None:
    if history is None:
        raise UnknownAttemptError(attempt)
    made = history.attempt(attempt)
    outcome = made.outcome.value if made.outcome else "running"
    told = f"{made.host}, {made.verdict.value} of {made.commit[:8]}, {outcome}"
    err.print(f"{told}; by: {made.owner}", soft_wrap=True)
    for line in history.attempt_log(attempt):
        out.print(Text(line), soft_wrap=True)


def _attempts(history: History, words: list[str] | None, limit: int) -> list[Attempt]:
    if not words:
        return history.attempts(limit=limit)
    names = _named(history, words, lambda host: history.attempts(host=host, limit=1))
    found = [one for name in names for one in history.attempts(host=name, limit=limit)]
    return sorted(found, key=lambda one: one.id, reverse=True)[:limit]


def _named(
    history: History,
    words: list[str],
    recorded_of: Callable[[HostName], Sequence[object]],
) -> list[HostName]:
    """Return the hosts that *words* mean, also such as left but were *recorded*."""
    known = {one.host: one.tags for one in history.statuses()}
    plain = {HostName(word.removeprefix(NOT)) for word in words}
    left = {host: () for host in plain - known.keys() if recorded_of(host)}
    return select(words, {**known, **left})


def attempt_table(attempts: Sequence[Attempt]) -> Listing:
    """Return attempts as a table."""
    titles = ("ATTEMPT", "HOST", "BEGAN", "WHY", "COMMIT", "TOOK", "OUTCOME")
    return Listing(
        titles=titles, rows=[_attempt_row(one) for one in attempts], give_way=(1,)
    )


def _attempt_row(one: Attempt) -> Row:
    outcome = one.outcome.value if one.outcome else "running"
    style = OUTCOME_STYLES[one.outcome] if one.outcome else "cyan"
    took = ago(one.ended_at - one.began_at) if one.ended_at else "-"
    return Row(
        cells=(
            one.id,
            one.host,
            f"{ago(now() - one.began_at)} ago",
            one.verdict.value,
            one.commit[:8],
            took,
            Text(outcome, style),
        ),
        note=Text(one.message, style) if one.message else None,
    )


def events(
    context: typer.Context,
    hosts: Hosts = None,
    *,
    limit: Annotated[
        int, typer.Option("-n", "--limit", min=1, help="At most so many events.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """
    Show the audit log, newest first: who did what, when and why.

    Orders of people, over the command line or the API; changes of the settings; how
    the repository was; trust. Without a name, the reconciler itself did it.

    ```
    reconciler events
    reconciler events lufta -n 10
    reconciler events --json | jq -r '.[] | select(.kind == "hold").actor'
    ```
    """
    with recorded(context) as history:
        found = _events(history, hosts, limit) if history else []
    if as_json:
        print_json([asdict(event) for event in found])
    elif not found:
        out.print("Nothing is recorded yet.")
    else:
        titles = ("WHEN", "WHAT", "HOST", "WHO", "WHY")
        out.print(Listing(titles=titles, rows=[_event_row(event) for event in found]))


def _events(history: History, words: list[str] | None, limit: int) -> list[Event]:
    if not words:
        return history.events(limit=limit)
    names = _named(history, words, lambda host: history.events(host=host, limit=1))
    found = [one for name in names for one in history.events(host=name, limit=limit)]
    return sorted(found, key=lambda one: one.at, reverse=True)[:limit]


def _event_row(event: Event) -> Row:
    return Row(
        cells=(
            when(event.at),
            event.kind,
            Text(event.host or "-", "bold"),
            event.actor or "-",
            event.text.replace("\n", "; "),
        )
    )


COMMANDS = {"history": history, "events": events}
