"""Health checks that are tried on the host: a script, and what it answers."""

import functools
import re
import shlex
from collections.abc import Iterable, Sequence
from importlib import resources

from reconciler.errors import FactError
from reconciler.model import CheckKind, CheckResult, HealthCheck
from reconciler.observed.quoting import quoted
from reconciler.remote import HostReader

MARGIN = 2.5
"""Seconds of a deadline in which nothing is tried: for the way, and for SIGKILL."""

END = "== end"

_LINE = re.compile(r"(\d{1,6}) (\d{1,9}) (.*)", re.ASCII)
_HERE = "localhost"

Numbered = Sequence[tuple[int, HealthCheck]]


def run(
    reader: HostReader, checks: Numbered, *, deadline: float
) -> dict[int, CheckResult]:
    """
    Try *checks* on the host, all in one round trip of at most *deadline* seconds.

    Raises FactError if the answer is not understood, and what the reader raises.
    """
    text = reader.read(
        script(checks, deadline=deadline), what="health checks", deadline=deadline
    )
    try:
        return parse(text, checks)
    except ValueError as error:
        message = f"{reader.host}: the answer of health checks: {error}"
        raise FactError(message) from error


def script(checks: Numbered, *, deadline: float) -> str:
    """Return the sh script that tries *checks* within *deadline* seconds."""
    most = max(deadline - MARGIN, deadline / 2)
    calls = (_call(number, check, most) for number, check in checks)
    return "\n".join([_body(), *calls, "finish", ""])


def parse(text: str, checks: Numbered) -> dict[int, CheckResult]:
    """Read the answer to ``script``; raises ValueError."""
    names = {number: check.name for number, check in checks}
    lines = [line for line in text.split("\n") if line]
    if not lines or lines.pop() != END:
        message = "it was cut off"
        raise ValueError(message)
    found = dict(_read(line, names) for line in lines)
    if found.keys() != names.keys():
        message = f"it tells of {len(found)} checks out of {len(names)}"
        raise ValueError(message)
    return found


def _read(line: str, names: dict[int, str]) -> tuple[int, CheckResult]:
    match = _LINE.fullmatch(line)
    if match is None or int(match[1]) not in names:
        message = "a line has another form"
        raise ValueError(message)
    number, problem = int(match[1]), quoted(match[3])
    return number, CheckResult(
        name=names[number],
        passed=not problem,
        seconds=int(match[2]) / 100,
        problem=problem,
    )


@functools.cache
def _body() -> str:
    package = resources.files("reconciler.observed")
    return package.joinpath("checks.sh").read_text(encoding="utf-8")


def _call(number: int, check: HealthCheck, most: float) -> str:
    within = min(check.within, most)
    times = (check.period, check.timeout or within, within)
    words = [str(number), *(str(max(1, round(time * 100))) for time in times)]
    return shlex.join(["check", *words, check.kind.value, *_asked(check)]) + " &"


def _asked(check: HealthCheck) -> Iterable[str]:
    match check.kind:
        case CheckKind.COMMAND:
            return check.command
        case CheckKind.TCP:
            return check.host or _HERE, str(check.port)
        case CheckKind.HTTP:
            return " ".join(map(str, check.status)), _curl_config(check)


def _curl_config(check: HealthCheck) -> str:
    """Return what curl is to do: one request, to exactly that place."""
    host = check.host or _HERE
    place = f"[{host}]" if ":" in host else host
    options = {
        "url": [f"{check.scheme}://{place}:{check.port}{check.path}"],
        "header": [f"{name}: {value}" for name, value in sorted(check.headers.items())],
        "user-agent": ["reconciler"],
        "output": ["/dev/null"],
        "write-out": ["%{http_code}"],
        "noproxy": ["*"],
    }
    flags = [
        "silent",
        "show-error",
        "globoff",
        *(["insecure"] if check.insecure else []),
    ]
    lines = [
        f'{name} = "{_escaped(value)}"'
        for name, values in options.items()
        for value in values
    ]
    return "\n".join([*flags, *lines])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
