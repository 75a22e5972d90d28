"""How messages read. Pure."""

import string
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.messages import Kind, Message
from reconciler.printable import on_one_line, printable

LINES = 20
"""Hosts that a body lists; of the others it says how many there are."""

SHORT = 8  # characters of a commit, as people quote one

_TITLES = {
    Kind.DEPLOYED: "deployed $commit to $hosts",
    Kind.HEALED: "healed $hosts",
    Kind.FAILED: "failed to deploy $commit to $hosts",
    Kind.ROLLED_BACK: "rolled back $hosts from $commit",
    Kind.DRIFT: "drift on $hosts",
    Kind.UNREACHABLE: "cannot reach $hosts",
    Kind.BACK: "$hosts back again",
    Kind.HELD: "held $hosts",
    Kind.RELEASED: "released $hosts",
    Kind.QUARANTINED: "$commit quarantined on $hosts",
    Kind.BLOCKED: "must not touch $hosts",
    Kind.EVALUATION_FAILED: "$commit does not evaluate for $hosts",
    Kind.REPOSITORY_UNREADABLE: "cannot read the repository",
    Kind.COMMIT_WITHHELD: "$commit waits to be approved",
    Kind.COMMIT_UNTRUSTED: "$commit is not trusted",
    Kind.RECOVERED: "$hosts recovered from: $about",
    Kind.FLAPPING: "$hosts flapping: $about",
    Kind.STEADY: "$hosts steady again: $about",
    Kind.TEST: "test message",
}
_LEVELS = {
    "success": (Kind.DEPLOYED, Kind.HEALED, Kind.BACK, Kind.RECOVERED, Kind.RELEASED),
    "warning": (
        *(Kind.DRIFT, Kind.HELD, Kind.QUARANTINED, Kind.FLAPPING),
        Kind.COMMIT_WITHHELD,
        Kind.COMMIT_UNTRUSTED,
    ),
    "info": (Kind.STEADY, Kind.TEST),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What is delivered."""

    title: str
    body: str
    level: str  # info, success, warning or failure


def text_of(messages: Sequence[Message], *, title: str, body: str) -> Text:
    """Return the text of a group, by the templates of its target."""
    fields = fields_of(messages)
    return Text(
        title=on_one_line(string.Template(title).substitute(fields)),
        body=printable(string.Template(body).substitute(fields)),
        level=level_of(messages[0].kind),
    )


def fields_of(messages: Sequence[Message]) -> Mapping[str, str]:
    """Return the fields that a template can use; `reconciler.messages` names them."""
    first = messages[0]
    hosts = list(dict.fromkeys(message.host for message in messages if message.host))
    short = {
        "about": ", ".join(kind.value for kind in first.about),
        "commit": first.commit[:SHORT],
        "hosts": _counted(hosts),
    }
    return {
        **short,
        "summary": string.Template(_TITLES[first.kind]).substitute(short),
        "details": _details(messages),
        "kind": first.kind.value,
        "host_list": ", ".join(hosts),
        "count": str(len(hosts)),
        "commit_id": first.commit,
        "subject": first.subject,
        "text": first.text,
        "attempt": first.attempt,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(first.at)),
        "key": first.key,
    }


def level_of(kind: Kind) -> str:
    """Return how grave a message is, in Apprise's words."""
    found = (level for level, kinds in _LEVELS.items() if kind in kinds)
    return next(found, "failure")


def _counted(hosts: Sequence[str]) -> str:
    if not hosts:
        return "the repository"
    return hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts"


def _details(messages: Sequence[Message]) -> str:
    first = messages[0]
    lines = [_line(message) for message in messages[:LINES]]
    if more := len(messages) - LINES:
        lines += [f"… and {more} more"] if more > 0 else []
    if first.commit:
        lines.append(f"commit {first.commit[:SHORT]} {first.subject}".rstrip())
    return "\n".join(lines)


def _line(message: Message) -> str:
    who = message.host or "repository"
    attempt = f" (attempt {message.attempt})" if message.attempt else ""
    return f"{who}: {message.text or message.kind.value}{attempt}"


def text_to_try(name: str) -> Text:
    """Return what is sent to try out the target *name*."""
    return Text(
        title=f"reconciler: test message for {name}",
        body="sent by `reconciler notify test`; nothing has happened",
        level=level_of(Kind.TEST),
    )
