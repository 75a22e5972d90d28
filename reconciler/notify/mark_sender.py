"""The thread that tells a forge how far commits have come."""

from collections.abc import Callable

import structlog
from typing_extensions import override

from reconciler.errors import DeliveryError
from reconciler.messages import Backlog, WaitingMark
from reconciler.model import CommitId
from reconciler.notify.channel import post
from reconciler.notify.forges import AT_MOST, Answer, Request, request_of, result_of
from reconciler.notify.late import FOR_GOOD
from reconciler.notify.senders import (
    COMMIT_STATUS,
    LOOK,
    TOO_OLD,
    Box,
    Meter,
    Sender,
    backoff,
)
from reconciler.settings import StatusTarget
from reconciler.settings.named_files import read_secret

log = structlog.get_logger(__name__)


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
        self._late.settle()
        now = self._now()
        waiting = [
            one
            for one in self._box.waiting_marks(self.name)
            if not self._late.holds(_key(one), now)
        ]
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
            self._end(waiting, "")
            self._meter.notified(COMMIT_STATUS, "delivered")
            log.info("commit status set", state=waiting.mark.state.value, **told)
        elif result.lasting:
            self._refused(waiting, result.error)
        else:
            self._failed(waiting, result.error, result.wait)

    def _end(self, waiting: WaitingMark, error: str) -> None:
        now = self._now()
        self._late.write(
            [_key(waiting)],
            lambda: self._box.mark_ended(self.name, waiting, now=now, error=error),
            until=FOR_GOOD,
        )

    def _refused(self, waiting: WaitingMark, error: str) -> None:
        self._end(waiting, error)
        self._meter.notified(COMMIT_STATUS, "dropped")
        log.error("commit status refused", error=error, commit=waiting.mark.commit)

    def _failed(self, waiting: WaitingMark, error: str, asked: float) -> None:
        wait = max(asked, backoff(waiting.tries + self._late.tries(_key(waiting))))
        next_at = self._now() + wait
        if asked:
            self._quiet_until = next_at
        self._late.write(
            [_key(waiting)],
            lambda: self._box.mark_failed(
                self.name, waiting, error=error, next_at=next_at
            ),
            until=next_at,
        )
        self._meter.notified(COMMIT_STATUS, "failed")
        commit = waiting.mark.commit
        log.warning("commit status not set", error=error, commit=commit, again_in=wait)


def _key(waiting: WaitingMark) -> tuple[CommitId, int]:
    return waiting.mark.commit, waiting.version
