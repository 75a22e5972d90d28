"""
Hosts over SSH: looking (``HostReader``) and changing (``HostWriter``).

Fabric and Paramiko are imported here and nowhere else.
"""

from reconciler.remote.connections import Connections
from reconciler.remote.hosts import HostReader, HostWriter, OnLine, RemoteResult
from reconciler.remote.known_hosts import HostKey, public_key
from reconciler.remote.trust import TrustedKey, record, record_next, scan, trust

__all__ = [
    "Connections",
    "HostKey",
    "HostReader",
    "HostWriter",
    "OnLine",
    "RemoteResult",
    "TrustedKey",
    "public_key",
    "record",
    "record_next",
    "scan",
    "trust",
]
