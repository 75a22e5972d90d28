"""One report: whether it is of the host that it names, of now, and a later one."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import structlog

from reconciler.errors import ReconcilerError, StateError
from reconciler.history import History, KeptReport
from reconciler.model import Attempt, HostName, Report
from reconciler.printable import on_one_line
from reconciler.reports import ReportError, decode, flaw, keys_of
from reconciler.settings import Settings
from reconciler.web.limiter import Limiter
from reconciler.web.sparse import Sparse

log = structlog.get_logger(__name__)

CLOCKS = 300.0
"""Seconds that the clock of a host may differ from ours, and a report be on its way."""

SIGNATURE_LIMIT = 8 << 10
"""Bytes of a signature, in Base64."""

REPORTED = "reported"
"""The kind of event."""

_TOLD = 200  # characters of a message that an event quotes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a report."""

    status: HTTPStatus
    detail: str = ""
    retry_after: float | None = None  # seconds

    @property
    def is_good(self) -> bool:
        """Whether it was taken."""
        return self.status is HTTPStatus.NO_CONTENT


# One answer for whoever has no key: what is wrong would help those who guess. Names of
# hosts are no secret here, since metrics have them.
UNKNOWN = Answer(
    status=HTTPStatus.FORBIDDEN,
    detail="no host of this name reports here, or it has not signed this",
)


class Reception:
    """Takes reports; any thread may call any method."""

    def __init__(
        self,
        *,
        settings: Callable[[], Settings],
        known_hosts: Path,
        history: History,
        heard: Callable[[HostName], None],
        limiter: Limiter,
        now: Callable[[], float],
    ) -> None:
        """*heard* is told whose report was taken."""
        self._settings = settings
        self._known_hosts = known_hosts
        self._history = history
        self._heard = heard
        self._now = now
        self._sparse = Sparse(now)
        self.limiter = limiter

    def expects(self, host: HostName) -> bool:
        """Say whether *host* may report at all; so nothing is read of others."""
        chosen = self._settings().hosts.get(host)
        return chosen is not None and chosen.is_pulling

    def take(self, host: HostName, body: bytes, signature: bytes) -> Answer:
        """Take a report, if it is what it says; it waits for a command."""
        try:
            answer = self._take(host, body, signature)
        except (ReconcilerError, OSError) as error:
            log.warning("cannot judge a report", host=host, error=str(error))
            again = HTTPStatus.SERVICE_UNAVAILABLE
            busy = isinstance(error, StateError)
            told = "the database cannot be used" if busy else "it cannot be judged now"
            return Answer(status=again, detail=told, retry_after=30.0)
        if not answer.is_good and self._sparse.due((host, answer.status)):
            log.warning("report refused", host=host, why=answer.detail)
        return answer

    def _take(self, host: HostName, body: bytes, signature: bytes) -> Answer:
        keys = keys_of(self._settings(), self._known_hosts, host)
        text = _decoded(signature)
        if not keys or not text or flaw(body, text, keys):
            return UNKNOWN
        try:
            name, report = decode(body)
        except ReportError as error:
            return Answer(status=HTTPStatus.BAD_REQUEST, detail=str(error))
        if name != host:  # two hosts may have one key
            return UNKNOWN
        now = self._now()
        if wrong := _clock(report, now):
            return Answer(status=HTTPStatus.UNPROCESSABLE_ENTITY, detail=wrong)
        return self._keep(host, report, body, now)

    def _keep(self, host: HostName, report: Report, body: bytes, now: float) -> Answer:
        before = self._history.reports.last(host)
        kept = KeptReport(number=report.number, at=now, text=body.decode())
        if not self._history.reports.take(host, kept):
            detail = "a later report was taken before this one"
            return Answer(status=HTTPStatus.CONFLICT, detail=detail)
        self._note(host, before, report.attempt)
        self._heard(host)
        return Answer(status=HTTPStatus.NO_CONTENT)

    def _note(
        self, host: HostName, before: KeptReport | None, attempt: Attempt | None
    ) -> None:
        """Write down a deployment that has ended since the report *before*."""
        if attempt is None or attempt.outcome is None or _has(before, attempt):
            return
        text = f"{attempt.verdict.value} {attempt.commit[:8]}: {attempt.outcome.value}"
        if attempt.message:
            text = f"{text}; {on_one_line(attempt.message)[:_TOLD]}"
        self._history.event(now=self._now(), kind=REPORTED, host=host, text=text)


def _has(kept: KeptReport | None, attempt: Attempt) -> bool:
    """Return whether *kept* told the same end of *attempt*."""
    if kept is None:
        return False
    try:
        _, report = decode(kept.text.encode())
    except ReportError:
        return False
    last = report.attempt
    return last is not None and (last.id, last.outcome) == (attempt.id, attempt.outcome)


def _decoded(signature: bytes) -> str:
    """Return the signature as ssh-keygen has it; empty if it is none."""
    if len(signature) > SIGNATURE_LIMIT:
        return ""
    try:
        return base64.b64decode(signature, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _clock(report: Report, now: float) -> str:
    """Return what is wrong with the time of a report, if anything is."""
    times = (report.at, report.number / 1000)
    off = max((at - now for at in times), key=abs)
    if abs(off) <= CLOCKS:
        return ""
    which = "ahead of" if off > 0 else "behind"
    return (
        f"the clock of the host is {abs(off):.0f} s {which} ours, or the report was so"
        f" long on its way: set the clock; {CLOCKS:.0f} s are borne"
    )
