"""Run a command on a host so that the loss of our connection does not end it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources

from reconciler.errors import ActivationError, ConnectError, RemoteTimeoutError, quote
from reconciler.remote import HostWriter

STATUS_MARK = "reconciler-status "
RECONNECT_PAUSE = 0.5  # seconds between two tries to reach the host again
GRACE = 15.0  # seconds beyond the unit's own limit before we stop waiting

OnLine = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a detached command ended."""

    status: int
    output: str


def run_detached(
    writer: HostWriter, name: str, argv: Sequence[str], *, deadline: float
) -> Ended:
    """
    Run *argv* in the unit ``reconciler-activation`` of the host and wait for its end.

    *name* tells this run from every other one; *deadline* is in seconds. A lost
    connection is opened again for as long as the deadline allows, and the same run
    is waited for: it is never started twice.

    Raises ActivationError when the unit could not be started or ended without telling
    how, ConnectError when the host could not be reached again in time.
    """
    script = resources.files(__package__).joinpath("detached.sh").read_text()
    command = ("sh", "-s", "--", name, f"{deadline:g}", "--", *argv)
    give_up = time.monotonic() + deadline + GRACE
    while True:
        try:
            result = writer.run(
                command,
                what=f"{name} on the host",
                deadline=max(1.0, give_up - time.monotonic()),
                stdin=script.encode(),
                check=False,
            )
        except (ConnectError, RemoteTimeoutError):
            if time.monotonic() > give_up:
                raise
            time.sleep(RECONNECT_PAUSE)
            continue
        return _read(writer, name, result.status, result.stdout, result.stderr)


def _read(writer: HostWriter, name: str, status: int, out: str, err: str) -> Ended:
    output, mark, told = out.rpartition(STATUS_MARK)
    if status == 0 and mark and told.strip().isdigit():
        return Ended(status=int(told), output=output)
    if status == 4:  # noqa: PLR2004 # the exit status that detached.sh documents
        problem = "was killed, ran out of time, or the host was rebooted under it"
        message = f"{writer.host}: {name} {problem}: {quote(out) or 'no output'}"
    elif "already exists" in err or "already loaded" in err:
        message = f"{writer.host}: another activation is still running on the host"
    else:
        message = f"{writer.host}: {name} could not be started: {quote(err or out)}"
    raise ActivationError(message, host=writer.host)
