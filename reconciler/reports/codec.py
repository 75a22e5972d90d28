"""
Reports as JSON: written by a host, and read with care, since it may be broken into.

What is unknown is ignored, so that a newer host may say more.
"""

import functools
import json
import math
import re
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError

from reconciler.errors import PermanentError
from reconciler.model import HostName, HostStatus, Report, Verdict
from reconciler.printable import printable

LIMIT = 256 << 10
"""Bytes of the largest report; of what differs, as much is told as fits."""

VERSION = 1

LARGEST = 1 << 53
"""Beyond it not every whole number is the same to everybody who reads JSON."""


TEXT_LIMIT = 4096
"""Characters of one text that are kept."""

MANY = 100_000
"""More units or keys than any host has."""

END_OF_TIME = 1e11
"""Seconds; later than any clock."""

_COMMIT = re.compile("[0-9A-Za-z]{0,64}")
_OF_CENTRAL = frozenset({Verdict.NO_ADDRESS, Verdict.SILENT})


class ReportError(PermanentError):
    """A report cannot be read, or says what cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    version: int
    host: HostName
    report: Report


@functools.cache  # it takes some milliseconds, and most commands need none
def _form() -> TypeAdapter[_Told]:
    return TypeAdapter(_Told)


def encode(host: HostName, report: Report) -> bytes:
    """Return what is signed and sent; never more than LIMIT bytes."""
    told = _Told(version=VERSION, host=host, report=_bare(report))
    text = _form().dump_json(told)
    drifts = len(report.status.drifts)
    while len(text) > LIMIT and drifts:
        drifts //= 2
        text = _form().dump_json(replace(told, report=_cut(told.report, drifts)))
    return text


def decode(text: bytes) -> tuple[HostName, Report]:
    """Return who says what. Raises ReportError, which quotes nothing of it."""
    try:
        raw = json.loads(text, parse_constant=_no_number)
        told = _form().validate_python(_clean(raw))
    except (ValidationError, ValueError, RecursionError):
        message = "the report is not in a form that we know"
        raise ReportError(message) from None
    report = told.report
    if told.version != VERSION or report.status.host != told.host:
        message = "the report contradicts itself, or is of a newer version"
        raise ReportError(message)
    if not _can_be(report):
        message = "the report says what cannot be"
        raise ReportError(message)
    return told.host, _bare(report)


def _can_be(report: Report) -> bool:
    """Return whether a host can stand so, whatever it does."""
    status = report.status
    counts = (
        *(status.units_desired, status.units_active),
        *(status.keys_desired, status.keys_present),
    )
    times = (report.at, status.updated_at, status.drift_since or 0.0)
    systems = filter(None, (status.target, status.running))
    return (
        report.number > 0
        and report.every > 0
        and all(0 <= count <= MANY for count in counts)
        and all(0 <= time <= END_OF_TIME for time in times)
        and all(path.startswith("/nix/store/") for path in systems)
        and _COMMIT.fullmatch(status.commit) is not None
        and status.verdict not in _OF_CENTRAL
    )


def _bare(report: Report) -> Report:
    """Leave out what is an order there, and steps, of which a verdict tells enough."""
    status = replace(
        report.status, hold=None, quarantine=None, bell=None, report_at=None
    )
    attempt = report.attempt and replace(report.attempt, steps=())
    return replace(report, status=status, attempt=attempt)


def _cut(report: Report, drifts: int) -> Report:
    status: HostStatus = replace(report.status, drifts=report.status.drifts[:drifts])
    return replace(report, status=status)


def _clean(value: Any) -> Any:  # noqa: ANN401 -- what json.loads returns
    """Make text harmless, and refuse numbers that no time or count has."""
    match value:
        case str():
            return printable(value)[:TEXT_LIMIT]
        case bool() | None:
            return value
        case int() | float():
            if not math.isfinite(value) or abs(value) >= LARGEST:
                _no_number(str(value))
            return value
        case list():
            return [_clean(one) for one in value]
        case _:
            return {key: _clean(one) for key, one in value.items()}


def _no_number(text: str) -> NoReturn:
    message = f"{text} is no number"
    raise ValueError(message)
