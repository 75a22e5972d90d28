"""Reading the body of a delivery, within limits of size, time and memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from reconciler.web.webhooks.verify import Check, Header, header

BODY_LIMIT = 25 << 20
"""Bytes of a body; GitHub and GitLab send no more. It is hashed, and not kept."""

KEPT_BODY_LIMIT = 3 << 20
"""Bytes of a body that must be kept until its signature is checked."""

ALL_KEPT_LIMIT = 16 << 20
"""Bytes of all bodies that are kept at one time."""

BODY_SECONDS = 30.0
"""How long a body may take to arrive."""


class TooLargeError(Exception):
    """A body is larger than its limit, or its sender says that it will be."""


class BusyError(Exception):
    """Too many bodies are kept just now."""


class GoneError(Exception):
    """The sender hung up before the end of its body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request, its body still to come."""

    route: str
    source: str  # whom to count it for
    headers: Sequence[Header]  # names in lower case
    body: AsyncIterator[bytes]  # raises GoneError


class Intake:
    """Reads bodies, in one event loop."""

    def __init__(self) -> None:
        self._kept = 0  # bytes of all bodies

    async def read(self, delivery: Delivery, check: Check) -> bytes:
        """
        Give the body to *check*; return its digest.

        Raises TooLargeError, TimeoutError, BusyError, GoneError.
        """
        limit = KEPT_BODY_LIMIT if check.keeps else BODY_LIMIT
        _refuse_large(delivery.headers, limit)
        digest, size = hashlib.sha256(), 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in delivery.body:
                    size += len(chunk)
                    self._kept += len(chunk) if check.keeps else 0
                    if size > limit:
                        raise TooLargeError
                    if self._kept > ALL_KEPT_LIMIT:
                        raise BusyError
                    check.update(chunk)
                    digest.update(chunk)
        finally:
            self._kept -= size if check.keeps else 0
        return digest.digest()


def _refuse_large(headers: Sequence[Header], limit: int) -> None:
    """Raise before the first byte if the sender itself says that it is too much."""
    said = header(headers, [b"content-length"])
    if said.isdigit() and (len(said) > len(str(limit)) or int(said) > limit):
        raise TooLargeError
