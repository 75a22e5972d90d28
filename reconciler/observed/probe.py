"""One round trip to a host, and what it says of itself."""

import functools
import re
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from importlib import resources

from reconciler.errors import FactError
from reconciler.model import (
    DesiredSecret,
    HostName,
    Managed,
    Observed,
    StorePath,
    SystemParts,
    UnitName,
    is_unit_name,
)
from reconciler.observed.answer import Answer, AnswerError, read_answer
from reconciler.observed.keys import (
    is_key_path,
    read_keys,
    read_left_behind,
    read_secrets,
)
from reconciler.observed.units import read_units
from reconciler.remote import HostReader, system_manager

RUNNING = "/run/current-system"
BOOTED = "/run/booted-system"
PROFILE = "/nix/var/nix/profiles/system"
BROUGHT = "/nix/var/nix/gcroots/reconciler"
_FREE = re.compile(r"(\d{1,19}) (\d{1,19})", re.ASCII)
_MOST_BYTES = (1 << 63) - 1
_LATEST = 253_402_300_800.0  # the year 10000, in seconds since 1970
_MANAGED_LINK = "/run/system-manager"
_SHORT = 200  # characters

SYSTEMCTL_SHARE = 0.8
"""Of the deadline: tells a systemd that hangs from a host that does."""

DEADLINE = 30.0  # seconds
UNIT_SECONDS = 0.06
"""Of a slow machine: 3,000 units took it longer than 24 s."""


def deadline_for(units: int) -> float:
    """Return how long a probe of a host may take that is asked about so many units."""
    return max(DEADLINE, units * UNIT_SECONDS)


DRIVER_LIMIT = 300  # characters of the note that says who drives the host


def probe(
    reader: HostReader,
    units: Iterable[UnitName],
    *,
    keys: Iterable[str] = (),
    secrets: Iterable[DesiredSecret] = (),
    now: float,
    deadline: float = DEADLINE,
) -> Observed:
    """
    Ask a host what it is and how *units* are; also about every loaded service.

    *keys* are paths on the host: those of the declared keys, and of those that were
    delivered before; *secrets* is what it decrypts itself. *now* is our clock,
    *deadline* in seconds. Raises FactError if the answer is not understood, and
    whatever the reader raises.
    """
    asked, paths = tuple(dict.fromkeys(units)), tuple(dict.fromkeys(keys))
    own = tuple(secrets)
    words = script(asked, paths, own, deadline=deadline)
    text = reader.read(words, what="probe", deadline=deadline)
    return parse(text, host=reader.host, asked=asked, keys=paths, now=now, secrets=own)


def script(
    asked: Iterable[UnitName],
    keys: Iterable[str] = (),
    secrets: Collection[DesiredSecret] = (),
    *,
    deadline: float,
) -> str:
    """Return the sh script that asks about units, and paths of keys and secrets."""
    names = shlex.join(name for name in asked if is_unit_name(name))
    paths, own, renewed = (
        shlex.quote(shlex.join(dict.fromkeys(filter(is_key_path, some))))
        for some in (
            keys,
            (secret.path for secret in secrets),
            (secret.renewed for secret in secrets),
        )
    )
    limit = f"limit={deadline * SYSTEMCTL_SHARE:.3f}"
    own = f"secrets={own}\nrenewed={renewed}"
    before = f"{limit}\nkeys={paths}\nset -- {names}\n{own}"
    return f"{before}\n{system_manager.functions()}\n{_body()}"


@functools.cache
def _body() -> str:
    package = resources.files("reconciler.observed")
    return package.joinpath("probe.sh").read_text(encoding="utf-8")


def parse(
    text: str,
    *,
    host: HostName,
    asked: Iterable[UnitName],
    keys: Iterable[str] = (),
    now: float,
    secrets: Collection[DesiredSecret] = (),
) -> Observed:
    """Read the answer to ``script``; raises FactError."""
    try:
        answer = read_answer(text)
        _check_systemctl(answer.fields, host)
        observed = _observed(answer, host, asked, now)
        return replace(
            observed,
            keys=read_keys(answer, keys),
            secrets=read_secrets(answer, (secret.path for secret in secrets)),
            left_behind=read_left_behind(answer, RUNNING),
        )
    except AnswerError as error:
        message = f"{host}: the answer to the probe is not understood: {error}"
        raise FactError(message) from error


