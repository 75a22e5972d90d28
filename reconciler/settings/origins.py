"""Where evaluations may fetch from, as people write it: ``https://github.com``."""

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443, "ssh": 22, "git": 9418}
"""What stands where a URI names no port."""

_FORGES = {  # how flakes call them -> what Nix asks, and is sent on to
    "github:": ("github.com", "api.github.com", "codeload.github.com"),
    "gitlab:": ("gitlab.com",),
    "sourcehut:": ("git.sr.ht",),
}
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?", re.ASCII)
_FORMS = (
    "write https://HOST, http://, ssh:// or git://, with a port if it is another one,"
    " https://*.HOST for all names below, or github:, gitlab:, sourcehut:"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """A host, or all below a name, and a port of it."""

    host: str  # "*.example.org" for all below
    port: int

    def has(self, host: str, port: int) -> bool:
        """Say whether this is *port* of *host*, which is as `plain_host` has it."""
        named = self.host == host or (
            self.host.startswith("*.") and host.endswith(self.host[1:])
        )
        return named and self.port == port


def origins(text: str) -> tuple[Origin, ...]:
    """Return what *text* allows; ValueError says what is wrong with it."""
    if text in _FORGES:
        return tuple(Origin(host, PORTS["https"]) for host in _FORGES[text])
    parts = urlsplit(text.removeprefix("git+").removeprefix("tarball+"))
    if parts.scheme not in PORTS or not parts.hostname:
        message = f"{text!r} is no place to fetch from: {_FORMS}"
        raise ValueError(message)
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        message = (
            f"{text!r} names more than a host: over TLS and SSH nobody but the two ends"
            " sees more of what is fetched; leave the path out"
        )
        raise ValueError(message)
    if parts.password is not None:
        message = "must not hold a password: put it into ~/.netrc of the daemon's user"
        raise ValueError(message)
    host = plain_host(parts.hostname)
    if address_of(host) is None and not _HOST.fullmatch(host):
        message = f"{text!r}: {parts.hostname!r} is no name of a host"
        raise ValueError(message)
    return (Origin(host, parts.port or PORTS[parts.scheme]),)


def allowed_uri(text: str) -> str:
    """Return *text* if `origins` knows what it allows."""
    origins(text)
    return text


def plain_host(host: str) -> str:
    """Return *host* as all write it that mean the same."""
    name = host.strip("[]").lower().removesuffix(".")
    address = address_of(name)
    return name if address is None else str(address)


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that *host* is, if it is one; 127.1 and 2130706433 are."""
    try:
        if ":" in host:
            return ipaddress.ip_address(host)
        return ipaddress.ip_address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
