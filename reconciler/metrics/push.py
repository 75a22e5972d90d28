"""Pushes all metrics to a Pushgateway now and then, where nobody can scrape them."""

import platform
import threading
from pathlib import Path

import structlog

from reconciler import process
from reconciler.errors import CommandError, CommandTimeoutError, ReconcilerError
from reconciler.metrics.recorder import Metrics
from reconciler.metrics.results import Pushed
from reconciler.printable import printable
from reconciler.settings import PushSettings
from reconciler.settings.named_files import read_secret

log = structlog.get_logger(__name__)

DEADLINE = 30.0
"""Seconds for one push."""

GATEWAY = Path(__file__).with_name("gateway.py")


class Pusher:
    """
    Pushes in a thread of its own, which nothing waits for.

    That it fails is logged once until it works again, and counted each time.
    """

    def __init__(self, settings: PushSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._stopping = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="push", daemon=True)

    def start(self) -> None:
        """Begin to push."""
        self._thread.start()

    def stop(self) -> None:
        """End; a push that is under way is not waited for."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                problem = self._push()
            except Exception:
                log.exception("pushing metrics failed in a way we do not know")
                problem = "a bug"
            if not self._stopping.is_set():
                self._tell(problem)
            self._stopping.wait(self._settings.interval)

    def _push(self) -> str:
        """Push once; return what went wrong."""
        chosen = self._settings
        file = chosen.secret_file
        try:
            job = {
                "url": chosen.url,
                "job": chosen.job,
                "instance": chosen.instance or platform.node(),
                "user": chosen.user,
                "secret": read_secret(file) if file else "",  # anew: it may change
                "text": self._metrics.render()[0].decode(),
            }
            error: str = process.run_script(GATEWAY, job, deadline=DEADLINE)["error"]
        except CommandTimeoutError:
            return f"no answer within {DEADLINE:g} s"
        except CommandError as ended:
            # Its last words may hold anything.
            return f"the process that pushes ended with status {ended.status}"
        except ReconcilerError as problem:
            return str(problem)
        return error

    def _tell(self, problem: str) -> None:
        self._metrics.pushed(Pushed.FAILED if problem else Pushed.DELIVERED)
        url = self._settings.url
        if problem and not self._failing:
            log.warning("cannot push metrics", to=url, reason=printable(problem))
        elif self._failing and not problem:
            log.info("metrics are pushed again", to=url)
        self._failing = bool(problem)
