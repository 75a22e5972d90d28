"""What a host stands on, asked for in one round trip before its first deployment."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from importlib import resources

from reconciler.errors import FactError
from reconciler.model import Account, Ground, HostName, Mount
from reconciler.model.programs import loader_of
from reconciler.model.public_keys import fingerprints
from reconciler.remote import HostReader

DEADLINE = 30.0  # seconds

_END = "end"
_WORDS = 2  # before a text: what it is, and whose
_FIELDS = 4  # of a line of fstab(5)
_HOST_KEY = re.compile(r"^[ \t]*HostKey[ \t]+(\S+)", re.MULTILINE | re.IGNORECASE)
_STATE_VERSION = re.compile(
    r'^[ \t]*(?:system\.)?stateVersion[ \t]*=[ \t]*"([^"\n]*)"', re.MULTILINE
)
# The wrapper of switch-to-configuration in Rust; and in Perl, newer and older ones.
_LOADER = (
    re.compile(r"INSTALL_BOOTLOADER='?([^'\n]*)"),
    re.compile(r"<<'EOFBOOTLOADER';\n([^\n]*)"),
    re.compile(r'system\("(/nix/store/[^"\n]*)"\)'),
)

Facts = Mapping[tuple[str, ...], str]
"""Texts, by what they are, and whose."""


def ground(reader: HostReader) -> Ground:
    """
    Return what a host stands on.

    Raises FactError if the answer is not understood, and whatever the reader raises.
    """
    script = resources.files(__package__).joinpath("ground.sh").read_text("utf-8")
    text = reader.read(script, what="users, file systems", deadline=DEADLINE)
    return parse(text, host=reader.host)


def parse(text: str, *, host: HostName) -> Ground:
    """Read the answer of the script. Raises FactError."""
    lines = text.splitlines()
    if lines[-1:] != [_END]:
        message = f"{host}: the answer about users and file systems was cut off"
        raise FactError(message)
    try:
        facts = dict(_fact(line) for line in lines[:-1])
    except (ValueError, binascii.Error) as error:
        message = f"{host}: the answer about users and file systems: {error}"
        raise FactError(message) from error
    fstab = facts.get(("fstab",))
    return Ground(
        accounts=tuple(_accounts(facts)),
        mounts=None if fstab is None else tuple(_mounts(fstab)),
        loader=_loader(facts.get(("switch",), "")),
        host_keys=tuple(_HOST_KEY.findall(facts.get(("sshd",), ""))),
        state_version=_state_version(facts.get(("configuration",), "")),
    )


def _fact(line: str) -> tuple[tuple[str, ...], str]:
    words = line.split(" ")
    if words[0] in ("user", "password") and len(words) == _WORDS:
        return tuple(words), ""
    text = base64.b64decode(words.pop(), validate=True)
    if not 1 <= len(words) <= _WORDS:
        message = "a line has another form"
        raise ValueError(message)
    return tuple(words), text.decode("utf-8", "replace")


def _accounts(facts: Facts) -> Iterator[Account]:
    """Yield who gets in somehow, by name."""
    declared = facts.get(("declared",), "").split()
    for kind, *names in sorted(facts):
        if kind != "user":
            continue
        name = names[0]
        one = Account(
            name=name,
            password=("password", name) in facts,
            keys=fingerprints(facts.get(("keys", name), "").splitlines()),
            own_keys=fingerprints(facts.get(("own", name), "").splitlines()),
            declared=name in declared,
        )
        if one.password or one.keys or one.own_keys:
            yield one


def _mounts(fstab: str) -> Iterator[Mount]:
    for line in fstab.splitlines():
        words = line.split()
        if len(words) >= _FIELDS and not words[0].startswith("#"):
            device, place, kind, options = words[:_FIELDS]
            digest = hashlib.sha256(options.encode()).hexdigest()
            yield Mount(place=place, device=device, type=kind, options=digest)


def _loader(switch: str) -> str:
    found = (pattern.search(switch) for pattern in _LOADER)
    return next((loader_of(match[1]) for match in found if match), "")


def _state_version(configuration: str) -> str:
    """Return what a copy of the configuration says, if it says it once."""
    found = set(_STATE_VERSION.findall(configuration))
    return found.pop() if len(found) == 1 else ""
