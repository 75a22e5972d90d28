"""
Posts one request to a forge, in a process of its own.

For the reasons of `reconciler.notify.deliver`: httpx would stay in memory for a request
at each commit, and has no deadline over a whole answer. What to post comes as JSON on
standard input, with the token; the answer goes as JSON to standard output.
"""

import json
import ssl
import sys
from typing import Any

import httpx

TIMEOUT = 10.0
"""Seconds to connect, and between two parts of an answer."""

ANSWER_LIMIT = 1 << 16
"""Bytes that are read of an answer; a status is far smaller, and we only quote it."""


def main() -> None:
    """Post what standard input says; print the answer."""
    json.dump(_post(json.load(sys.stdin)), sys.stdout)


def _post(job: dict[str, Any]) -> dict[str, Any]:
    client = httpx.Client(
        timeout=TIMEOUT,
        # The certificates that the machine trusts, its owner's among them.
        verify=ssl.create_default_context(),
        follow_redirects=False,  # the token is for this address
    )
    content = json.dumps(job["body"]).encode()
    headers = {**job["headers"], "Content-Type": "application/json"}
    try:
        with (
            client,
            client.stream("POST", job["url"], content=content, headers=headers) as got,
        ):
            return {
                "status": got.status_code,
                "headers": {name.lower(): value for name, value in got.headers.items()},
                "text": _read(got),
            }
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        # These speak of connections and addresses, and of no header.
        return {"error": f"{type(error).__name__}: {error}"}


def _read(response: httpx.Response) -> str:
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > ANSWER_LIMIT:
            break
    return content[:ANSWER_LIMIT].decode(errors="replace")


if __name__ == "__main__":
    main()
