"""``/hooks/<name>``: HTTP around the receiver."""

import math
from collections.abc import AsyncIterator
from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from reconciler.metrics import WebhookResult
from reconciler.web.limiter import source_of
from reconciler.web.webhooks.intake import Delivery, GoneError
from reconciler.web.webhooks.receiver import Receiver, Taken

# One answer for all that must not be told apart: a sender who knows no secret learns
# not even which routes there are.
_NOT_FOUND = (
    HTTPStatus.NOT_FOUND,
    "there is no such webhook, or its signature is wrong",
)
_ANSWERS = {
    WebhookResult.TOO_LARGE: (
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "the body is too large",
    ),
    WebhookResult.TOO_SLOW: (HTTPStatus.REQUEST_TIMEOUT, "the body came too slowly"),
    WebhookResult.ABORTED: (HTTPStatus.BAD_REQUEST, "the body ended early"),
    WebhookResult.RATE_LIMITED: (
        HTTPStatus.TOO_MANY_REQUESTS,
        "too many wrong requests",
    ),
    WebhookResult.BUSY: (HTTPStatus.SERVICE_UNAVAILABLE, "too much at once"),
    WebhookResult.ERROR: (HTTPStatus.INTERNAL_SERVER_ERROR, "a bug; see the log"),
}
_GOOD = (WebhookResult.ACCEPTED, WebhookResult.IGNORED, WebhookResult.DUPLICATE)
_OTHER_METHODS = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
_PATH = "/hooks/{name:path}"


def router(receiver: Receiver) -> APIRouter:
    """Return the routes that *receiver* takes deliveries from."""
    routes = APIRouter(tags=["webhooks"])

    @routes.post(
        _PATH,
        status_code=HTTPStatus.ACCEPTED,
        responses={
            404: {"description": "no such webhook, or a wrong signature"},
            408: {"description": "the body came too slowly"},
            413: {"description": "the body is too large"},
            429: {"description": "too many wrong requests; see Retry-After"},
            503: {"description": "too much at once; see Retry-After"},
        },
    )
    async def deliver(name: str, request: Request) -> JSONResponse:
        """Take a delivery of a forge, and read the repository if it is genuine."""
        delivery = Delivery(
            route=name,
            source=source_of(request.client.host if request.client else ""),
            headers=request.headers.raw,
            body=_chunks(request),
        )
        return _answer(await receiver.take(delivery))

    @routes.api_route(_PATH, methods=_OTHER_METHODS, include_in_schema=False)
    async def refuse(name: str) -> JSONResponse:  # noqa: ARG001 -- all alike
        """Take nothing but POST, from nobody."""
        receiver.refused_method()
        return JSONResponse(
            {"detail": "webhooks are delivered with POST"},
            status_code=HTTPStatus.METHOD_NOT_ALLOWED,
            headers={"Allow": "POST"},
        )

    return routes


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise GoneError from error


def _answer(taken: Taken) -> JSONResponse:
    if taken.result in _GOOD:
        told = {"status": taken.result.value}
        return JSONResponse(told, status_code=HTTPStatus.ACCEPTED)
    status, detail = _ANSWERS.get(taken.result, _NOT_FOUND)
    headers = {}
    if taken.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(taken.retry_after))
    return JSONResponse({"detail": detail}, status_code=status, headers=headers)
