"""
Who we are, for other reconcilers: a note on each host says who drives it.

Two that watch different commits for one host would undo each other's work for ever, and
neither would know of the other.
"""

import getpass
import hashlib
import socket
from collections.abc import Callable
from pathlib import Path

from reconciler.errors import StateError

NOTE = "/var/lib/reconciler-driver"
"""The file on a host; ``probe.sh`` reads it."""

SIGN = f"""
printf '%s\\n' "$1" >{NOTE}.new && chmod 644 {NOTE}.new && mv -f {NOTE}.new {NOTE}
"""

_MACHINE_ID = Path("/etc/machine-id")


def driver_of(state: Path, *, shared: Callable[[str], str] = lambda own: own) -> str:
    """
    Return an id that stays, and for people the user, machine and state directory.

    *shared* returns the id that others have as well, who work together with us.

    The id is made of machine and directory, so that it is the same where the state was
    lost; and kept there, so that it is where both have other names, as in a container.
    Raises StateError.
    """
    file = state / "id"
    try:
        known = file.read_text().strip() if file.exists() else ""
        if not known:
            known = _made(state)
            file.write_text(f"{known}\n")
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot keep our id in {file}: {error}"
        raise StateError(message) from error
    where = f"{_user()}@{socket.gethostname()}:{state.absolute()}"
    return f"{shared(known.split()[0])} {where}"


def _made(state: Path) -> str:
    machine = _MACHINE_ID.read_text() if _MACHINE_ID.exists() else ""
    where = f"{machine.strip() or socket.gethostname()} {state.absolute()}"
    return hashlib.sha256(where.encode()).hexdigest()[:16]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
