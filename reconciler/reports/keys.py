"""Whose signature counts for a host that deploys itself."""

from pathlib import Path

from reconciler.model import HostName
from reconciler.remote import HostKey, known_keys, public_key
from reconciler.settings import Settings


def known_as(host: HostName) -> str:
    """
    Return the name under which keys of *host* are recorded for its reports.

    It is no address: a machine that is reached as *host* would be another one.
    """
    return f"reports@{host}"


def keys_of(settings: Settings, known_hosts: Path, host: HostName) -> list[HostKey]:
    """
    Return the keys with which *host* may sign; none if it is not one that reports.

    Raises StateError.
    """
    chosen = settings.hosts.get(host)
    if chosen is None or not chosen.is_pulling:
        return []
    recorded = known_keys(known_hosts, known_as(host))
    declared = [public_key(text) for text in chosen.host_keys]
    found = dict.fromkeys([*declared, *recorded.accepted])
    return [key for key in found if key not in recorded.revoked]
