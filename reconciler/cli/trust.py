"""``reconciler trust HOST``: accept a host's SSH keys, and the machine itself."""

from typing import Annotated

import typer

from reconciler.app import known_hosts
from reconciler.cli.common import actor, err, out
from reconciler.cli.forge import trust_forge
from reconciler.cli.options import Host
from reconciler.cli.worlds import look, opened
from reconciler.errors import UnknownHostError
from reconciler.model import HostName
from reconciler.remote import trust as fetch_keys
from reconciler.revisions import Evaluations


def trust(
    context: typer.Context,
    host: Host = "",
    *,
    forge: Annotated[
        bool,
        typer.Option(
            "--forge",
            help="HOST is where the repository is, or a submodule; by default the"
            " repository's.",
        ),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Drop the keys known so far: the host was re-installed."
        ),
    ] = False,
) -> None:
    """
    Record the SSH host keys that a host shows now.

    The machine behind the name may be another one from now on. Compare the
    fingerprints with what the machine itself says:
    `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`.

    ```
    reconciler trust lufta
    reconciler trust lufta --replace
    reconciler trust --forge
    ```
    """
    if forge:
        trust_forge(context, host, replace=replace)
        return
    if not host:
        message = "name a host, or say --forge for the repository's"
        raise typer.BadParameter(message)
    with opened(context) as world:
        _, revision = look(world)
        name = HostName(host)
        if name not in revision.hosts:
            raise UnknownHostError(host, known=revision.hosts)
        desired = Evaluations(world).desired(revision, name)
        settings = world.settings
        keys = fetch_keys(
            name,
            desired.target,
            settings=settings.ssh,
            config=world.connections.ssh_config(desired.target),
            known_hosts=known_hosts(settings),
            replace=replace,
        )
        world.history.machines.forget(name)
        world.history.event(
            now=world.now(),
            kind="trust",
            host=name,
            actor=actor(),
            text=", ".join(f"{key.type} {key.fingerprint}" for key in keys),
        )
        for key in keys:
            out.print(f"{name} {key.type} {key.fingerprint}")
        err.print(f"Recorded in {known_hosts(settings)}.")


COMMANDS = {"trust": trust}
