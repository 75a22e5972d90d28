"""
Hosts over SSH: looking (``HostReader``) and changing (``HostWriter``).

Fabric and Paramiko are imported here and nowhere else.
"""

from reconciler.remote.connections import Connections
from reconciler.remote.hosts import HostReader, HostWriter, OnLine, RemoteResult
from reconciler.remote.trust import TrustedKey, record, scan, trust

__all__ = [
    "Connections",
    "HostReader",
    "HostWriter",
    "OnLine",
    "RemoteResult",
    "TrustedKey",
    "record",
    "scan",
    "trust",
]
