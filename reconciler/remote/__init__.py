"""
Hosts, over SSH or here: looking (``HostReader``), changing (``HostWriter``), copying.

What the rest of the program may know of it is ``Transport``; which one that is, only
`reconciler.app`.

Fabric and Paramiko are imported here and nowhere else.
"""

from reconciler.remote.hosts import (
    DeploysItselfError,
    Hear,
    HostReader,
    HostWriter,
    OnLine,
    RemoteResult,
    Transport,
)
from reconciler.remote.known_hosts import HostKey, known_keys, public_key
from reconciler.remote.session import become_root
from reconciler.remote.ssh_config import written
from reconciler.remote.trust import TrustedKey, record, record_next, scan, trust

__all__ = [
    "DeploysItselfError",
    "Hear",
    "HostKey",
    "HostReader",
    "HostWriter",
    "OnLine",
    "RemoteResult",
    "Transport",
    "TrustedKey",
    "become_root",
    "known_keys",
    "public_key",
    "record",
    "record_next",
    "scan",
    "trust",
    "written",
]
