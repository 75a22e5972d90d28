"""
Whether a delivery was made by somebody who knows a secret of ours: bytes in, word out.

Pure, and never parses what a body says: headers are compared, bodies are hashed as they
arrive. Whatever is not exactly a right signature is a wrong one, with no way between
them on which something could break.
"""

import base64
import binascii
import enum
import hashlib
import hmac
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

from typing_extensions import override

from reconciler.settings import Sender
from reconciler.web.webhooks.providers import DIALECTS, Dialect

TOLERANCE = 300.0
"""Seconds by which the time of a signed delivery may differ from ours."""

SIGNING_KEY = b"whsec_"
"""How the secrets of Standard Webhooks begin."""

_SIGNATURES = 16  # of one delivery; there are several while a key is being replaced
_DIGITS = 15  # of a time; Python would take its time over very many
_GENERIC = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}

Header = tuple[bytes, bytes]


class Finding(enum.Enum):
    """What a signature is worth."""

    GOOD = "good"
    BAD = "bad"
    STALE = "stale"  # right, but made too long ago or in the future


class Check(ABC):
    """One delivery on its way: give it the body, then ask."""

    keeps = False  # whether it must keep the body in memory

    @abstractmethod
    def update(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""

    @abstractmethod
    def finding(self, now: float) -> Finding:
        """Return what the signature is worth at *now*, seconds since the epoch."""


def begin(
    provider: Sender, headers: Iterable[Header], secrets: Sequence[bytes]
) -> Check:
    """
    Return the check of a delivery with *headers*, whose names are in lower case.

    Any one of *secrets* may have signed it; without one nothing is right.
    """
    found = _Headers(headers)
    dialect = DIALECTS[provider]
    match provider:
        case Sender.GITLAB:
            tokens = [key for key in secrets if not key.startswith(SIGNING_KEY)]
            keys = [signing_key(key) for key in secrets if key.startswith(SIGNING_KEY)]
            return _Any(
                [
                    _Token(found.first(dialect.signature), tokens),
                    _Standard(found, keys),
                ]
            )
        case Sender.SOURCEHUT:
            return _Ed25519(found, dialect, secrets)
        case Sender.GENERIC:
            return _generic(found.first(dialect.signature), secrets)
        case _:
            signature = found.first(dialect.signature)
            return _Hmac([signature], secrets, prefix=dialect.prefix)


def signing_key(secret: bytes) -> bytes:
    """Return the key in *secret*, ``whsec_<Base64>``. Raises ValueError if none is."""
    key = base64.b64decode(secret.removeprefix(SIGNING_KEY), validate=True)
    if not key:
        message = "is empty after whsec_"
        raise ValueError(message)
    return key


def header(headers: Iterable[Header], names: Iterable[bytes]) -> bytes:
    """Return the first of the headers *names* that is there; empty if none is."""
    return _Headers(headers).first(names)


class _Headers:
    """Headers by name. One that came twice counts as one that did not come."""

    def __init__(self, headers: Iterable[Header]) -> None:
        self._values: dict[bytes, bytes] = {}
        for name, value in headers:
            self._values[name] = b"" if name in self._values else value.strip()

    def first(self, names: Iterable[bytes]) -> bytes:
        return next((self._values[name] for name in names if name in self._values), b"")


# --- schemes ---------------------------------------------------------------------


class _Any(Check):
    """Several schemes, of which one must be right."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self._checks = checks

    @override
    def update(self, chunk: bytes) -> None:
        for check in self._checks:
            check.update(chunk)

    @override
    def finding(self, now: float) -> Finding:
        found = {check.finding(now) for check in self._checks}
        order = (Finding.GOOD, Finding.STALE)
        return next((finding for finding in order if finding in found), Finding.BAD)


class _Token(Check):
    """The secret itself, in a header."""

    def __init__(self, token: bytes, secrets: Sequence[bytes]) -> None:
        self._token = token
        self._secrets = secrets

    @override
    def update(self, chunk: bytes) -> None:
        pass  # the body is not signed

    @override
    def finding(self, now: float) -> Finding:
        return _good_if(_any_equal([self._token], self._secrets))


class _Hmac(Check):
    """HMAC over some bytes and the body, in hexadecimal digits or as *encode* says."""

    def __init__(
        self,
        signatures: Sequence[bytes],
        secrets: Sequence[bytes],
        *,
        prefix: bytes = b"",
        before: bytes = b"",
        algorithm: str = "sha256",
    ) -> None:
        self._signatures = signatures
        self._prefix = prefix
        self._macs = [hmac.new(key, before, algorithm) for key in secrets if key]

    @override
    def update(self, chunk: bytes) -> None:
        for mac in self._macs:
            mac.update(chunk)

    @override
    def finding(self, now: float) -> Finding:
        right = [self._prefix + self._text(mac.digest()) for mac in self._macs]
        return _good_if(_any_equal(self._signatures, right))

    def _text(self, digest: bytes) -> bytes:
        return digest.hex().encode()


class _Standard(_Hmac):
    """Standard Webhooks: id, time and body signed together."""

    def __init__(self, headers: _Headers, keys: Sequence[bytes]) -> None:
        name, time = (
            headers.first([b"webhook-id"]),
            headers.first([b"webhook-timestamp"]),
        )
        self._time = _seconds(time)
        signatures = headers.first([b"webhook-signature"]).split(b" ", _SIGNATURES)
        super().__init__(
            signatures[:_SIGNATURES] if name else (),
            keys,
            prefix=b"v1,",
            before=b"%b.%b." % (name, time),
        )

    @override
    def finding(self, now: float) -> Finding:
        found = super().finding(now)
        if found is Finding.GOOD and not abs(now - self._time) <= TOLERANCE:
            return Finding.STALE
        return found

    @override
    def _text(self, digest: bytes) -> bytes:
        return base64.b64encode(digest)


class _Ed25519(Check):
    """A public key's signature over body and nonce; the body is needed whole."""

    keeps = True

    def __init__(
        self, headers: _Headers, dialect: Dialect, keys: Sequence[bytes]
    ) -> None:
        self._signature = headers.first(dialect.signature)
        self._nonce = headers.first([b"x-payload-nonce"])
        self._keys = keys
        self._body: list[bytes] = []

    @override
    def update(self, chunk: bytes) -> None:
        self._body.append(chunk)

    @override
    def finding(self, now: float) -> Finding:
        try:
            signature = base64.b64decode(self._signature, validate=True)
        except (binascii.Error, ValueError):
            return Finding.BAD
        signed = b"".join([*self._body, self._nonce])
        good = any(_is_signed(key, signature, signed) for key in self._keys)
        return _good_if(good and bool(self._nonce))


def _generic(signature: bytes, secrets: Sequence[bytes]) -> Check:
    name, _, _ = signature.partition(b"=")
    algorithm = _GENERIC.get(name)
    if algorithm is None:
        return _Hmac([], [])
    text = name.decode()
    return _Hmac([signature], secrets, prefix=name + b"=", algorithm=text)


# --- comparing -------------------------------------------------------------------


def _good_if(right: bool) -> Finding:  # noqa: FBT001
    return Finding.GOOD if right else Finding.BAD


def _any_equal(given: Sequence[bytes], right: Sequence[bytes]) -> bool:
    """
    Say whether one of *given* is one of *right*; the time does not tell which.

    On bytes: of text, compare_digest takes ASCII only. Empty is never right.
    """
    equal = [hmac.compare_digest(*pair) for pair in _pairs(given, right)]
    return any(equal)


def _pairs(
    given: Sequence[bytes], right: Sequence[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    return ((one, other) for one in given for other in right if one and other)


def _seconds(text: bytes) -> float:
    """Return the time in *text*, in seconds since the epoch; not a number if none."""
    is_time = text.isdigit() and len(text) <= _DIGITS
    return float(text) if is_time else float("nan")


def _is_signed(key: bytes, signature: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 # large
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415

    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True
