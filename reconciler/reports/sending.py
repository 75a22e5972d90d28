"""A report on its way to the central reconciler."""

import base64
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

from reconciler import process
from reconciler.errors import quote as shortened
from reconciler.model import HostName

HEADER = "Reconciler-Signature"
"""Holds the signature in Base64, whose own form has line ends."""

DEADLINE = 30.0
"""Seconds for one report."""

POST = Path(__file__).with_name("post.py")

_QUOTED = 300  # characters of an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a report was not taken."""

    why: str
    after: float | None = None  # seconds after which to come again, if told


def send(url: str, host: HostName, report: bytes, signature: str) -> Refusal | None:
    """
    Bring a *report* to the reconciler at *url*; return why it was not taken, if so.

    Raises CommandError and its like where no answer came in time.
    """
    job = {
        "url": f"{url}/reports/{quote(host, safe='')}",
        "headers": {
            "Content-Type": "application/json",
            HEADER: base64.b64encode(signature.encode()).decode(),
        },
        "text": report.decode(),
    }
    answer = process.run_script(POST, job, deadline=DEADLINE)
    if error := answer.get("error"):
        return Refusal(why=shortened(error, _QUOTED))
    status = answer["status"]
    if status == HTTPStatus.NO_CONTENT:
        return None
    told = shortened(answer["text"], _QUOTED).strip()
    after = answer["retry_after"]
    return Refusal(
        why=f"{url} answers {status}" + (f": {told}" if told else ""),
        after=float(after) if after.isdigit() and len(after) <= len("3600") else None,
    )
