"""
Which fleet of this machine has which addresses.

A fleet owns a block 127.A.B.0/24 with A from 80 to 95, and its hosts count up from
127.A.B.1. The registry holds one file per block, changed only under its lock.
"""

import errno
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleetlib.cgroups import all_groups, groups_of_block
from fleetlib.errors import FleetError
from fleetlib.locks import locked
from fleetlib.places import LAB, REGISTRY, FleetDir

NETS = range(80, 96)
BYTES = range(256)
HOSTS = range(1, 255)
SSH_PORT = 22
BASE = re.compile(r"127\.(?P<block>(?P<net>\d{1,3})\.(?P<byte>\d{1,3}))(\.0)?")


@contextmanager
def claimed_block(folder: FleetDir, base: str | None) -> Iterator[str]:
    """
    Yield an address block for the fleet in *folder*, as ``"80.3"``.

    *base* asks for a certain one, as ``127.80.3``. The registry stays locked inside
    the ``with``, where the caller writes the block into the fleet's state: a block
    whose fleet does not know of it counts as free.
    """
    with locked(REGISTRY / "lock"):
        candidates = [block_of(base)] if base else _blocks()
        block = next(filter(_is_free, candidates), None)
        if block is None:
            raise FleetError(_why_none(base))
        entry = {"dir": str(folder.path), "lab": str(LAB)}
        _file(block).parent.mkdir(exist_ok=True)
        _file(block).write_text(json.dumps(entry))
        try:
            yield block
        except BaseException:
            _file(block).unlink(missing_ok=True)
            raise


def release(block: str) -> None:
    """Give the block back."""
    with locked(REGISTRY / "lock"):
        _file(block).unlink(missing_ok=True)


def registered(*, of_this_checkout: bool = False) -> dict[str, FleetDir]:
    """Return the fleets of this machine by their blocks."""
    files = sorted((REGISTRY / "blocks").glob("*"))
    return {
        file.name: _owner(file)
        for file in files
        if not of_this_checkout or _entry(file).get("lab") == str(LAB)
    }


def address(block: str, number: int) -> str:
    """Return the address of the host *number* (from 1) of a block."""
    return f"127.{block}.{number}"


def block_of(base: str) -> str:
    """Return the block that *base* asks for; raises `FleetError` if it cannot be."""
    match = BASE.fullmatch(base)
    if not match or int(match["net"]) not in NETS or int(match["byte"]) not in BYTES:
        msg = f"--address-base {base}: expected 127.A.B with A from 80 to 95"
        raise FleetError(msg)
    return match["block"]


def orphaned_blocks() -> list[str]:
    """Return the blocks of fleets whose folder is gone, running or not."""
    # Under the lock no fleet is between its block and its state file.
    with locked(REGISTRY / "lock"):
        owners = registered()
        running = {groups.block for groups in all_groups()}
        orphans = {block for block, owner in owners.items() if is_orphan(block, owner)}
    return sorted(orphans | (running - owners.keys()))


def is_orphan(block: str, folder: FleetDir) -> bool:
    """Whether the fleet in *folder* is gone or no longer has *block*."""
    try:
        state = json.loads(folder.state.read_text())
    except (OSError, ValueError):
        return True
    return bool(state.get("block") != block)


def _blocks() -> Iterator[str]:
    return (f"{net}.{byte}" for net in NETS for byte in BYTES)


def _file(block: str) -> Path:
    return REGISTRY / "blocks" / block


def _owner(file: Path) -> FleetDir:
    return FleetDir(path=Path(_entry(file).get("dir", "/nonexistent")))


def _entry(file: Path) -> dict[str, str]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError):
        return {}  # half-written by a tool that was killed: nobody's


def _is_free(block: str) -> bool:
    if _file(block).exists() and not is_orphan(block, _owner(_file(block))):
        return False
    return not groups_of_block(block) and _can_listen(address(block, HOSTS[0]))


def _can_listen(host: str) -> bool:
    """Whether the SSH port of the address is free, also from fleets we cannot see."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, SSH_PORT))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def _why_none(base: str | None) -> str:
    if base:
        return (
            f"--address-base {base} is in use: leave it out, or see `fleet list --all`"
        )
    return (
        f"no free address: something on this machine listens on port {SSH_PORT} of all"
        " addresses (an sshd?). Give it a ListenAddress of its own, or stop it"
    )
