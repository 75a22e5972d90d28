"""
A thread that tells a central reconciler how the machine that we run on stands.

It reads what a pass has recorded, when it is told that there is something new, and
nothing waits for it: a report that is not taken is made anew later.
"""

import threading
from collections.abc import Callable
from dataclasses import replace

import structlog

from reconciler import reports
from reconciler.errors import ReconcilerError, StoppingError
from reconciler.loop.queue import Backoff
from reconciler.model import HostName, HostStatus, Report
from reconciler.printable import printable
from reconciler.world import World

log = structlog.get_logger(__name__)

BACKOFF_BASE = 5.0
BACKOFF_CAP = 600.0  # seconds at most between two tries
SETTLE = 0.5  # seconds in which what follows on each other becomes one report

Key = tuple[HostStatus, str]  # what is told if it changes


class Reporter:
    """
    Reports, while the settings name a central reconciler.

    That it fails is logged once until it works again.
    """

    def __init__(self, world: World, problem: Callable[[], str]) -> None:
        """Take what there is; *problem* says why the daemon is not healthy."""
        self._world = world
        self._problem = problem
        self._chosen = world.settings.report
        self._host = HostName(world.settings.itself or "")
        self._wake = threading.Event()
        self._stopping = False
        self._number = 0
        self._told: Key | None = None
        self._due = self._not_before = 0.0  # by World.monotonic
        self._failing = False
        self._retry: Backoff[str] = Backoff(base=BACKOFF_BASE, cap=BACKOFF_CAP)
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def stop(self) -> None:
        """End; a report that is under way is not waited for."""
        self._stopping = True
        self._wake.set()

    def ring(self) -> None:
        """Look whether there is something new; any thread may call this."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            try:
                wait = self.turn()
            except StoppingError:
                return
            except Exception:
                log.exception("reporting failed in a way we do not know")
                wait = BACKOFF_CAP
            self._wake.wait(wait)
            self._wake.clear()
            self._world.stopping.wait(SETTLE)

    def turn(self) -> float:
        """Report if it is time; return the seconds until it may be again."""
        now = self._world.monotonic()
        if now < self._not_before:
            return self._not_before - now
        try:
            report = self._report()
            if report is None:
                return self._chosen.interval
            if _key(report) == self._told and now < self._due:
                return self._due - now
            if refusal := self._send(report):
                return self._again(refusal, now)
        except StoppingError:
            raise
        except (ReconcilerError, OSError) as error:
            return self._again(reports.Refusal(why=str(error)), now)
        self._told, self._due = _key(report), now + self._chosen.interval
        return self._worked()

    def _report(self) -> Report | None:
        """Return what there is to report; nothing before the first pass."""
        history = self._world.history
        with history.at_once():
            found = [one for one in history.statuses() if one.host == self._host]
            last = history.attempts(host=self._host, limit=1)
            unreadable = history.repository.problem()
        if not found:
            return None
        at = self._world.now()
        return Report(
            number=max(self._number + 1, int(at * 1000)),
            at=at,
            every=self._chosen.interval,
            status=_ailing(found[0], self._problem() or unreadable),
            attempt=last[0] if last else None,
        )

    def _send(self, report: Report) -> reports.Refusal | None:
        url = self._chosen.url or ""
        text = reports.encode(self._host, report)
        signature = reports.sign(text, self._chosen.key)
        self._number = report.number
        return reports.send(url, self._host, text, signature)

    def _again(self, refusal: reports.Refusal, now: float) -> float:
        wait = max(self._retry.failed(""), min(refusal.after or 0.0, BACKOFF_CAP))
        self._not_before = now + wait
        if not self._failing:
            why = printable(refusal.why)
            log.warning("cannot report", to=self._chosen.url, reason=why)
        self._failing = True
        return wait

    def _worked(self) -> float:
        self._retry.forget("")
        if self._failing:
            log.info("reports are taken again", by=self._chosen.url)
        self._failing = False
        return self._chosen.interval


def _ailing(status: HostStatus, problem: str) -> HostStatus:
    """Return *status* so that nobody takes it for well while we cannot know."""
    return replace(status, error=problem) if problem and status.in_sync else status


def _key(report: Report) -> Key:
    attempt = report.attempt
    ended = f"{attempt.id} {attempt.outcome}" if attempt else ""
    return replace(report.status, updated_at=0.0), ended
