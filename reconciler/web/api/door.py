"""Who is let in, and why somebody is not."""

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog

from reconciler.metrics import ApiMetrics, ApiResult
from reconciler.web.api.access import Access, Caller, by_name
from reconciler.web.limiter import Limiter, source_of
from reconciler.web.peer import REMOTE
from reconciler.web.sparse import Sparse

log = structlog.get_logger(__name__)

BODY_LIMIT = 64 << 10
"""Bytes of the largest body."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_PLAN = re.compile(r"/hosts/[^/]+/plan")  # asks a host, and changes nothing

Scope = Mapping[str, Any]  # of ASGI


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why somebody is not let in."""

    result: ApiResult
    status: HTTPStatus
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)


_UNKNOWN = Refusal(
    result=ApiResult.UNKNOWN,
    status=HTTPStatus.UNAUTHORIZED,
    detail="a bearer token is needed, and this is none that we know",
    headers={"WWW-Authenticate": "Bearer"},
)
_FORBIDDEN = Refusal(
    result=ApiResult.FORBIDDEN,
    status=HTTPStatus.FORBIDDEN,
    detail="a viewer may look only; this takes the role operator",
)
_ELSEWHERE = Refusal(
    result=ApiResult.FORBIDDEN,
    status=HTTPStatus.FORBIDDEN,
    detail="a web page from elsewhere has a browser ask this",
)
TOO_LARGE = Refusal(
    result=ApiResult.TOO_LARGE,
    status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    detail=f"the body is larger than {BODY_LIMIT >> 10} KiB",
)


class Door:
    """Decides who is let in."""

    def __init__(
        self,
        access: Access,
        limiter: Limiter,
        metrics: ApiMetrics,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.metrics = metrics
        self._sparse = Sparse(clock)
        self._limiter = limiter
        self._access = access

    def use(self, access: Access) -> None:
        """Let in whom *access* knows from now on; any thread may call this."""
        self._access = access

    def judge(self, scope: Scope) -> Caller | Refusal:
        """Return who asks, or why that one is not let in, which is counted."""
        judged = self._judge(scope)
        if isinstance(judged, Refusal):
            self.metrics.count("", judged.result)
            if self._sparse.due(judged.result):
                source = source_of(_address(scope))
                log.warning("API: refused", why=judged.result.value, source=source)
        return judged

    def _judge(self, scope: Scope) -> Caller | Refusal:
        address = _address(scope)
        source = source_of(address)
        if _is_for_another_page(by_name(scope["headers"])):
            return self._wrong(source, _ELSEWHERE)
        peer = scope.get("state", {}).get("peer", REMOTE)
        # Programs speak 1.1; what speaks 1.0 is a proxy that says nothing of itself.
        near = "" if scope.get("http_version") == "1.0" else address
        # First: somebody else's wrong tokens must not lock right ones out, and behind a
        # proxy all come from one address.
        caller = self._access.caller(peer, near, scope["headers"])
        if caller is None:
            return self._wrong(source, _UNKNOWN)
        if _changes(scope) and not caller.may_change:
            return _FORBIDDEN
        return TOO_LARGE if _says_too_much(scope) else caller

    def _wrong(self, source: str, refusal: Refusal) -> Refusal:
        wait = self._limiter.take(source)
        if not wait:
            return refusal
        return Refusal(
            result=ApiResult.RATE_LIMITED,
            status=HTTPStatus.TOO_MANY_REQUESTS,
            detail="too many wrong requests",
            headers={"Retry-After": str(math.ceil(wait))},
        )


def _changes(scope: Scope) -> bool:
    if scope["method"] in _READING:
        return False
    return not (
        scope["method"] == "POST"
        and _PLAN.fullmatch(scope["path"].partition("/api/v1")[2])
    )


def _is_for_another_page(headers: Mapping[bytes, bytes]) -> bool:
    """
    Say whether a browser asks for a page that is not ours.

    Browsers say so by themselves, and no page can make them lie.
    """
    if (site := headers.get(b"sec-fetch-site")) is not None:
        return site not in {b"same-origin", b"none"}
    origin = headers.get(b"origin")
    return origin is not None and origin.rpartition(b"//")[2] != headers.get(b"host")


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _says_too_much(scope: Scope) -> bool:
    said = [value for name, value in scope["headers"] if name == b"content-length"]
    digits = len(str(BODY_LIMIT))
    return any(len(v) > digits or int(v) > BODY_LIMIT for v in said if v.isdigit())
