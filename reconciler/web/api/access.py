"""Who asks, and what that one may do."""

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.settings import ApiSettings, Role
from reconciler.web.peer import Peer
from reconciler.web.secret_file import SecretFiles

TOKEN_LENGTH = 16
"""Bytes of the shortest token; `openssl rand -hex 32` makes longer ones."""

_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via")
_LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost"})

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody whom we know."""

    name: str  # as the audit log has it
    role: Role

    @property
    def may_change(self) -> bool:
        """Whether this one may do more than look."""
        return self.role is Role.OPERATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    caller: Caller
    files: SecretFiles


class Access:
    """The tokens that the settings name, and who else is believed."""

    def __init__(self, settings: ApiSettings) -> None:
        """Read every token. Raises SettingsError naming the setting and the file."""
        self._loopback_reads = settings.loopback_reads
        self._tokens = [
            _Token(
                caller=Caller(name=f"api:{token.name}", role=token.role),
                files=SecretFiles(
                    f"api.tokens[{number}].file", [token.file], _wrong_with_token
                ),
            )
            for number, token in enumerate(settings.tokens)
        ]

    def caller(
        self, peer: Peer, address: str, headers: Sequence[Header]
    ) -> Caller | None:
        """
        Return who asks, if we know: from *address*, at the other end of it *peer*.

        Whoever runs as we do, or as root, could write to our database as well; so
        such a one is an operator.
        """
        if peer.local and peer.trusted:
            return Caller(name=peer.user, role=Role.OPERATOR)
        found = by_name(headers)
        if (sent := found.get(b"authorization")) is not None:
            return self._bearer(sent)
        if self._loopback_reads and not peer.local and _is_from_here(address, found):
            return Caller(name="loopback", role=Role.VIEWER)
        return None

    def _bearer(self, sent: bytes) -> Caller | None:
        scheme, _, token = sent.partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        # Every token is compared, and digests have one length: time tells nothing.
        given, found = _digest(token.strip()), None
        for each in self._tokens:
            for right in each.files.current():
                if hmac.compare_digest(given, _digest(right)):
                    found = each.caller
        return found


def _wrong_with_token(token: bytes) -> str:
    if len(token) < TOKEN_LENGTH:
        return f"is shorter than {TOKEN_LENGTH} bytes"
    if token != token.strip() or b" " in token:
        return "has blanks in it"
    return ""


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def by_name(headers: Sequence[Header]) -> Mapping[bytes, bytes]:
    """Return headers by name; one that came twice is there, and empty."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found[name] = b"" if name in found else value
    return found


def _is_from_here(address: str, headers: Mapping[bytes, bytes]) -> bool:
    """
    Say whether a program of this machine asks for itself.

    Not so a proxy for somebody else. Nor a browser for a page from elsewhere, whose
    name was made to mean our address: it sends that name.
    """
    if any(name in headers for name in _FORWARDED) or not _is_loopback(address):
        return False
    host = headers.get(b"host", b"").decode("latin-1").rpartition(":")
    name = host[0] if host[0] and host[2].isdigit() else "".join(host)
    bare = name.removeprefix("[").removesuffix("]")
    return bare in _LOOPBACK_NAMES or _is_loopback(bare)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
