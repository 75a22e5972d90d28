"""``reconciler trust HOST``: accept a host's SSH keys, and the machine itself."""

from pathlib import Path
from typing import Annotated

import typer

from reconciler.app import known_hosts, ssh_config
from reconciler.cli.common import actor, err, out, require_yes
from reconciler.cli.forge import show_keys, trust_forge
from reconciler.cli.options import Host
from reconciler.cli.worlds import look, opened
from reconciler.errors import UnknownHostError
from reconciler.model import Desired, HostName, Target
from reconciler.remote import HostKey, public_key, record, record_next, scan
from reconciler.reports import known_as
from reconciler.revisions import Evaluations
from reconciler.world import World, last_way


def _key(text: str) -> HostKey:
    """Return the public key that *text* is, or that the file of that name holds."""
    try:
        path = Path(text)
        return public_key(path.read_text("utf-8") if path.is_file() else text)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error


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
    following: Annotated[
        HostKey | None,
        typer.Option(
            "--next",
            metavar="KEY",
            parser=_key,
            help="Record a key that the host will have, and ask nobody: its .pub file,"
            " or what is in it.",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before recording them.")
    ] = False,
) -> None:
    """
    Record the SSH host keys that a host shows now.

    The machine behind the name may be another one from now on. Compare the
    fingerprints with what the machine itself says; at a terminal it asks whether they
    are right:
    `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`.

    A commit that gives a host another key is rolled back, since nobody knows the new
    one: record it before, with `--next`. Those known so far stay. Of a host that
    deploys itself (`transport: pull`), `--next` is the only way: what it reports counts
    if it is signed with such a key.

    ```
    reconciler trust lufta
    reconciler trust lufta --replace
    reconciler trust --forge
    reconciler trust lufta --next ./ssh_host_ed25519_key.pub
    ```
    """
    if forge:
        trust_forge(context, host, replace=replace, yes=yes)
        return
    if not host:
        message = "name a host, or say --forge for the repository's"
        raise typer.BadParameter(message)
    with opened(context) as world:
        _, revision = look(world)
        name = HostName(host)
        if name not in revision.hosts:
            raise UnknownHostError(host, known=revision.hosts)
        if world.live.pulls(name):
            told = [_record_reporter(world, name, following, replace=replace)]
            out.print(f"{name} {told[0]}")
            _note(world, name, told)
            return
        desired = Evaluations(world).desired(revision, name)
        if desired.target.local:
            told = [_here(name, following, yes=yes)]
            world.history.machines.forget(name)
        elif following is not None:
            told = [_record_next(world, desired, following)]
            out.print(f"{name} {told[0]}")
        else:
            told = _fetch(world, desired, replace=replace, yes=yes)
            world.history.machines.forget(name)
        _note(world, name, told)
        if not desired.target.local:
            err.print(f"Recorded in {known_hosts(world.settings)}.")


def _note(world: World, name: HostName, told: list[str]) -> None:
    now, text = world.now(), ", ".join(told)
    world.history.event(now=now, kind="trust", host=name, actor=actor(), text=text)


def _record_reporter(
    world: World, name: HostName, key: HostKey | None, *, replace: bool
) -> str:
    """Record a *key* with which a host signs that is never reached."""
    if key is None:
        message = f"{name} deploys itself and is not asked: give its key with --next"
        raise typer.BadParameter(message)
    signer = Target(address=known_as(name))
    file = known_hosts(world.settings)
    try:
        record_next(signer, key, known_hosts=file, replace=replace)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return f"{key.label}, for what it reports"


def _here(name: HostName, following: HostKey | None, *, yes: bool) -> str:
    """Have a person say that the machine that we run on is the host."""
    if following is not None:
        message = f"{name} is reached without SSH: no key of it is ever asked for"
        raise typer.BadParameter(message)
    require_yes(f"Is this machine {name}?", yes=yes)
    return "the machine that the reconciler runs on"


def _fetch(world: World, desired: Desired, *, replace: bool, yes: bool) -> list[str]:
    """Record what the host shows now, unless a person says that it is not its own."""
    name, target, settings = desired.host, desired.target, world.settings
    config = ssh_config(settings, target)
    keys = scan(name, target, settings=settings.ssh, config=config)
    show_keys(name, keys)
    require_yes(f"Is this {name}, and are these keys its own?", yes=yes)
    file = known_hosts(settings)
    record(name, target, keys, known_hosts=file, replace=replace)
    return [f"{key.type} {key.fingerprint}" for key in keys]


def _record_next(world: World, desired: Desired, key: HostKey) -> str:
    """Record *key* where the host is, and where it will be."""
    file, now = known_hosts(world.settings), last_way(world, desired.host)
    if now is not None:
        world.connections.introduce(now, desired.target)
    for way in {now or desired.target, desired.target}:
        try:
            record_next(way, key, known_hosts=file)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    return f"{key.label}, from now on"


COMMANDS = {"trust": trust}
