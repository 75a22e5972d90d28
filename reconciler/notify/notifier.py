"""
`Notify`: the loop tells it how things are; it works out what is news, and for whom.

It is told states and not changes, and compares them with what was told before, in the
database. So nothing is lost when the program dies between a change and its telling, and
nothing is told twice when it looks again.
"""

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from reconciler.messages import (
    Kind,
    Letter,
    Mark,
    MarkState,
    MarkStep,
    Telling,
    TellStep,
)
from reconciler.model import (
    Attempt,
    Commit,
    CommitId,
    HostName,
    HostStatus,
    Verdict,
)
from reconciler.notify import told as tellings
from reconciler.notify.addressing import letters
from reconciler.notify.commits import (
    Stand,
    late_mark,
    mark_of,
    next_mark,
    patient,
    stand_of,
)
from reconciler.notify.conditions import Condition, Seen, cut
from reconciler.notify.mark_sender import MarkSender
from reconciler.notify.senders import (
    Box,
    LetterSender,
    Meter,
    Sender,
)
from reconciler.notify.telling import About, Flap, Teller
from reconciler.notify.told import Told
from reconciler.settings import Settings

REPOSITORY = ""
"""The subject that is no host."""

CAUGHT_UP = 20
"""Attempts of one host that are looked through for those not told yet."""

OLD = 86400.0
"""Seconds after its end from which on an attempt is no news."""


class Outbox(Box, Protocol):
    """What `Notify` needs beside that; `reconciler.history` has it."""

    def told(self) -> dict[str, str]: ...  # noqa: D102
    def told_of(self, subject: str) -> str | None: ...  # noqa: D102
    def tell(self, subject: str, step: TellStep) -> bool: ...  # noqa: D102
    def forget(  # noqa: D102
        self, subject: str, last: Iterable[Letter] = ()
    ) -> None: ...
    def targets(self) -> set[str]: ...  # noqa: D102
    def mark(  # noqa: D102
        self, target: str, commit: CommitId, step: MarkStep, now: float
    ) -> bool: ...
    def supersede(  # noqa: D102
        self, target: str, commit: CommitId, text: str, now: float
    ) -> None: ...


class Records(Protocol):
    """What `Notify` reads of history."""

    @property
    def outbox(self) -> Outbox: ...  # noqa: D102
    def attempts(  # noqa: D102
        self, *, host: HostName | None = None, limit: int = 20
    ) -> list[Attempt]: ...
    def statuses(self) -> list[HostStatus]: ...  # noqa: D102


@dataclass(slots=True)
class _Board:
    """The commit that hosts are brought to, and how far it has come."""

    commit: Commit
    hosts: tuple[HostName, ...]
    stands: dict[HostName, Stand] = field(default_factory=dict)


