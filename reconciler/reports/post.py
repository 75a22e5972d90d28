"""
Posts one report, in a process of its own, which has a deadline over the whole answer.

What to post comes as JSON on standard input; the answer goes to standard output.
"""

import json
import sys
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from typing_extensions import override

TIMEOUT = 10.0
"""Seconds to connect, and between two parts of an answer."""

ANSWER_LIMIT = 1 << 12
"""Bytes that are read of an answer."""


class _NoRedirect(HTTPRedirectHandler):
    """Goes nowhere else: what is told is for this address."""

    @override
    def redirect_request(self, *_args: object) -> None: ...


def main() -> None:
    """Post what standard input says; print the answer."""
    json.dump(_post(json.load(sys.stdin)), sys.stdout)


def _post(job: dict[str, Any]) -> dict[str, Any]:
    request = Request(  # noqa: S310 -- the settings take nothing but http and https
        job["url"], data=job["text"].encode(), headers=job["headers"], method="POST"
    )
    try:
        with build_opener(_NoRedirect).open(request, timeout=TIMEOUT) as got:
            return {"status": got.status, "text": "", "retry_after": ""}
    except HTTPError as error:
        return {
            "status": error.code,
            "text": _detail(error.read(ANSWER_LIMIT)),
            "retry_after": error.headers.get("Retry-After", ""),
        }
    except (OSError, ValueError, HTTPException) as error:
        return {"error": str(error) or type(error).__name__}


def _detail(body: bytes) -> str:
    """Return what a reconciler says is wrong; nothing of what another server says."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return ""


if __name__ == "__main__":
    main()
