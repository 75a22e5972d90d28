"""
In front of every route of the API: limits first, then who asks, then what that may.

As ASGI, so that all of it happens before anything of a body is read: FastAPI reads and
parses a body before it looks at who sent it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from reconciler.metrics import ApiMetrics, ApiResult
from reconciler.web.api.door import BODY_LIMIT, TOO_LARGE, Door, Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from reconciler.web.api.access import Caller

log = structlog.get_logger(__name__)

PREFIX = "/api/"


class Gate:
    """ASGI around an application: what lies below `PREFIX` is for callers only."""

    def __init__(self, app: ASGIApp, *, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        judged = self._door.judge(scope)
        if isinstance(judged, Refusal):
            content = {"detail": judged.detail}
            answer = JSONResponse(content, judged.status, judged.headers)
            await answer(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = judged
        told = _Told(self._door.metrics, judged, send)
        try:
            await self._app(scope, _limited(receive), told.send)
        except Exception:
            # A bug must cost one answer; above us, it would cost the connection too.
            log.exception("a request failed in a way we do not know")
            if told.begun:
                raise
            answer = JSONResponse({"detail": "a bug; see the log"}, 500)
            await answer(scope, receive, told.send)


def _limited(receive: Receive) -> Receive:
    size = 0

    async def limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > BODY_LIMIT:
            raise HTTPException(TOO_LARGE.status, TOO_LARGE.detail)
        return message

    return limited


class _Told:
    """Counts the answer on its way."""

    def __init__(self, metrics: ApiMetrics, caller: Caller, send: Send) -> None:
        self.begun = False
        self._metrics = metrics
        self._caller = caller
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            result = _result(message["status"])
            self._metrics.count(self._caller.role.value, result)
        await self._send(message)


def _result(status: int) -> ApiResult:
    if status < HTTPStatus.BAD_REQUEST:
        return ApiResult.ANSWERED
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return ApiResult.REFUSED
    return ApiResult.FAILED
