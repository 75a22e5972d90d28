"""
Reports as JSON: written by a host, and read with care, since it may be broken into.

What is unknown is ignored, so that a newer host may say more.
"""

import json
import math
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError

from reconciler.errors import PermanentError
from reconciler.model import HostName, HostStatus, Report
from reconciler.printable import printable

LIMIT = 256 << 10
"""Bytes of the largest report; of what differs, as much is told as fits."""

VERSION = 1

LARGEST = 1 << 53
"""Beyond it not every whole number is the same to everybody who reads JSON."""


class ReportError(PermanentError):
    """A report cannot be read, or says what cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    version: int
    host: HostName
    report: Report


_FORM = TypeAdapter(_Told)


def encode(host: HostName, report: Report) -> bytes:
    """Return what is signed and sent; never more than LIMIT bytes."""
    told = _Told(version=VERSION, host=host, report=_bare(report))
    text = _FORM.dump_json(told)
    drifts = len(report.status.drifts)
    while len(text) > LIMIT and drifts:
        drifts //= 2
        text = _FORM.dump_json(replace(told, report=_cut(told.report, drifts)))
    return text


def decode(text: bytes) -> tuple[HostName, Report]:
    """Return who says what. Raises ReportError, which quotes nothing of it."""
    try:
        raw = json.loads(text, parse_constant=_no_number)
        told = _FORM.validate_python(_clean(raw))
    except (ValidationError, ValueError, RecursionError):
        message = "the report is not in a form that we know"
        raise ReportError(message) from None
    report = told.report
    if told.version != VERSION or report.status.host != told.host:
        message = "the report contradicts itself, or is of a newer version"
        raise ReportError(message)
    if not (0 < report.number < LARGEST and report.every > 0):
        message = "the report has a number or an interval that cannot be"
        raise ReportError(message)
    return told.host, _bare(report)


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
            return printable(value).replace("\x00", "")
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