def _observed(
    answer: Answer, host: HostName, asked: Iterable[UnitName], now: float
) -> Observed:
    fields = answer.fields
    clock = _decimal(fields, "clock")
    booted_at = clock - _decimal(fields, "uptime")
    return Observed(
        host=host,
        began_at=now,
        running=_running(answer),
        booted=_store_path(answer, BOOTED),
        profile=_store_path(answer, PROFILE),
        boot_id=_required(fields, "boot_id"),
        machine_id=_identifier(fields, "machine_id"),
        running_parts=_parts(answer, RUNNING),
        booted_parts=_parts(answer, BOOTED),
        units=read_units(answer, asked, booted_at=booted_at),
        store_free=_store_free(fields),
        clock=clock,
        switching=fields.get("switching") == "yes",
        driver=fields.get("driver", "")[:DRIVER_LIMIT],
        specialisation=_identifier(fields, "specialisation"),
        brought=_store_path(answer, BROUGHT),
        brought_specialisation=_identifier(fields, "brought_specialisation"),
        is_nixos=fields.get("nixos") == "yes",
        managed=Managed(
            running=_path_in(fields, "managed_running"),
            profile=_path_in(fields, "managed_profile"),
        ),
    )


def _check_systemctl(fields: Mapping[str, str], host: HostName) -> None:
    """Tell a systemd that does not answer from an answer that we do not understand."""
    status = _required(fields, "systemctl")
    if status == "0":
        return
    late = status in {"124", "137"}  # of timeout(1), after SIGTERM and SIGKILL
    told = f"exited with {status}"
    if late:
        told = f"did not end in time ({fields.get('limit', '?')} s): a host that is"
        told += " very busy, or a systemd that hangs; `systemctl list-jobs` there tells"
    message = f"{host}: systemd does not say how its units are: systemctl show {told}"
    raise FactError(message)


def _running(answer: Answer) -> StorePath | None:
    """Return the NixOS that runs; system-manager sets such a link to no system."""
    found = _store_path(answer, RUNNING)
    return None if found == _MANAGED_LINK else found


def _store_path(answer: Answer, link: str) -> StorePath | None:
    found = answer.resolved.get(link)
    return StorePath(found) if found else None


def _path_in(fields: Mapping[str, str], name: str) -> StorePath | None:
    found = _identifier(fields, name)
    return StorePath(found) if found else None


def _parts(answer: Answer, system: str) -> SystemParts:
    """Return what the parts resolve to; those that a system lacks are empty."""
    get = answer.resolved.get
    return SystemParts(
        kernel=get(f"{system}/kernel", ""),
        initrd=get(f"{system}/initrd", ""),
        modules=get(f"{system}/kernel-modules", ""),
        systemd=get(f"{system}/systemd", ""),
    )


def _store_free(fields: Mapping[str, str]) -> int:
    """Return free blocks times block size; 0 where there is no store."""
    text = fields.get("store_free", "").strip()
    if not text:
        return 0
    if (match := _FREE.fullmatch(text)) is None:
        message = f"store_free is {_shown(text)}"
        raise AnswerError(message)
    return min(int(match[1]) * int(match[2]), _MOST_BYTES)


def _decimal(fields: Mapping[str, str], name: str) -> float:
    """Return the first number of a field; busybox prints ``1700000000.%N``."""
    text = _required(fields, name).split()[0].removesuffix(".%N")
    try:
        value = float(text)
    except ValueError as error:
        message = f"{name} is {_shown(text)}"
        raise AnswerError(message) from error
    if not 0 <= value <= _LATEST:
        message = f"{name} is {_shown(text)}"
        raise AnswerError(message)
    return value


def _required(fields: Mapping[str, str], name: str) -> str:
    if value := _identifier(fields, name):
        return value
    message = f"it has no {name}"
    raise AnswerError(message)


def _identifier(fields: Mapping[str, str], name: str) -> str:
    """Return a field that is short: it is remembered for longer than the look."""
    value = fields.get(name, "").strip()
    if len(value) > _SHORT:
        message = f"{name} is {_shown(value)}"
        raise AnswerError(message)
    return value


def _shown(text: str) -> str:
    return repr(text[:_SHORT])
