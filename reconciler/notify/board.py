"""How far the commit has come that hosts are brought to, as forges are told."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from reconciler.messages import Mark, MarkStep
from reconciler.model import Commit, HostName, HostStatus, Verdict
from reconciler.notify.commits import (
    Stand,
    late_mark,
    mark_of,
    next_mark,
    patient,
    stand_of,
)
from reconciler.notify.records import Records
from reconciler.settings import StatusTarget


@dataclass(slots=True)
class _Board:
    """The commit that hosts are brought to, and how far it has come."""

    commit: Commit
    hosts: tuple[HostName, ...]
    stands: dict[HostName, Stand] = field(default_factory=dict)


class Forges:
    """Has forges told of commits; any thread may call any method. False without any."""

    def __init__(
        self,
        forges: Sequence[StatusTarget],
        records: Records,
        now: Callable[[], float],
    ) -> None:
        self._forges = forges
        self._records = records
        self._box = records.outbox
        self._now = now
        self._lock = threading.Lock()  # over the board
        self._board: _Board | None = None
        self.waits: Mark | None = None
        """Of a commit that waits to be approved."""

    def __bool__(self) -> bool:
        return bool(self._forges)

    @property
    def commit(self) -> Commit | None:
        """The commit that hosts are brought to."""
        return self._board.commit if self._board else None

    def follow(self, commit: Commit, hosts: Sequence[HostName]) -> None:
        """Begin with what is known of the commit from before a restart."""
        with self._lock:
            self._board = _Board(commit, tuple(hosts))
        for status in self._records.statuses():
            newest = self._records.attempts(host=status.host, limit=1)
            # In sync and yet an error: that it does not evaluate.
            problem = status.error if status.verdict is Verdict.CONVERGED else ""
            self._put(status, problem, newest[0].id if newest else "")
        for forge in self._forges:
            text = f"superseded by {commit.short}"
            self._box.supersede(forge.name, commit.id, text, self._now())
        if self.waits is not None:
            # It is newer than the commit that came: the one to be served meanwhile.
            self.tell(self.waits)
        self._mark()

    def stand(self, status: HostStatus, problem: str, attempt: str) -> bool:
        """Take how a host stands; return whether that is news for a forge."""
        self._put(status, problem, attempt)
        return self._mark()

    def tell(self, mark: Mark, late: Mark | None = None) -> bool:
        """
        Have *mark* told, if it is news; return whether it is.

        *late* takes its place once it has been told for too long.
        """
        news, now = False, self._now()
        for forge in self._forges:
            step = _step(mark, late, waited=forge.unreachable_after, now=now)
            news |= self._box.mark(forge.name, mark.commit, step, now)
        return news

    def _put(self, status: HostStatus, problem: str, attempt: str) -> None:
        with self._lock:
            board = self._board
            # A pass of the commit before may end late.
            if board is None:
                return
            if status.is_silent or board.commit.id == status.commit:
                stand = stand_of(status, problem, attempt)
                board.stands[status.host] = stand

    def _mark(self) -> bool:
        """Have forges told how far the commit has come; return whether it is news."""
        with self._lock:  # to the end, or an older mark could come after a newer
            board = self._board
            if board is None:
                return False
            whole = (board.commit.id, board.hosts, board.stands)
            return self.tell(mark_of(*whole), late_mark(*whole))


def _step(mark: Mark, late: Mark | None, *, waited: float, now: float) -> MarkStep:
    def step(before: Mark | None) -> Mark | None:
        due = patient(before, mark, late, waited=waited, now=now)
        return next_mark(before, due)

    return step
