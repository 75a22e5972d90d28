"""
What people and forges are told: immutable values, as the model has them for hosts.

A *message* is one thing that happened to one host. A *letter* is a message on its way
to one target. A *mark* is what a forge is told of one commit.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.model import CommitId, HostName

# --- messages --------------------------------------------------------------------


class Kind(enum.Enum):
    """What a message tells; a closed set, which settings and metrics use."""

    DEPLOYED = "deployed"
    HEALED = "healed"
    FAILED = "failed"
    ROLLED_BACK = "rolled-back"
    DRIFT = "drift"  # no commit caused it, and it is not or cannot be healed
    UNREACHABLE = "unreachable"
    BACK = "back"
    HELD = "held"
    RELEASED = "released"
    QUARANTINED = "quarantined"
    BLOCKED = "blocked"  # a guard forbids to touch the host
    EVALUATION_FAILED = "evaluation-failed"
    REPOSITORY_UNREADABLE = "repository-unreadable"
    COMMIT_WITHHELD = "commit-withheld"  # it does not count until it is approved
    COMMIT_UNTRUSTED = "commit-untrusted"  # it is not signed as it must be
    RECOVERED = "recovered"
    FLAPPING = "flapping"  # it changes too often to be told each time
    STEADY = "steady"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing that happened to one host, or to the repository."""

    key: str  # the same for the same thing, however often it is told
    kind: Kind
    at: float
    host: str = ""  # empty: the repository
    commit: str = ""
    subject: str = ""  # of the commit, where it is known
    attempt: str = ""
    text: str = ""  # why, in a line for people
    about: tuple[Kind, ...] = ()  # the bad states that this ends, or that flap
    tags: tuple[str, ...] = ()  # of the host


FIELDS = (
    *("summary", "details", "kind", "hosts", "host_list", "count", "about", "commit"),
    *("commit_id", "subject", "text", "attempt", "time", "key"),
)
"""The fields of a template, of one message or of several that go together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message for one target, by its name."""

    target: str
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A letter that its target has not accepted yet."""

    seq: int  # in the order of writing
    message: Message
    tries: int = 0
    next_at: float = 0.0  # not to be tried before
    error: str = ""  # of the last try


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What is to be kept as one: what was told of a subject, and the letters of it."""

    told: str
    letters: tuple[Letter, ...] = ()


TellStep = Callable[[str | None], Telling | None]
"""From what was told of a subject (None: nothing yet); None if nothing is new."""


# --- commits ---------------------------------------------------------------------


class MarkState(enum.Enum):
    """How far a commit has come."""

    PENDING = "pending"
    SUCCESS = "success"  # for good: what happens to hosts later is not its doing
    FAILURE = "failure"
    ERROR = "error"  # hosts cannot be reached for too long; no fault of the commit
    SUPERSEDED = "superseded"  # another commit came before every host had it


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a forge is told of one commit; the newest one is all that matters."""

    commit: CommitId
    state: MarkState
    text: str
    hosts: tuple[HostName, ...] = ()  # those that the text is about
    attempt: str = ""  # on the first of them
    since: float = field(default=0.0, compare=False)  # since when it is told


LINK_FIELDS = ("commit", "host", "attempt")
"""The fields of the link that a mark leads to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingMark:
    """A mark that its forge has not accepted yet."""

    mark: Mark
    version: int  # a newer mark of the same commit has another one
    at: float
    tries: int = 0
    next_at: float = 0.0
    error: str = ""


MarkStep = Callable[[Mark | None], Mark | None]
"""From the mark that a commit has; None if it is to stay."""


# --- for people ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits for one target, and why."""

    target: str
    waiting: int = 0
    oldest_at: float = 0.0  # 0: nothing waits
    accepted_at: float = 0.0  # when it last accepted something; 0: not that we know
    error: str = ""  # of the last try, if that failed
