"""
`Notify`: the loop tells it how things are; it works out what is news, and for whom.

It is told states and not changes, and compares them with what was told before, in the
database. So nothing is lost when the program dies between a change and its telling, and
nothing is told twice when it looks again.
"""

import math
from collections.abc import Callable, Sequence

from reconciler.messages import (
    Kind,
    Mark,
    MarkState,
    Telling,
    TellStep,
)
from reconciler.model import (
    Attempt,
    Commit,
    CommitId,
    HostName,
    HostStatus,
)
from reconciler.notify import told as tellings
from reconciler.notify.addressing import letters
from reconciler.notify.board import Forges
from reconciler.notify.conditions import Condition, Seen, cut
from reconciler.notify.mark_sender import MarkSender
from reconciler.notify.records import Records
from reconciler.notify.senders import (
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
        self._flap = Flap(
            changes=settings.notify.flap.changes, window=settings.notify.flap.window
        )
        self._records = records
        self._box = records.outbox
        self._now = now
        self._forges = Forges(settings.statuses, records, now)
        self.senders: list[Sender] = [
            *(
                LetterSender(
                    target, self._box, meter, now, window=settings.notify.group
                )
                for target in self._targets
            ),
            *(
                MarkSender(target, self._box, meter, now)
                for target in settings.statuses
            ),
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
            self._forges.follow(commit, hosts)
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
            attempt = recent[-1].id if recent else ""
            news |= self._forges.stand(status, problem, attempt)
        if news:
            self._wake()

    def repository(self, problem: str) -> None:
        """Hear whether the repository can be read; *problem* is empty if so."""
        found = Condition(text=cut(problem)) if problem else None
        self._tell_of_repository(Kind.REPOSITORY_UNREADABLE, found, About())

    def unreadable(self, commit: Commit, why: str) -> None:
        """Hear that *commit* cannot be used, to tell forges. Raises StateError."""
        mark = Mark(commit=commit.id, state=MarkState.FAILURE, text=cut(why))
        if self._forges.tell(mark):
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
            self._forges.waits = None
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
        self._forges.waits = Mark(
            commit=commit.id,
            state=MarkState.PENDING,
            text=cut(f"waits for: {approve}; {told}"),
            hosts=tuple(gone),
        )
        if self._forges.tell(self._forges.waits):
            self._wake()

    def untrusted(self, commit: Commit, why: str) -> None:
        """Hear that *commit* may not count, whoever approves it. Raises StateError."""
        self._forges.waits = None
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
        followed = self._forges.commit
        return followed.subject if followed and followed.id == commit else ""


def _beginning(new: str) -> TellStep:
    return lambda before: None if before else Telling(told=new)
