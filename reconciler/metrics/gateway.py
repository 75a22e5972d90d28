"""
Pushes metrics to a Pushgateway, in a process of its own.

What prometheus-client's way there uses has no deadline over a whole answer: a process
has one. What to push comes as JSON on standard input, with what is secret; what went
wrong goes as JSON to standard output.
"""

import base64
import json
import sys
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError

from prometheus_client import CollectorRegistry, push_to_gateway
from prometheus_client.exposition import default_handler

TIMEOUT = 10.0
"""Seconds to connect, and between two parts of an answer."""

QUOTED = 300
"""Bytes that are quoted of what a Pushgateway says is wrong."""


def main() -> None:
    """Push what standard input says; print what went wrong, if anything."""
    json.dump({"error": _push(json.load(sys.stdin))}, sys.stdout)


def _push(job: dict[str, Any]) -> str:
    try:
        # Replaces the whole group: a host that has left is not shown for ever.
        push_to_gateway(
            job["url"],
            job["job"],
            CollectorRegistry(),
            grouping_key={"instance": job["instance"]},
            timeout=TIMEOUT,
            handler=_handler(job),
        )
    except HTTPError as error:
        text = error.read(QUOTED).decode(errors="replace").strip()
        return f"{error.code} {error.reason}" + (f": {text}" if text else "")
    except (OSError, ValueError, HTTPException) as error:
        # These speak of connections and addresses, and of no header.
        return str(error) or type(error).__name__
    return ""


def _handler(job: dict[str, Any]) -> Any:  # noqa: ANN401 -- as prometheus-client has it
    """Return what sends the text of *job*: a registry is not in this process."""

    def handle(
        url: str,
        method: str,
        timeout: float | None,
        headers: list[tuple[str, str]],
        data: bytes,
    ) -> Callable[[], None]:
        del data  # that of an empty registry
        login = [("Authorization", word)] if (word := _login(job)) else []
        text = job["text"].encode()
        return default_handler(url, method, timeout, [*headers, *login], text)

    return handle


def _login(job: dict[str, Any]) -> str:
    if not job["secret"]:
        return ""
    if job["user"] is None:
        return f"Bearer {job['secret']}"
    pair = f"{job['user']}:{job['secret']}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


if __name__ == "__main__":
    main()
