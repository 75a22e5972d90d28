"""``reconciler trust --forge``: accept the SSH keys of where the repository is."""

from collections.abc import Iterable

import typer

from reconciler.app import known_hosts, ssh_config
from reconciler.cli.common import chosen, err, out, require_yes
from reconciler.model import HostName, Target
from reconciler.remote import HostKey, record, scan
from reconciler.settings.git_values import repository_url
from reconciler.source import SshServer, ssh_server


def trust_forge(context: typer.Context, host: str, *, replace: bool, yes: bool) -> None:
    """
    Record the keys that a forge's SSH server shows now, beside those of hosts.

    Git's ssh looks into that file too. Neither the repository nor the database is
    needed: without the key there may be none yet.
    """
    settings = chosen(context).settings()
    server = _server(host, settings.repository.url)
    where = Target(address=server.address, port=server.port)
    name, file = HostName(server.alias or server.address), known_hosts(settings)
    config = ssh_config(settings, where)
    found = scan(name, where, settings=settings.ssh, config=config)
    show_keys(name, found)
    require_yes("Are these the keys that the forge publishes?", yes=yes)
    record(
        name,
        Target(address=server.alias) if server.alias else where,
        found,
        known_hosts=file,
        replace=replace,
    )
    err.print(f"Recorded in {file}. Compare with what the forge publishes.")


def show_keys(name: HostName, keys: Iterable[HostKey]) -> None:
    """Print keys by their fingerprints, to be compared."""
    for key in keys:
        out.print(f"{name} {key.type} {key.fingerprint}")


def _server(host: str, url: str) -> SshServer:
    """Return the server that a person names, or else that of the repository."""
    try:
        if server := ssh_server(repository_url(f"ssh://{host}") if host else url):
            return server
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    message = f"{host or 'the repository'} is not reached over SSH: it needs no key"
    raise typer.BadParameter(message)
