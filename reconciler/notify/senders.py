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
from reconciler.notify.channel import Channel, post, read_secret
from reconciler.notify.forges import AT_MOST, Answer, Request, request_of, result_of
from reconciler.notify.groups import next_group, ready_in
from reconciler.notify.words import text_of
from reconciler.settings import NotifyTarget, StatusTarget

log = structlog.get_logger(__name__)

LOOK = 5.0
"""Seconds between two looks at the outbox that nobody asked for."""

AFTER_A_BUG = 60.0  # seconds

BACKOFF_BASE, BACKOFF_CAP = 5.0, 900.0
"""Seconds: the longest wait after the first failure, and after many."""

TOO_OLD = 3 * 86400.0
"""Seconds after which a message is given up: it would be no news."""

COMMIT_STATUS = "commit-status"
"""What metrics call a mark, beside the kinds of messages."""


class Box(Protocol):
    """What a sender needs of the outbox; `reconciler.history` has it."""

    def waiting(self, target: str) -> list[Waiting]: ...  # noqa: D102
    def give_up(  # noqa: D102
        self, target: str, *, before: float, now: float
    ) -> list[Waiting]: ...
    def accepted(self, numbers: Sequence[int], *, now: float) -> None: ...  # noqa: D102
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

    @override
    def turn(self) -> float:
        self._give_up()
        group = next_group(self._box.waiting(self.name))
        if not group:
            self._check()
            return LOOK
        seconds = ready_in(
            group, now=self._now(), window=self._window, longest=BACKOFF_CAP
        )
        if seconds > 0:
            return seconds
        self._send(group)
        return 0.0

    @override
    def backlog(self) -> Backlog:
        return self._box.backlog(self.name)

    def _send(self, group: Sequence[Waiting]) -> None:
        numbers = [letter.seq for letter in group]
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
            wait = backoff(max(letter.tries for letter in group))
            self._box.failed(numbers, error=str(error), next_at=self._now() + wait)
            self._count(group, "failed")
            log.warning("message not accepted", error=str(error), again_in=wait)
            return
        self._box.accepted(numbers, now=self._now())
        self._count(group, "delivered")
        kind = group[0].message.kind.value
        log.info("message delivered", kind=kind, messages=len(group))

    def _give_up(self) -> None:
        now = self._now()
        if given_up := self._box.give_up(self.name, before=now - TOO_OLD, now=now):
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


class MarkSender(Sender):
    """Tells a forge how far commits have come."""

    def __init__(
        self,
        target: StatusTarget,
        box: Box,
        meter: Meter,
        now: Callable[[], float],
        *,
        post: Callable[[Request], Answer] = post,
    ) -> None:
        super().__init__(target.name, box, meter, now)
        self._target = target
        self._post = post
        self._quiet_until = 0.0  # the forge asked us to send nothing before

    @override
    def turn(self) -> float:
        waiting, now = self._box.waiting_marks(self.name), self._now()
        # More than a forge may ask for means that the clock was set back.
        waits = {
            one: max(0.0, max(one.next_at, self._quiet_until) - now) for one in waiting
        }
        for one, seconds in waits.items():
            if not 0 < seconds <= AT_MOST:
                self._send(one)
                return 0.0
        return min(waits.values(), default=LOOK)

    @override
    def backlog(self) -> Backlog:
        return self._box.mark_backlog(self.name)

    def _send(self, waiting: WaitingMark) -> None:
        now, told = self._now(), {"commit": waiting.mark.commit}
        if waiting.at < now - TOO_OLD:
            self._refused(
                waiting, f"given up after many tries; the last: {waiting.error}"
            )
            return
        try:
            token = read_secret(self._target.token_file)
            answer = self._post(request_of(self._target, waiting.mark, token))
        except DeliveryError as error:
            self._failed(waiting, str(error), 0.0)
            return
        result = result_of(answer, token=token, now=now)
        if result.accepted:
            self._box.mark_ended(self.name, waiting, now=now)
            self._meter.notified(COMMIT_STATUS, "delivered")
            log.info("commit status set", state=waiting.mark.state.value, **told)
        elif result.lasting:
            self._refused(waiting, result.error)
        else:
            self._failed(waiting, result.error, result.wait)

    def _refused(self, waiting: WaitingMark, error: str) -> None:
        self._box.mark_ended(self.name, waiting, now=self._now(), error=error)
        self._meter.notified(COMMIT_STATUS, "dropped")
        log.error("commit status refused", error=error, commit=waiting.mark.commit)

    def _failed(self, waiting: WaitingMark, error: str, asked: float) -> None:
        wait = max(asked, backoff(waiting.tries))
        next_at = self._now() + wait
        if asked:
            self._quiet_until = next_at
        self._box.mark_failed(self.name, waiting, error=error, next_at=next_at)
        self._meter.notified(COMMIT_STATUS, "failed")
        commit = waiting.mark.commit
        log.warning("commit status not set", error=error, commit=commit, again_in=wait)


def backoff(tries: int) -> float:
    """
    Return the seconds to wait after one more failure than *tries*.

    Full jitter: anything from zero to twice as much as after the failure before.
    """
    ceiling = min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(tries, 32))
    return ceiling * random.random()  # noqa: S311 # no secret