class Notify:
    """
    Tells people and forges; any thread may call any method.

    Without targets in the settings it does nothing. It delivers only between `start`
    and `shut`; what is told in another process waits in the outbox.
    """

    def __init__(
        self,
        settings: Settings,
        records: Records,
        meter: Meter,
        now: Callable[[], float],
    ) -> None:
        self._targets = settings.notify.targets
        self._forges = settings.statuses
        self._flap = Flap(
            changes=settings.notify.flap.changes, window=settings.notify.flap.window
        )
        self._records = records
        self._box = records.outbox
        self._now = now
        self._lock = threading.Lock()  # over the board
        self._board: _Board | None = None
        self._waits: Mark | None = None  # of a commit that waits to be approved
        self.senders: list[Sender] = [
            *(
                LetterSender(
                    target, self._box, meter, now, window=settings.notify.group
                )
                for target in self._targets
            ),
            *(MarkSender(target, self._box, meter, now) for target in self._forges),
        ]

    # --- delivering --------------------------------------------------------------

    def start(self) -> None:
        """Start to deliver. Raises StateError."""
        if not self._targets:
            # Whoever is told again one day is not to hear of what was long ago.
            for subject in self._box.told():
                self._box.forget(subject)
        for name in self._box.targets() - {target.name for target in self._targets}:
            self._box.give_up(name, before=math.inf, now=self._now())
        for sender in self.senders:
            sender.start()

    def shut(self) -> None:
        """Begin no more deliveries."""
        for sender in self.senders:
            sender.shut()

    def join(self, timeout: float) -> None:
        """Wait for deliveries under way, *timeout* seconds for each."""
        for sender in self.senders:
            sender.join(timeout)

    def wake(self) -> None:
        """Look for what is to be sent: something that waited may be whole now."""
        self._wake()

    def _wake(self) -> None:
        for sender in self.senders:
            sender.wake()

    # --- what the loop tells -----------------------------------------------------

    def arrived(self, commit: Commit, hosts: Sequence[HostName]) -> None:
        """
        Hear that hosts are brought to *commit* from now on. Raises StateError.

        Called again for the same commit it tells nothing new.
        """
        if self._targets:
            self._meet(hosts)
            self._part(commit, hosts)
        if self._forges:
            self._follow(commit, hosts)
            self._mark()
        self._wake()

    def host(self, status: HostStatus, problem: str = "") -> None:
        """
        Hear what the last pass found on a host. Raises StateError.

        *problem* is why the newest commit cannot be evaluated for it, if so.
        """
        if not self.senders:
            return
        recent = self._recent(status.host)
        news = False
        if self._targets:
            news = self._tell_of_host(status, problem, recent)
        if self._forges:
            self._stand(status, problem, recent[-1].id if recent else "")
            news |= self._mark()
        if news:
            self._wake()

    def repository(self, problem: str) -> None:
        """Hear whether the repository can be read; *problem* is empty if so."""
        found = Condition(text=cut(problem)) if problem else None
        self._tell_of_repository(Kind.REPOSITORY_UNREADABLE, found, About())

    def unreadable(self, commit: Commit, why: str) -> None:
        """Hear that *commit* cannot be used, to tell forges. Raises StateError."""
        mark = Mark(commit=commit.id, state=MarkState.FAILURE, text=cut(why))
        if self._tell_forges(mark):
            self._wake()

    def withheld(
        self, commit: Commit | None, told: str = "", gone: Sequence[HostName] = ()
    ) -> None:
        """
        Hear that *commit* does not count until a person approves it; None: all counts.

        *told* says why: too many hosts are *gone*. Raises StateError.
        """
        self._tell_of_repository(Kind.COMMIT_UNTRUSTED, None, About())
        kind = Kind.COMMIT_WITHHELD
        if commit is None:
            self._waits = None
            self._tell_of_repository(kind, None, About())
            return
        approve = f"reconciler approve {commit.short}"
        text = f"{told}; if that is right, run: {approve}"
        self._tell_of_repository(
            kind,
            Condition(what=(commit.id,), text=cut(text)),
            About(commit=commit.id, subject=commit.subject),
        )
        # The command first: forges cut what is long.
        self._waits = Mark(
            commit=commit.id,
            state=MarkState.PENDING,
            text=cut(f"waits for: {approve}; {told}"),
            hosts=tuple(gone),
        )
        if self._tell_forges(self._waits):
            self._wake()

    def untrusted(self, commit: Commit, why: str) -> None:
        """Hear that *commit* may not count, whoever approves it. Raises StateError."""
        self._waits = None
        self._tell_of_repository(Kind.COMMIT_WITHHELD, None, About())
        self._tell_of_repository(
            Kind.COMMIT_UNTRUSTED,
            Condition(what=(commit.id,), text=cut(why)),
            About(commit=commit.id, subject=commit.subject),
        )
        self.unreadable(commit, why)

    def _tell_of_repository(
        self, kind: Kind, found: Condition | None, about: About
    ) -> None:
        """Tell whether the repository is in the bad state *kind*."""
        if not self._targets:
            return
        bad = {} if found is None else {kind: found}
        seen = Seen(judged=frozenset({kind}), bad=bad)

        def step(text: str | None) -> Telling | None:
            before = tellings.from_json(text) if text else tellings.begin(self._now())
            teller = self._teller(before, about)
            teller.compare(seen)
            return self._telling(text, teller)

        if self._box.tell(REPOSITORY, step):
            self._wake()

    # --- people ------------------------------------------------------------------

    def _meet(self, hosts: Sequence[HostName]) -> None:
        """Begin to keep what is told of new hosts: their first attempt will be news."""
        known = self._box.told()
        for host in hosts:
            if host not in known:
                newest = self._records.attempts(host=host, limit=1)
                attempt = newest[0].id if newest else ""
                new = tellings.to_json(tellings.begin(self._now(), attempt=attempt))
                self._box.tell(host, _beginning(new))

    def _part(self, commit: Commit, hosts: Sequence[HostName]) -> None:
        """End what was told of hosts that are gone."""
        for subject, text in self._box.told().items():
            if subject not in (REPOSITORY, *hosts):
                about = About(host=subject, commit=commit.id, subject=commit.subject)
                teller = self._teller(tellings.from_json(text), about)
                teller.gone()
                self._box.forget(subject, letters(teller.messages, self._targets))

    def _recent(self, host: HostName) -> list[Attempt]:
        """Return the last attempts, oldest first; usually the newest says enough."""
        newest = self._records.attempts(host=host, limit=1)
        told = self._box.told_of(host) if newest and self._targets else None
        if told is None or tellings.from_json(told).attempt == newest[0].id:
            return newest
        return self._records.attempts(host=host, limit=CAUGHT_UP)[::-1]

    def _tell_of_host(
        self, status: HostStatus, problem: str, recent: Sequence[Attempt]
    ) -> bool:
        def step(text: str | None) -> Telling | None:
            newest = recent[-1].id if recent else ""
            before = (
                tellings.from_json(text)
                if text
                else tellings.begin(self._now(), attempt=newest)
            )
            about = About(
                host=status.host,
                commit=status.commit,
                subject=self._subject(status.commit),
            )
            teller = self._teller(before, about)
            for attempt in self._untold(before, recent):
                teller.attempt(attempt, status.target)
            teller.status(status, problem)
            return self._telling(text, teller)

        return self._box.tell(status.host, step)

    def _untold(self, told: Told, recent: Sequence[Attempt]) -> list[Attempt]:
        """Return what ended and was not told, up to an attempt that goes on."""
        ids = [attempt.id for attempt in recent]
        if told.attempt in ids:
            after = recent[ids.index(told.attempt) + 1 :]
        else:  # their ids sort by time
            after = [attempt for attempt in recent if attempt.id > told.attempt]
        found: list[Attempt] = []
        for attempt in after:
            if attempt.outcome is None or attempt.ended_at is None:
                break
            if attempt.ended_at > self._now() - OLD:
                found.append(attempt)
        return found

    def _teller(self, told: Told, about: About) -> Teller:
        return Teller(told, about, flap=self._flap, now=self._now())

    def _telling(self, before: str | None, teller: Teller) -> Telling | None:
        after = tellings.to_json(teller.told)
        if after == before:
            return None
        return Telling(told=after, letters=letters(teller.messages, self._targets))

    def _subject(self, commit: CommitId) -> str:
        board = self._board
        return board.commit.subject if board and board.commit.id == commit else ""

    # --- forges ------------------------------------------------------------------

    def _follow(self, commit: Commit, hosts: Sequence[HostName]) -> None:
        """Begin with what is known of the commit from before a restart."""
        with self._lock:
            self._board = _Board(commit, tuple(hosts))
        for status in self._records.statuses():
            newest = self._records.attempts(host=status.host, limit=1)
            # In sync and yet an error: that it does not evaluate.
            problem = status.error if status.verdict is Verdict.CONVERGED else ""
            self._stand(status, problem, newest[0].id if newest else "")
        for forge in self._forges:
            text = f"superseded by {commit.short}"
            self._box.supersede(forge.name, commit.id, text, self._now())
        if self._waits is not None:
            # It is newer than the commit that came: the one to be served meanwhile.
            self._tell_forges(self._waits)

    def _stand(self, status: HostStatus, problem: str, attempt: str) -> None:
        with self._lock:
            board = self._board
            # A pass of the commit before may end late.
            if board is not None and board.commit.id == status.commit:
                stand = stand_of(status, problem, attempt)
                board.stands[status.host] = stand

    def _mark(self) -> bool:
        """Have forges told how far the commit has come; return whether it is news."""
        with self._lock:  # to the end, or an older mark could come after a newer
            board = self._board
            if board is None:
                return False
            whole = (board.commit.id, board.hosts, board.stands)
            return self._tell_forges(mark_of(*whole), late_mark(*whole))

    def _tell_forges(self, mark: Mark, late: Mark | None = None) -> bool:
        """
        Have *mark* told, if it is news; return whether it is.

        *late* takes its place once it has been told for too long.
        """
        news, now = False, self._now()
        for forge in self._forges:
            step = _step(mark, late, waited=forge.unreachable_after, now=now)
            news |= self._box.mark(forge.name, mark.commit, step, now)
        return news


def _beginning(new: str) -> TellStep:
    return lambda before: None if before else Telling(told=new)


def _step(mark: Mark, late: Mark | None, *, waited: float, now: float) -> MarkStep:
    def step(before: Mark | None) -> Mark | None:
        due = patient(before, mark, late, waited=waited, now=now)
        return next_mark(before, due)

    return step
