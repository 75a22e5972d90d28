"""
Gets files over HTTP, in a process of its own.

httpx would stay in memory for a request at each look, and has no deadline over a whole
answer. What to get comes as JSON on standard input; the answers go as JSON to standard
output, and each content into the file that is named for it.
"""

import json
import netrc
import ssl
import sys
from pathlib import Path
from typing import Any

import httpx

TIMEOUT = 20.0
"""Seconds to connect, and between two parts of an answer."""

REDIRECTS = 5


class _RefusedError(Exception):
    """The answer is none that is taken."""


def main() -> None:
    """Get what standard input says; print the answers."""
    jobs = json.load(sys.stdin)
    try:
        login = _login()
    except (OSError, netrc.NetrcParseError) as error:
        json.dump([{"error": f"~/.netrc: {error}"} for _ in jobs], sys.stdout)
        return
    with httpx.Client(
        timeout=TIMEOUT,
        # The certificates that the machine trusts, its owner's among them.
        verify=ssl.create_default_context(),
        auth=login,
        follow_redirects=True,
        max_redirects=REDIRECTS,
    ) as client:
        json.dump([_get(client, job) for job in jobs], sys.stdout)


def _get(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    client.event_hooks = {"request": [_refuse_downgrade(job["url"])]}
    headers = {"If-None-Match": job["etag"]} if job["etag"] else {}
    try:
        with client.stream("GET", job["url"], headers=headers) as got:
            if got.status_code == httpx.codes.OK:
                _save(got, Path(job["to"]), job["limit"])
            names = ("date", "etag", "retry-after")
            told = {name: got.headers[name] for name in names if name in got.headers}
            return {"status": got.status_code, "headers": told}
    except MemoryError:
        return {"error": "the answer takes more memory than it may"}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, _RefusedError) as error:
        return {"error": str(error) or type(error).__name__}


def _login() -> httpx.Auth | None:
    """Return the logins of ``~/.netrc``, which git takes over HTTP too."""
    try:
        return httpx.NetRCAuth()
    except FileNotFoundError:
        return None


def _refuse_downgrade(url: str) -> Any:  # noqa: ANN401 -- a hook of httpx's
    def look(request: httpx.Request) -> None:
        if url.lower().startswith("https:") and request.url.scheme != "https":
            message = f"it leads to {request.url.host} without TLS"
            raise _RefusedError(message)

    return look


def _save(response: httpx.Response, file: Path, limit: int) -> None:
    left = limit
    with file.open("wb") as stream:
        for chunk in response.iter_bytes():
            left -= len(chunk)
            if left < 0:
                message = f"it is larger than {limit >> 20} MiB"
                raise _RefusedError(message)
            stream.write(chunk)


if __name__ == "__main__":
    main()
