"""
Health checks as Nix declares them: from facts to values, or to an error that names one.

What is wrong here is wrong in the configuration, so that the whole host fails to
evaluate, as with any other option.
"""

import ipaddress
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from reconciler.errors import EvaluationError
from reconciler.model import CheckKind, CheckSide, HealthCheck, HostName

SHORTEST = 0.1  # seconds
LONGEST = 3600.0  # seconds
NAME_LIMIT = 100
"""Characters of the name of a check."""

_HIGHEST_PORT = 65535
_ANSWERS = range(100, 600)
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?", re.ASCII)
_PATH = re.compile(r"/[!-~]*", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_HEADER_VALUE = re.compile(r"[ -~\t]*", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_NO_WORD = re.compile("[\0\ud800-\udfff]")

Json = Mapping[str, Any]


def desired_checks(host: HostName, facts: Json) -> tuple[HealthCheck, ...]:
    """
    Return the checks that *facts* (``nix/facts.nix``) tell of *host*, in their order.

    Raises EvaluationError that names the option, the check's place and its description.
    """
    return tuple(
        _named(host, kind, place, fact)
        for kind in CheckKind
        for place, fact in enumerate(facts[kind.value], start=1)
    )


def checks_from_json(fields: Sequence[Json]) -> tuple[HealthCheck, ...]:
    """Return the checks in a cached evaluation; TypeError, KeyError or ValueError."""
    return tuple(
        HealthCheck(
            **{
                **check,
                "kind": CheckKind(check["kind"]),
                "side": CheckSide(check["side"]),
                "status": tuple(check["status"]),
                "command": tuple(check["command"]),
            }
        )
        for check in fields
    )


def _named(host: HostName, kind: CheckKind, place: int, fact: Json) -> HealthCheck:
    try:
        return _check(kind, fact)
    except ValueError as error:
        what = f"number {place}"
        if fact["description"]:
            what = f"{what}, {_shown(fact['description'])}"
        message = f"deployment.healthChecks.{kind.value} ({what}): {error}"
        raise EvaluationError(message, host=host) from error


def _check(kind: CheckKind, fact: Json) -> HealthCheck:
    fields: dict[str, Any] = {
        "period": _seconds("period", fact, least=SHORTEST),
        "timeout": _seconds("timeout", fact, least=0),
        "within": _seconds("within", fact, least=SHORTEST),
    }
    match kind:
        case CheckKind.COMMAND:
            fields |= {"command": _command(fact["command"])}
        case CheckKind.TCP:
            fields |= _address(fact)
        case CheckKind.HTTP:
            fields |= {**_address(fact), **_request(fact)}
    text = fact["description"].strip() or _title(kind, fields)
    name = _CONTROL.sub(" ", text)[:NAME_LIMIT]
    return HealthCheck(kind=kind, side=CheckSide(fact["from"]), name=name, **fields)


def _seconds(option: str, fact: Json, *, least: float) -> float:
    value = float(fact[option])
    if not (math.isfinite(value) and least <= value <= LONGEST):
        _refuse(option, f"is {value:g}, not {least:g} to {LONGEST:g} seconds")
    return value


def _address(fact: Json) -> Json:
    host, port = fact["host"] or "", fact["port"]
    if not 1 <= port <= _HIGHEST_PORT:
        _refuse("port", f"{port} is not 1 to {_HIGHEST_PORT}")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if host and not (_is_ipv6(bare) or _HOST.fullmatch(host)):
        _refuse("host", f"{_shown(host)} is no name and no address")
    return {"host": bare, "port": port}


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.IPv6Address(text).scope_id is None
    except ValueError:
        return False


def _request(fact: Json) -> Json:
    path, headers, status = fact["path"], fact["headers"], fact["status"]
    if not _PATH.fullmatch(path):
        _refuse(
            "path",
            f"{_shown(path)} must begin with a slash and hold neither spaces nor"
            " other than ASCII characters: write those as %20 and the like",
        )
    for name, value in sorted(headers.items()):
        if not _HEADER.fullmatch(name):
            _refuse("headers", f"{_shown(name)} is no name of a header")
        if not _HEADER_VALUE.fullmatch(value):
            _refuse("headers", f"{name} holds other than ASCII characters")
    for code in status:
        if code not in _ANSWERS:
            _refuse("status", f"{code} is not 100 to 599")
    return {
        "scheme": fact["scheme"],
        "path": path,
        "headers": headers,
        "insecure": fact["insecureSSL"],
        "status": tuple(sorted(set(status))),
    }


def _command(words: Sequence[str]) -> tuple[str, ...]:
    if not words or not words[0]:
        _refuse("command", "is empty")
    if any(_NO_WORD.search(word) for word in words):
        _refuse("command", "holds a NUL byte or half a character")
    return tuple(words)


def _title(kind: CheckKind, fields: Json) -> str:
    """Return the name of a check that has no description."""
    if kind is CheckKind.COMMAND:
        program, *arguments = fields["command"]
        return " ".join(["command", program.rpartition("/")[2] or program, *arguments])
    host = fields["host"]
    place = f"[{host}]" if ":" in host else host
    if kind is CheckKind.TCP:
        return f"tcp {place}:{fields['port']}" if host else f"tcp port {fields['port']}"
    return f"{fields['scheme']} {place}:{fields['port']}{fields['path']}"


def _refuse(option: str, problem: str) -> NoReturn:
    message = f"{option} {problem}"
    raise ValueError(message)


def _shown(text: str) -> str:
    """Return *text* in quotes, one line, its beginning if long."""
    return repr(text[:80])
