"""``reconciler why-evaluated HOST``: what had it evaluated, or spared it."""

from collections.abc import Iterator
from typing import NoReturn

import typer
from rich.text import Text

from reconciler.cli.common import now, out, print_json
from reconciler.cli.options import AsJson, Host
from reconciler.cli.records import recorded
from reconciler.cli.screen.words import ago
from reconciler.errors import GoneHostError, UnknownHostError
from reconciler.history import History
from reconciler.model import Evaluated, EvaluationNote, HostName, subject_of

UNCHANGED = "nothing that its last evaluation looked at differs"
_MIB = 1 << 20


def why_evaluated(
    context: typer.Context, host: Host, *, as_json: AsJson = False
) -> None:
    """
    Say why a host was evaluated for the last commit, or not.

    And what the last evaluation took, and what will have it evaluated each time. Of a
    host that left the repository it says when, and by which commit.

    ```
    reconciler why-evaluated lufta
    reconciler why-evaluated lufta --json | jq '.reasons[]'
    ```
    """
    name = HostName(host)
    with recorded(context) as history:
        note = history.lookings.note_of(name) if history else None
        if history is None or note is None:
            _unknown(history, name, as_json=as_json)
        always = why_always(history, name)
    if as_json:
        print_json(_as_dict(note, always))
        return
    for line in _lines(note, always):
        out.print(Text(line), soft_wrap=True)


def _unknown(history: History | None, host: HostName, *, as_json: bool) -> NoReturn:
    known = sorted(history.lookings.notes()) if history else []
    left = history.lookings.left(host) if history else None
    if left is None:
        raise UnknownHostError(host, known=known)
    if as_json:
        gone = {"host": host, "result": "gone", "reasons": [left.text], "at": left.at}
        print_json(gone)
    told = f"{host} left the repository {ago(now() - left.at)} ago: {left.text}"
    raise GoneHostError(host, told, known=known)


def why_always(history: History, host: HostName) -> str:
    """Return why *host* is evaluated at each commit; empty if it is not."""
    last = next(iter(history.lookings.looked_at(subject_of(host))), None)
    if last is None:
        return ""
    if last.checkout:
        return "its result names the folder of the commit's checkout"
    return last.puzzle


def _lines(note: EvaluationNote, always: str) -> Iterator[str]:
    since = ago(now() - note.at)
    yield f"{note.host}: {note.result.value} for commit {note.commit[:8]}, {since} ago"
    if note.result is Evaluated.UNCHANGED:
        yield f"  {UNCHANGED}"
    for reason in note.reasons:
        yield f"  {reason}"
    if note.seconds is not None:
        memory = f", {note.memory // _MIB} MiB" if note.memory else ""
        yield f"  the last evaluation took {note.seconds:.1f} s{memory}"
    if always:
        yield f"  it is evaluated at each commit: {always}"


def _as_dict(note: EvaluationNote, always: str) -> dict[str, object]:
    return {
        "host": note.host,
        "commit": note.commit,
        "result": note.result.value,
        "reasons": list(note.reasons),
        "at": note.at,
        "seconds": note.seconds,
        "memory": note.memory,
        "always": always,
    }


COMMANDS = {"why-evaluated": why_evaluated}
