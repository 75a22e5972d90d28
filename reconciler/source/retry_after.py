"""
How long a forge asks us to wait, which git knows and does not tell.

Of an answer 429 or 503, git prints the number at most; its ``Retry-After`` can be had
from git's trace of HTTP headers only. The trace goes to a file that only we can read,
in memory where there is such a place, since headers that somebody configured
(``http.extraHeader``) may hold a token; it is removed at once.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

LONGEST = 3600.0
"""Seconds that we let ourselves be sent away for."""

_MEMORY = Path("/dev/shm")  # noqa: S108 -- with a name of its own, and mode 0600
_TAIL = 65536  # bytes of the trace that are read; answers come last
_HEADER = re.compile(r"<= Recv header: ?(.*?)\s*$", re.MULTILINE)
_STATUS = re.compile(r"HTTP/[\d.]+ (\d{3})")
_LATER = {"429", "503"}


class Trace:
    """A trace of the HTTP headers of one run of git."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @property
    def env(self) -> Mapping[str, str]:
        """What makes git write the trace."""
        if self._file is None:
            return {}
        return {"GIT_TRACE_CURL": str(self._file), "GIT_TRACE_CURL_NO_DATA": "1"}

    def retry_after(self) -> float | None:
        """Return the seconds that the last answer asked us to wait, if it did."""
        if self._file is None:
            return None
        with contextlib.suppress(OSError), self._file.open("rb") as file:
            file.seek(max(0, self._file.stat().st_size - _TAIL))
            return parse(file.read().decode("latin-1"))
        return None


@contextlib.contextmanager
def traced(url: str) -> Iterator[Trace]:
    """Give a trace for git's talk with *url*; an empty one where that is not HTTP."""
    # Whoever traces git already wants to see it.
    if not url.lower().startswith(("http://", "https://")) or (
        "GIT_TRACE_CURL" in os.environ
    ):
        yield Trace(None)
        return
    folder = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    try:
        number, name = tempfile.mkstemp(prefix="reconciler-", dir=folder)
    except OSError:  # no room for a trace: do without
        yield Trace(None)
        return
    os.close(number)
    try:
        yield Trace(Path(name))
    finally:
        Path(name).unlink(missing_ok=True)


def parse(trace: str) -> float | None:
    """Return what the last answer in git's *trace* asks for, in seconds."""
    status, headers = "", dict[str, str]()
    for line in _HEADER.findall(trace):
        if begun := _STATUS.match(line):
            status, headers = begun[1], {}
            continue
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return asked(status, headers)


def asked(status: str, headers: Mapping[str, str]) -> float | None:
    """Return what an answer with these *headers*, in small letters, asks for."""
    if status not in _LATER or "retry-after" not in headers:
        return None
    return _seconds(headers["retry-after"], headers.get("date", ""))


def _seconds(value: str, date: str) -> float | None:
    """Return the seconds in *value*, or from *date*, by the same clock, until then."""
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), LONGEST)
    then, now = _time(value), _time(date)
    if then is None or now is None:
        return None
    return min(max(0.0, (then - now).total_seconds()), LONGEST)


def _time(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None
