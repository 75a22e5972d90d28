"""Who is at the other end of a connection, as the kernel tells."""

import os
import pwd
import socket
import struct
from dataclasses import dataclass

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The other end of a connection."""

    local: bool  # it came over our own socket in the file system
    user: str = ""  # who that is
    trusted: bool = False  # it is root, or the user that we run as


REMOTE = Peer(local=False)
"""Everybody who comes over the network, loopback included."""


def peer_of(connection: socket.socket) -> Peer:
    """Return who is at the other end of *connection*."""
    if connection.family != socket.AF_UNIX:
        return REMOTE
    try:
        told = connection.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
        )
    except OSError:
        return Peer(local=True)
    _pid, uid, _gid = _CREDENTIALS.unpack(told)
    return Peer(local=True, user=_name(uid), trusted=uid in {0, os.geteuid()})


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
