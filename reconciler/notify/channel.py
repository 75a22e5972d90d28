"""
The ways to the outside: to what a target's URL means through Apprise, and to forges.

Each delivery is made by a process of its own, which gets what is secret on its standard
input: `deliver` and `post`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler import process
from reconciler.errors import CommandError, CommandTimeoutError, DeliveryError
from reconciler.notify.forges import Answer, Request
from reconciler.notify.words import Text
from reconciler.settings import NotifyTarget
from reconciler.settings.named_files import read_secret

DEADLINE = 60.0
"""Seconds for one delivery; some services want half a minute."""


@dataclass(frozen=True, slots=True)
class Channel:
    """The way to one target."""

    target: NotifyTarget

    def send(self, text: Text) -> None:
        """Deliver *text*. Raises DeliveryError, and StoppingError at shutdown."""
        self._deliver(
            {"title": text.title, "body": text.body, "level": text.level},
            only_check=False,
        )

    def check(self) -> None:
        """See whether Apprise takes the URL; sends nothing. Raises as `send` does."""
        self._deliver({}, only_check=True)

    def service(self) -> str:
        """Return what kind of service it is; nothing else of a URL is shown."""
        try:
            return self._url().partition("://")[0]
        except DeliveryError:
            return "?"

    def _deliver(self, what: dict[str, str], *, only_check: bool) -> None:
        job = {"url": self._url(), "only_check": only_check, **what}
        result = _in_a_process("deliver.py", job)
        if not result["accepted"]:
            raise DeliveryError(result["reason"])

    def _url(self) -> str:
        """Return the URL, read anew so that it can be changed at any time."""
        if self.target.url is not None:
            return self.target.url.get_secret_value()
        if self.target.url_file is None:
            return ""
        url = read_secret(self.target.url_file)
        if "://" not in url:
            message = f"{self.target.url_file} holds no URL"
            raise DeliveryError(message)
        return url


def post(request: Request) -> Answer:
    """
    Post *request* and return the answer, of which the text may be cut.

    No redirection is followed. Raises DeliveryError where there is no answer, and
    StoppingError at shutdown.
    """
    job = {
        "url": request.url,
        "headers": dict(request.headers),
        "body": dict(request.body),
    }
    result = _in_a_process("post.py", job)
    if "error" in result:
        host = request.url.split("/")[2]
        message = f"no answer from {host}: {result['error']}"
        raise DeliveryError(message)
    return Answer(**result)


def _in_a_process(script: str, job: Mapping[str, object]) -> Any:  # noqa: ANN401
    """Run *script* with *job* as JSON on standard input; return what it printed."""
    try:
        file = Path(__file__).with_name(script)
        return process.run_script(file, job, deadline=DEADLINE)
    except CommandTimeoutError as error:
        message = f"did not end within {DEADLINE:.0f} s"
        raise DeliveryError(message) from error
    except CommandError as error:
        # Its last words may hold anything.
        message = f"the process that delivers ended with status {error.status}"
        raise DeliveryError(message) from None
