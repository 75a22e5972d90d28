"""Health checks that are tried from the reconciler's own machine."""

from __future__ import annotations

import re
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler import process
from reconciler.errors import (
    CommandError,
    CommandMissingError,
    CommandTimeoutError,
    PermanentError,
)
from reconciler.model import CheckKind, CheckResult, HealthCheck
from reconciler.observed.deadlines import Cut, connect
from reconciler.observed.quoting import quoted
from reconciler.process.cage import MEMORY

if TYPE_CHECKING:
    import threading

    from reconciler.process import Cage

GOOD = range(200, 400)

_ERRNO = re.compile(r"^\[Errno -?\d+\] ")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a command runs."""

    folder: Path | None
    cage: Cage | None


class _LateError(Exception):
    """A try did not end in time."""


def run(
    check: HealthCheck,
    address: str,
    *,
    seconds: float,
    folder: Path | None,
    over: threading.Event,
    cage: Cage | None = None,
) -> CheckResult:
    """
    Try *check* for *seconds*, or until *over*, and return how it ended.

    *address* is the host's, for checks that name none. A command runs in *folder*, and
    in *cage*.
    Raises StoppingError.
    """
    began = time.monotonic()
    ends = began + seconds
    problem = ""
    while True:
        tried = time.monotonic()
        left = max(0.01, ends - tried)
        patience = min(check.timeout or left, left)
        try:
            problem = _try(check, check.host or address, patience, _Place(folder, cage))
        except _LateError as error:
            # A try that was cut short knows less than one that was not.
            cut_short = patience < (check.timeout or seconds)
            problem = (cut_short and problem) or str(error)
        now = time.monotonic()
        next_try = max(now, tried + check.period)
        if not problem or next_try >= ends or over.wait(next_try - now):
            return CheckResult(
                name=check.name,
                passed=not problem,
                seconds=now - began,
                problem=quoted(problem),
            )


def _try(check: HealthCheck, host: str, seconds: float, place: _Place) -> str:
    """Try it once; return what is wrong, or nothing. Raises _LateError."""
    match check.kind:
        case CheckKind.COMMAND:
            return _command(check, seconds, place)
        case CheckKind.TCP:
            return _tcp(check, host, seconds)
        case CheckKind.HTTP:
            return _http(check, host, seconds)


def _tcp(check: HealthCheck, host: str, seconds: float) -> str:
    try:
        connect(host, check.port, seconds).close()
    except TimeoutError as error:
        message = f"no connection within {seconds:.2f} s"
        raise _LateError(message) from error
    except (OSError, UnicodeError) as error:
        return f"no connection: {_reason(error)}"
    return ""


def _command(check: HealthCheck, seconds: float, place: _Place) -> str:
    argv = check.command
    if place.cage:
        argv = place.cage.around(argv, folder=place.folder or Path("/"))
    try:
        done = process.run(
            argv, deadline=seconds, cwd=place.folder, check=False, memory=MEMORY
        )
    except CommandTimeoutError as error:
        message = f"did not end within {seconds:.2f} s: {error.stderr}"
        raise _LateError(message) from error
    except (CommandError, CommandMissingError, PermanentError) as error:
        return str(error)
    if not done.status:
        return ""
    said = quoted(f"{done.stdout}\n{done.stderr}", 250)
    if done.status < 0:
        return f"was ended by signal {-done.status}: {said}"
    return f"exited with status {done.status}: {said}"


def _http(check: HealthCheck, host: str, seconds: float) -> str:
    """
    Ask once: no redirect is followed, no proxy asked, no body read.

    The limits of httpx hold for each read, and somebody who sends a byte at a time, or
    a 103 after another, never runs into one: at the end the connection is cut.
    """
    import httpx  # noqa: PLC0415 # large: only where somebody declared such a check

    place = f"[{host}]" if ":" in host else host
    url = f"{check.scheme}://{place}:{check.port}{check.path}"
    headers = {"User-Agent": "reconciler", **check.headers}
    late = f"no answer within {seconds:.2f} s"
    with Cut(seconds) as cut:
        try:
            with (
                httpx.Client(
                    verify=_trust(check), timeout=seconds, trust_env=False
                ) as client,
                client.stream(
                    "GET", url, headers=headers, extensions={"trace": cut.trace}
                ) as answer,
            ):
                return _judge(check, answer.status_code)
        except httpx.TimeoutException as error:
            raise _LateError(late) from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            if cut.over:
                raise _LateError(late) from error
            return f"no answer: {_reason(error)}"


def _judge(check: HealthCheck, status: int) -> str:
    if status in (check.status or GOOD):
        return ""
    wanted = " ".join(map(str, check.status)) or "200 to 399"
    return f"answered {status}, not {wanted}"


def _trust(check: HealthCheck) -> ssl.SSLContext:
    """Return which certificates are good; reading the machine's takes a while."""
    if check.scheme == "https" and not check.insecure:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return _ERRNO.sub("", text)
