"""``/reports/<host>``: HTTP around the reception."""

import asyncio
import math
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from reconciler.model import HostName
from reconciler.reports import HEADER, LIMIT
from reconciler.web.limiter import source_of
from reconciler.web.reports.reception import UNKNOWN, Answer, Reception

BODY_SECONDS = 15.0
"""How long a body may take to arrive."""

AT_ONCE = 32
"""Reports that are read at one time."""

JUDGED_AT_ONCE = 2
"""Signatures that are verified at one time, each by a command."""

_TOO_LARGE = Answer(
    status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    detail=f"the report is larger than {LIMIT >> 10} KiB",
)
_TOO_SLOW = Answer(
    status=HTTPStatus.REQUEST_TIMEOUT, detail="the report came too slowly"
)
_ABORTED = Answer(status=HTTPStatus.BAD_REQUEST, detail="the report ended early")
_BUSY = Answer(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    detail="too many reports at once",
    retry_after=5.0,
)

Name = Annotated[str, Path(max_length=253, description="as the repository names it")]


class _Desk:
    """Reads reports in one event loop, and has them judged in threads."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._reading = 0
        self._judging = asyncio.Semaphore(JUDGED_AT_ONCE)

    async def take(self, host: HostName, request: Request) -> Answer:
        """Take one; who is wrong too often is not listened to for a while."""
        limiter = self._reception.limiter
        source = source_of(request.client.host if request.client else "")
        if wait := limiter.take(source):
            return Answer(
                status=HTTPStatus.TOO_MANY_REQUESTS,
                detail="too many wrong requests",
                retry_after=wait,
            )
        answer = await self._answer(host, request)
        if answer.is_good:
            limiter.give_back(source)
        return answer

    async def _answer(self, host: HostName, request: Request) -> Answer:
        if not self._reception.expects(host):
            return UNKNOWN
        if self._reading >= AT_ONCE:
            return _BUSY
        self._reading += 1
        try:
            body = await _read(request)
            if isinstance(body, Answer):
                return body
            signature = request.headers.get(HEADER, "").encode("latin-1")
            async with self._judging:
                return await asyncio.to_thread(
                    self._reception.take, host, body, signature
                )
        finally:
            self._reading -= 1


def router(reception: Reception) -> APIRouter:
    """Return the route by which reports come in."""
    routes = APIRouter(tags=["reports"])
    desk = _Desk(reception)

    @routes.post(
        "/reports/{host}",
        status_code=HTTPStatus.NO_CONTENT,
        response_class=Response,
        responses={
            400: {"description": "it cannot be read"},
            403: {"description": "no such host, or a wrong signature"},
            408: {"description": "it came too slowly"},
            409: {"description": "a later report was taken before"},
            413: {"description": "it is too large"},
            422: {"description": "the clock of the host is wrong"},
            429: {"description": "too many wrong requests; see Retry-After"},
            503: {"description": "not just now; see Retry-After"},
        },
    )
    async def report(host: Name, request: Request) -> Response:
        """Take what a host that deploys itself reports, signed with its host key."""
        return _response(await desk.take(HostName(host), request))

    return routes


async def _read(request: Request) -> bytes | Answer:
    """Return the body, or why it cannot be had."""
    said = request.headers.get("content-length", "")
    if said.isdigit() and (len(said) > len(str(LIMIT)) or int(said) > LIMIT):
        return _TOO_LARGE
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LIMIT:
                    return _TOO_LARGE
    except TimeoutError:
        return _TOO_SLOW
    except ClientDisconnect:
        return _ABORTED
    return bytes(body)


def _response(answer: Answer) -> Response:
    headers = {}
    if answer.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(answer.retry_after))
    if answer.is_good:
        return Response(status_code=answer.status)
    return JSONResponse({"detail": answer.detail}, answer.status, headers)
