"""
What an evaluation may connect to.

Without `nix.allowed_uris` that is everything but this machine and what hands out
credentials to it; once a commit is merged, private networks too, where many a forge is.
With it, that alone.
"""

import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from reconciler.settings import Settings
from reconciler.settings.origins import (
    PORTS,
    Origin,
    address_of,
    origins,
    plain_host,
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Of clouds, besides link-local ones: Amazon's, Alibaba's, Azure's and Oracle's.
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Set aside for examples.
_NOBODYS = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
_SETTING = "nix.allowed_uris in the settings"


class Refused(Exception):  # noqa: N818 -- an answer, and no error of ours
    """An evaluation may not connect there; the message says for people why not."""


class Reach:
    """Says what evaluations may connect to, by the settings."""

    def __init__(self, settings: Settings, *, trusted: bool) -> None:
        """Take whether what is evaluated was merged."""
        listed = settings.nix.allowed_uris
        self._listed = None if listed is None else list(_all_of(listed))
        self._trusted = trusted
        repository = settings.repository
        urls = (repository.url, *repository.fallbacks)
        self._forges = [origin for url in urls for origin in _of_repository(url)]
        self._own_port = int(settings.http.listen.rpartition(":")[2])

    def require(self, host: str, port: int, *, told: str = "") -> None:
        """Raise Refused if *port* of *host* may not be reached, wherever that is."""
        name = plain_host(host)
        if self._listed is not None and not self._is_listed(name, port):
            why = f"it is none of {_SETTING}: add {_uri(host, port, told)}"
            address = address_of(name)
            of_clouds = address is not None and _is_special(_inner(address))
            raise _refused(host, port, told, _OF_CLOUDS if of_clouds else why)

    def require_uri(self, uri: str) -> None:
        """Raise Refused if what *uri* names may not be reached; OSError."""
        parts = urlsplit(uri)
        with contextlib.suppress(ValueError):  # of a port that is none
            port = parts.port or PORTS.get(parts.scheme)
            if parts.hostname and port:
                self.addresses(parts.hostname, port, told=uri)

    def addresses(self, host: str, port: int, *, told: str = "") -> list[Address]:
        """
        Return where *host* is that may be reached; Refused, OSError.

        *told* is the URI that leads there, where it is known.
        """
        self.require(host, port, told=told)
        name = plain_host(host)
        known = address_of(name)
        found = [known] if known else list(_resolved(name, port))
        why = {address: self._problem(name, port, address) for address in found}
        allowed = [address for address, problem in why.items() if not problem]
        if not allowed:
            address, problem = next(iter(why.items()))
            where = "" if known else f" ({address})"
            problem = problem.format(uri=_uri(host, port, told), setting=_SETTING)
            raise _refused(host, port, told, problem, where)
        return allowed

    def _problem(self, name: str, port: int, address: Address) -> str:
        """Return why *address*, which *name* leads to, is not connected to."""
        inner = _inner(address)
        is_own = inner.is_loopback or _is_own(inner)
        if is_own and port == self._own_port:
            return "the reconciler itself listens there"
        if _is_special(inner):
            literal = self._listed is not None and address_of(name) is not None
            return "" if literal else _OF_CLOUDS
        if self._listed is not None or self._is_forge(name, port):
            return ""
        if is_own:
            return _OF_OURS
        return "" if self._trusted or inner.is_global else _PRIVATE

    def _is_listed(self, name: str, port: int) -> bool:
        return any(origin.has(name, port) for origin in self._listed or ())

    def _is_forge(self, name: str, port: int) -> bool:
        return any(origin.has(name, port) for origin in self._forges)


_OF_CLOUDS = "this is no address of a forge, but one where clouds hand out credentials"
_LIST = (
    "; to fetch from there, list in {setting} all that evaluations fetch from, {uri}"
    " included"
)
_OF_OURS = f"this is an address of this machine{_LIST}"
_PRIVATE = f"it is in a private network, and the commit is not merged{_LIST}"


def told(settings: Settings) -> str:
    """Return for people what evaluations may fetch from."""
    if (listed := settings.nix.allowed_uris) is None:
        return "anywhere but this machine and where clouds hand out credentials"
    return ", ".join(listed) or "nowhere"


def _refused(host: str, port: int, told: str, why: str, where: str = "") -> Refused:
    named = f"[{host}]" if ":" in host and not host.startswith("[") else host
    uri = f", for {told}" if told else ""
    return Refused(
        f"the evaluation may not connect to {named}{where}, port {port}{uri}: {why}"
    )


def _uri(host: str, port: int, told: str) -> str:
    """Return what to list so that *port* of *host* is allowed."""
    named = plain_host(host)
    named = f"[{named}]" if ":" in named else named
    usual = {number: scheme for scheme, number in PORTS.items()}
    scheme = urlsplit(told).scheme.removeprefix("git+") or usual.get(port, "https")
    scheme = scheme if scheme in PORTS else "https"
    return f"{scheme}://{named}" + ("" if PORTS[scheme] == port else f":{port}")


def _all_of(listed: tuple[str, ...]) -> Iterator[Origin]:
    for text in listed:
        yield from origins(text)


def _of_repository(url: str) -> Iterator[Origin]:
    """Yield where the repository is read from over the network."""
    if "://" not in url:  # git@example.org:path, or a folder
        host, colon, _ = url.partition(":")
        if colon and "/" not in host:
            yield Origin(plain_host(host.rpartition("@")[2]), PORTS["ssh"])
        return
    parts = urlsplit(url)
    port = parts.port or PORTS.get(parts.scheme)
    if parts.hostname and port:
        yield Origin(plain_host(parts.hostname), port)


def _resolved(name: str, port: int) -> Iterator[Address]:
    for *_, place in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM):
        yield ipaddress.ip_address(str(place[0]).partition("%")[0])


def _inner(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, or itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_special(address: Address) -> bool:
    """Say whether *address* is where no forge is."""
    of_link = address.is_link_local or address.is_multicast
    is_void = address.is_reserved and not (address.is_loopback or address.is_global)
    return address in _METADATA or of_link or is_void or address.is_unspecified


def _is_own(address: Address) -> bool:
    """
    Say whether this machine has *address*: only then can a socket be bound to it.

    Where the kernel is told to bind to any, who speaks to it from there says it.
    """
    of_six = isinstance(address, ipaddress.IPv6Address)
    family = socket.AF_INET6 if of_six else socket.AF_INET
    text = str(address)
    if not _binds(text, family):
        return False
    return not _binds(_NOBODYS[family], family) or _spoken_to(text, family)


def _binds(text: str, family: socket.AddressFamily) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.bind((text, 0))
    except OSError:
        return False
    return True


def _spoken_to(text: str, family: socket.AddressFamily) -> bool:
    """Say whether what is sent to an address comes from it; nothing is sent."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.connect((text, 9))
            return bool(trial.getsockname()[0] == text)
    except OSError:
        return False
