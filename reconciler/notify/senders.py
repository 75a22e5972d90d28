"""
Threads that deliver what waits in the outbox, one for each target.

So a target that is slow or away keeps nobody waiting but itself. A thread looks when it
is woken, when something falls due, and now and then: another process may have written.
"""

import random
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
from typing_extensions import override

from reconciler.errors import DeliveryError, StateError, StoppingError
from reconciler.messages import Backlog, Waiting, WaitingMark
from reconciler.notify.channel import Channel
from reconciler.notify.groups import next_group, opens_in
from reconciler.notify.late import FOR_GOOD, Late
from reconciler.notify.words import text_of
from reconciler.settings import NotifyTarget

log = structlog.get_logger(__name__)

LOOK = 5.0
"""Seconds between two looks at the outbox that nobody asked for."""

AFTER_A_BUG = 60.0  # seconds

BACKOFF_BASE, BACKOFF_CAP = 5.0, 900.0
"""Seconds: the longest wait after the first failure, and after many."""

TOO_OLD = 3 * 86400.0
"""Seconds after which a message is given up: it would be no news."""

NEWS = 30.0
"""Seconds after which a target that fails is tried with what it never got."""

PROBE = 3
"""Failures in a row after which one message alone is tried, not all that wait."""

REFUSED = 9
"""Tries after which one more that fails is the last, if others are accepted."""

COMMIT_STATUS = "commit-status"
"""What metrics call a mark, beside the kinds of messages."""


class Box(Protocol):
    """What a sender needs of the outbox; `reconciler.history` has it."""

    def waiting(self, target: str) -> list[Waiting]: ...  # noqa: D102
    def give_up(  # noqa: D102
        self, target: str, *, before: float, now: float
    ) -> list[Waiting]: ...
    def accepted(self, numbers: Sequence[int], *, now: float) -> None: ...  # noqa: D102
    def refused(  # noqa: D102
        self, numbers: Sequence[int], *, error: str, now: float
    ) -> None: ...
    def failed(  # noqa: D102
        self, numbers: Sequence[int], *, error: str, next_at: float
    ) -> None: ...
    def backlog(self, target: str) -> Backlog: ...  # noqa: D102
    def waiting_marks(self, target: str) -> list[WaitingMark]: ...  # noqa: D102
    def mark_ended(  # noqa: D102
        self, target: str, sent: WaitingMark, *, now: float, error: str = ""
    ) -> None: ...
    def mark_failed(  # noqa: D102
        self, target: str, sent: WaitingMark, *, error: str, next_at: float
    ) -> None: ...
    def mark_backlog(self, target: str) -> Backlog: ...  # noqa: D102


class Meter(Protocol):
    """Hears what becomes of messages; `reconciler.metrics` has it."""

    def notified(self, kind: str, result: str) -> None: ...  # noqa: D102
    def notifications_wait(  # noqa: D102
        self, target: str, waiting: int, oldest_at: float
    ) -> None: ...


class Sender:
    """One thread for one target. Subclasses say what one turn is."""

    def __init__(
        self, name: str, box: Box, meter: Meter, now: Callable[[], float]
    ) -> None:
        self.name = name
        self._box = box
        self._meter = meter
        self._now = now
        self._late = Late()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"notify {name}", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Look at the outbox now; any thread may call this."""
        self._wake.set()

    def shut(self) -> None:
        """Begin no more deliveries; what waits stays in the outbox."""
        self._stopping.set()
        self._wake.set()

    def join(self, timeout: float) -> bool:
        """Wait *timeout* seconds for what is under way; return whether it ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def turn(self) -> float:
        """Deliver what is due, one group; return the seconds until the next turn."""
        raise NotImplementedError

    def backlog(self) -> Backlog:
        """Sum up what waits."""
        raise NotImplementedError

    def _run(self) -> None:
        with structlog.contextvars.bound_contextvars(target=self.name):
            while not self._stopping.is_set():
                self._wake.clear()
                seconds = self._turn()
                if seconds > 0:
                    self._wake.wait(min(seconds, LOOK))

    def _turn(self) -> float:
        try:
            seconds = self.turn()
            left = self.backlog()
            self._meter.notifications_wait(self.name, left.waiting, left.oldest_at)
        except StoppingError:
            self._stopping.set()
            return 0.0
        except StateError as error:
            log.warning("cannot look for messages to send", error=str(error))
            return LOOK
        except Exception:
            # A bug must cost this target time, not its thread.
            log.exception("sending failed in a way we do not know")
            self._stopping.wait(AFTER_A_BUG)
            return LOOK
        return seconds


