"""Posts to forges over HTTP. httpx is imported when something is first posted."""

from __future__ import annotations

import json
import ssl
import time
from typing import TYPE_CHECKING

from reconciler.errors import DeliveryError
from reconciler.notify.forges import Answer, Request

if TYPE_CHECKING:
    import httpx

TIMEOUT = 10.0
"""Seconds to connect, and between two parts of an answer."""

DEADLINE = 30.0
"""Seconds for a whole answer."""

ANSWER_LIMIT = 1 << 16
"""Bytes that are read of an answer; a status is far smaller, and we only quote it."""


def post(request: Request) -> Answer:
    """
    Post *request* and return the answer, of which the text may be cut.

    No redirection is followed: the token is for this address. Raises DeliveryError
    where there is no answer.
    """
    import httpx  # noqa: PLC0415 # only where there is a forge to tell

    began = time.monotonic()
    try:
        with (
            # The certificates that the machine trusts, its owner's among them.
            httpx.Client(
                timeout=TIMEOUT,
                verify=ssl.create_default_context(),
                follow_redirects=False,
            ) as client,
            client.stream(
                "POST",
                request.url,
                content=json.dumps(request.body).encode(),
                headers={**request.headers, "Content-Type": "application/json"},
            ) as response,
        ):
            return Answer(
                status=response.status_code,
                headers={k.lower(): value for k, value in response.headers.items()},
                text=_read(response, began + DEADLINE),
            )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        # Neither names a header: httpx's messages are about connections and URLs.
        message = f"no answer from {_host(request)}: {type(error).__name__}: {error}"
        raise DeliveryError(message) from error


def _read(response: httpx.Response, ends: float) -> str:
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > ANSWER_LIMIT or time.monotonic() > ends:
            break
    return content[:ANSWER_LIMIT].decode(errors="replace")


def _host(request: Request) -> str:
    return request.url.split("/")[2]
