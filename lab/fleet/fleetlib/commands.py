"""Run the machine's own tools, each with a deadline."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from fleetlib.errors import FleetError

PACKAGE_OF = {
    "apt-config": "apt",
    "mkfs.ext4": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "nix-build": "nix-bin",
    "nix-store": "nix-bin",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
}
QUOTED_LINES = 12


def run(
    argv: Sequence[str],
    *,
    deadline: float,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> bytes:
    """
    Run *argv* and return its stdout; *deadline* is in seconds.

    *env* is laid over the tool's own environment. Raises `FleetError` with the end
    of stderr when the command fails, is missing, or takes too long.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            check=False,
            timeout=deadline,
            env={**os.environ, **(env or {})},
        )
    except FileNotFoundError as error:
        raise missing_tool(argv[0]) from error
    except subprocess.TimeoutExpired as error:
        msg = f"{argv[0]} did not end within {deadline:.0f} s"
        raise FleetError(msg) from error
    if done.returncode != 0:
        msg = f"{argv[0]} exited with status {done.returncode}:\n{tail(done.stderr)}"
        raise FleetError(msg)
    return done.stdout


def missing_tool(tool: str) -> FleetError:
    """Return the error that says which Debian package brings *tool*."""
    package = PACKAGE_OF.get(tool, tool)
    return FleetError(f"{tool} is missing: run `apt-get install {package}`")


def tail(output: bytes) -> str:
    """Return the last lines of *output*, indented for quoting."""
    lines = output.decode(errors="replace").strip().splitlines()[-QUOTED_LINES:]
    return "\n".join(f"  {line}" for line in lines)


def tail_of_file(path: Path) -> str:
    """Return the last lines of the file *path*, or a note that it is empty."""
    try:
        return tail(path.read_bytes()) or "  (empty)"
    except FileNotFoundError:
        return "  (not written)"