class LetterSender(Sender):
    """Delivers messages to people."""

    def __init__(
        self,
        target: NotifyTarget,
        box: Box,
        meter: Meter,
        now: Callable[[], float],
        *,
        window: float,
    ) -> None:
        super().__init__(target.name, box, meter, now)
        self._target = target
        self._channel = Channel(target)
        self._window = window
        self._checked = False
        self._failures = 0  # in a row, of whatever was sent
        self._failed_at = 0.0  # the last of these
        self._quiet_until = 0.0  # after it
        self._suspects: set[int] = set()  # letters of a group that failed by itself
        self._blamed: set[int] = set()  # those that failed alone, others being accepted
        self._tried_at: dict[int, float] = {}  # when what failed was first tried
        self._accepted_at = 0.0  # when anything was, last

    @override
    def turn(self) -> float:
        self._late.settle()
        self._give_up()
        now = self._now()
        waiting = [
            one for one in self._box.waiting(self.name) if not self._held(one, now)
        ]
        if not waiting:
            self._check()
        due = self._due(waiting, now)
        if not due:
            return LOOK
        group = self._apart(next_group(due))
        seconds = max(
            opens_in(group, now=now, window=self._window), self._pause(group, now)
        )
        if seconds > 0:
            return seconds
        self._send(group)
        return 0.0

    @override
    def backlog(self) -> Backlog:
        return self._box.backlog(self.name)

    def _held(self, letter: Waiting, now: float) -> bool:
        return self._late.holds(letter.seq, now)

    def _due(self, waiting: Sequence[Waiting], now: float) -> list[Waiting]:
        """
        Return what may be tried now, what was tried least first.

        So whatever is to blame moves to the end. What is told of one host stays in
        order, unless the earlier letter is to blame.
        """
        due: list[tuple[int, Waiting]] = []
        tried: dict[str, int] = {}
        held_up: set[str] = set()
        for letter in waiting:
            host, tries = letter.message.host, self._tries(letter)
            if host in held_up:
                continue
            to_blame = letter.seq in self._blamed or tries >= REFUSED
            if self._waits(letter, now):
                held_up.update(() if to_blame else (host,))
                continue
            tries = max(tries, tried.get(host, 0))
            tried.update({} if to_blame else {host: tries})
            due.append((tries, letter))
        return [letter for _, letter in sorted(due, key=lambda pair: pair[0])]

    def _forget(self, numbers: Sequence[int]) -> None:
        self._suspects.difference_update(numbers)
        self._blamed.difference_update(numbers)
        for number in numbers:
            self._tried_at.pop(number, None)

    def _first_tried(self, letter: Waiting, now: float) -> float:
        return self._tried_at.setdefault(letter.seq, now)

    def _tries(self, letter: Waiting) -> int:
        return letter.tries + self._late.tries(letter.seq)

    def _waits(self, letter: Waiting, now: float) -> bool:
        """Say whether its next try is not due; further away, the clock was set back."""
        return 0 < letter.next_at - now <= BACKOFF_CAP

    def _pause(self, group: Sequence[Waiting], now: float) -> float:
        """
        Return the seconds for which a target that fails is left alone.

        Not for long with what was never tried: all that failed may be to blame itself.
        """
        left = self._quiet_until - now
        if not any(self._tries(one) for one in group):
            left = min(left, NEWS - (now - self._failed_at))
        return left if left <= BACKOFF_CAP else 0.0

    def _apart(self, group: tuple[Waiting, ...]) -> tuple[Waiting, ...]:
        """
        Return of a group what goes together; the first alone where one may be to blame.

        So one that its target never accepts takes no other with it, whether the others
        were in its group or wait behind it.
        """
        alone = self._failures >= PROBE or group[0].seq in self._suspects
        if alone:
            return group[:1]
        return tuple(one for one in group if one.seq not in self._suspects)

    def _send(self, group: Sequence[Waiting]) -> None:
        template = self._target
        try:
            self._channel.send(
                text_of(
                    [letter.message for letter in group],
                    title=template.title,
                    body="\n".join(template.body),
                )
            )
        except DeliveryError as error:
            self._failed(group, str(error))
        else:
            self._delivered(group)

    def _delivered(self, group: Sequence[Waiting]) -> None:
        numbers, now = [letter.seq for letter in group], self._now()
        self._failures, self._quiet_until = 0, 0.0
        self._accepted_at = now
        self._forget(numbers)
        self._late.write(
            numbers, lambda: self._box.accepted(numbers, now=now), until=FOR_GOOD
        )
        self._count(group, "delivered")
        kind = group[0].message.kind.value
        log.info("message delivered", kind=kind, messages=len(group))

    def _failed(self, group: Sequence[Waiting], error: str) -> None:
        numbers, now = [letter.seq for letter in group], self._now()
        tries = max(self._tries(letter) for letter in group)
        if not self._failures:  # it accepts others: look for the one that it does not
            self._suspects.update(numbers)
        if len(group) == 1 and self._accepted_at > self._first_tried(group[0], now):
            self._blamed.update(numbers)
        if tries >= REFUSED and self._blamed.issuperset(numbers):
            self._refused(group, error)
            return
        self._failed_at, self._quiet_until = now, now + backoff(self._failures)
        self._failures += 1
        if self._failures >= PROBE:  # the target is away, and none of them to blame
            self._suspects.clear()
        next_at = now + (wait := backoff(tries))
        self._late.write(
            numbers,
            lambda: self._box.failed(numbers, error=error, next_at=next_at),
            until=next_at,
        )
        self._count(group, "failed")
        log.warning("message not accepted", error=error, again_in=wait)

    def _refused(self, group: Sequence[Waiting], error: str) -> None:
        """Give up what its target does not accept, though it does accept others."""
        numbers, now = [letter.seq for letter in group], self._now()
        self._forget(numbers)
        self._late.write(
            numbers,
            lambda: self._box.refused(numbers, error=error, now=now),
            until=FOR_GOOD,
        )
        self._count(group, "dropped")
        kind = group[0].message.kind.value
        log.error("message refused for good", error=error, kind=kind)

    def _give_up(self) -> None:
        now = self._now()
        try:
            given_up = self._box.give_up(self.name, before=now - TOO_OLD, now=now)
        except StateError as error:
            # What is new is to be told all the same.
            log.warning("old messages cannot be given up", error=str(error))
            return
        if given_up:
            self._count(given_up, "dropped")
            log.error("messages given up", messages=len(given_up))

    def _check(self) -> None:
        """Say after the start what is wrong with a target, before it is needed."""
        if self._checked:
            return
        self._checked = True
        try:
            self._channel.check()
        except DeliveryError as error:
            log.warning("messages cannot be sent there", error=str(error))

    def _count(self, letters: Sequence[Waiting], result: str) -> None:
        for letter in letters:
            self._meter.notified(letter.message.kind.value, result)


def backoff(tries: int) -> float:
    """
    Return the seconds to wait after one more failure than *tries*.

    Full jitter: anything from zero to twice as much as after the failure before.
    """
    ceiling = min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(tries, 32))
    return ceiling * random.random()  # noqa: S311 # no secret
