"""Having the daemon on this machine read the repository, and waiting for that."""

import time

import typer

from reconciler.cli.client import Json, ask
from reconciler.cli.common import waiting
from reconciler.errors import DaemonError
from reconciler.settings import Settings
from reconciler.settings.values import positive_duration

STEP = 30.0
"""Seconds that one request waits at most."""


def duration(text: str) -> float:
    """Return the seconds that *text* means. Raises BadParameter."""
    try:
        return positive_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def looked(settings: Settings, seconds: float) -> Json:
    """Have the repository read, and return how that ended. Raises DaemonError."""
    asked = ask(settings, "POST", "/sync", body={"reason": ""})
    with waiting("waiting for the repository to be read"):
        return await_look(settings, asked["token"], seconds)


def await_look(settings: Settings, token: str, seconds: float) -> Json:
    """Return how the look of *token* ended. Raises DaemonError if it did not."""
    give_up = time.monotonic() + seconds
    while True:
        left = max(0.0, give_up - time.monotonic())
        step = min(left, STEP)
        path = f"/sync/{token}?timeout={step:.3f}"
        found = ask(settings, "GET", path, seconds=step + 10.0)
        if found["done"]:
            return found
        if left <= 0:
            message = f"the repository was not read within {seconds:g} s"
            raise DaemonError(message)
