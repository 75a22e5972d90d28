"""
Hands one message to Apprise, in a process of its own.

Apprise brings some 40 MB of services, of which one is used, waits where a service wants
it, and logs what may hold parts of a URL. So `reconciler.notify.channel` starts this
for each delivery, with a deadline. What to do comes as JSON on standard input (a URL
must not stand in an argv), what became of it goes as JSON to standard output.
"""

import json
import logging
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from typing_extensions import override

REASON_LIMIT = 300
"""Characters of a reason."""

SHORTEST = 3
"""Characters from which a part of a URL counts as secret."""


class UnusableError(Exception):
    """The URL means nothing to Apprise."""


class Reasons(logging.Handler):
    """Keeps what Apprise complains of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(record.getMessage())


def main() -> None:
    """Deliver what standard input says; print what became of it."""
    job = json.load(sys.stdin)
    reasons = Reasons()
    _quiet(reasons)
    try:
        accepted = _deliver(job)
    except UnusableError as error:
        accepted, reasons.lines = False, [str(error)]
    except Exception as error:  # noqa: BLE001 -- 130 services, and each its own errors
        accepted = False
        reasons.lines.append(f"{type(error).__name__}: {error}")
    reason = "" if accepted else reason_of(reasons.lines, job["url"])
    json.dump({"accepted": accepted, "reason": reason}, sys.stdout)


def reason_of(lines: Iterable[str], url: str) -> str:
    """Return the last thing that was complained of, without any part of *url*."""
    parts = sorted(_parts(url), key=len, reverse=True)
    told = [" ".join(line.split()) for line in lines if line.strip()]
    reason = told[-1] if told else "the service did not accept it"
    for part in parts:
        reason = reason.replace(part, "…")
    return reason[:REASON_LIMIT]


def _quiet(reasons: Reasons) -> None:
    """Let nothing be logged but to *reasons*."""
    logging.lastResort = None
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.addHandler(reasons)


def _deliver(job: dict[str, Any]) -> bool:
    # It is the one import of it, and takes a while: not before we listen to its logs.
    from apprise import Apprise, AppriseAsset, NotifyFormat  # noqa: PLC0415

    asset = AppriseAsset(
        app_id="reconciler",
        app_desc="GitOps for NixOS fleets",
        app_url="",
        async_mode=False,
        secure_logging=True,
        storage_mode="memory",
    )
    service = Apprise.instantiate(job["url"], asset=asset)
    if service is None:
        message = "Apprise knows no such service, or the URL lacks something"
        raise UnusableError(message)
    if job["only_check"]:
        return True
    return bool(
        service.notify(
            title=job["title"],
            body=job["body"],
            notify_type=job["level"],
            body_format=NotifyFormat.TEXT,
        )
    )


def _parts(url: str) -> set[str]:
    """Return every part of a URL that may be a secret, as written and as meant."""
    split = urlsplit(url)
    raw = {
        url,
        split.netloc,
        split.path,
        split.query,
        *split.netloc.replace("@", ":").split(":"),
        *split.path.split("/"),
        *(value for pair in split.query.split("&") for value in pair.split("=", 1)),
        split.fragment,
    }
    parts = raw | {unquote_plus(part) for part in raw}
    return {part for part in parts if len(part) >= SHORTEST}


if __name__ == "__main__":
    main()
