"""Composition root: from settings to the world that commands and the daemon work in."""

import contextlib
import os
import pwd
import shlex
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from reconciler import process
from reconciler.desired import Evaluator
from reconciler.errors import StateError
from reconciler.history import open_history
from reconciler.history.place import FILE
from reconciler.metrics import Metrics
from reconciler.model import Policy, Target
from reconciler.notify import Notify
from reconciler.remote import Transport, written
from reconciler.remote.connections import Connections
from reconciler.remote.fence import Number
from reconciler.remote.local import Local
from reconciler.remote.transports import Transports
from reconciler.secrets import ClosedKeyring, Keyring, Overlays, protect
from reconciler.settings import Settings
from reconciler.settings.private import private_paths
from reconciler.source import Mirror
from reconciler.world import (
    Live,
    Tell,
    World,
    driver_of,
    policy_of,
    tell_nobody,
    unset_mode,
)

log = structlog.get_logger(__name__)

CONFIG_VARIABLE = "RECONCILER_CONFIG"
"""Names the settings file, where no option does."""


def known_hosts(settings: Settings) -> Path:
    """Return the file of host keys that this reconciler trusts."""
    return settings.ssh.known_hosts or settings.state.path / "known_hosts"


def ssh_config(settings: Settings, target: Target) -> Path:
    """Return the file with which ``ssh -F`` reaches *target* as we do."""
    file, folder = known_hosts(settings), settings.state.path / "ssh"
    return written(target, settings.ssh, known_hosts=file, folder=folder)


def _transport(settings: Settings, live: Live, number: Number) -> Transport:
    """Return how all hosts are reached, and by which *number* each is changed."""
    file, folder = known_hosts(settings), settings.state.path / "ssh"
    ssh = Connections(settings.ssh, known_hosts=file, folder=folder)
    return Transports(ssh=ssh, local=Local(), pulls=live.pulls, number=number)


@contextlib.contextmanager
def open_world(
    settings: Settings,
    *,
    policy: Policy | None = None,
    tell: Tell = tell_nobody,
    lasting: bool = False,
) -> Iterator[World]:
    """
    Open every adapter, and close them at the end.

    *lasting* is whether it is for a daemon, by whose name hosts are to know all who
    share its database.

    Raises StateError when the state directory cannot be used.
    """
    protect()  # secrets pass through our memory, and must not end in a core dump
    make_state(settings.state.path)
    process.sweep()
    history = open_history(settings.state)
    overlays = Overlays(settings.repository.folders_of_secrets)
    evaluator = Evaluator(
        settings, overlays=overlays.fingerprint, memory=history.lookings
    )
    live = Live(settings, policy or policy_of(settings, unset=unset_mode(history)))
    connections = _transport(settings, live, history.takes.number)
    metrics = Metrics()
    cage = process.Cage(
        hidden=private_paths(settings), shown=settings.secrets.command_paths
    )
    mirror = Mirror(
        settings.repository,
        state=settings.state.path,
        known_hosts=known_hosts(settings),
    )
    world = World(
        live=live,
        mirror=mirror,
        unanswered=mirror.unanswered,
        evaluator=evaluator,
        overlays=overlays,
        keyring=Keyring(
            evaluator,
            settings.secrets,
            cage=cage,
            withheld=settings.repository.withheld,
        ),
        cage=cage,
        connections=connections,
        history=history,
        metrics=metrics,
        notify=Notify(settings, history, metrics, time.time),  # noqa: TID251 # as World
        tell=tell,
        driver=driver_of(
            settings.state.path, shared=partial(history.driver, settle=lasting)
        ),
    )
    try:
        yield world
    finally:
        connections.close()
        history.close()


def for_proposals(world: World) -> World:
    """
    Return the world in which a commit is looked at that nobody has merged.

    It gets no key, no secret of `repository.secrets` and nothing of our environment,
    and what it evaluates to is never taken for what the same tree is once merged.
    """
    return replace(
        world,
        overlays=Overlays({}),
        evaluator=Evaluator(
            world.settings,
            overlays=lambda _places: "none",
            trusted=False,
            memory=world.history.lookings,
        ),
        keyring=ClosedKeyring(),
    )


def make_state(state: Path) -> None:
    """
    Make the state directory if need be.

    Raises StateError, also to root where it is another user's: what root wrote there,
    the daemon could neither change nor lock.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = state.stat().st_uid
        _close(state, owner)
    except OSError as error:
        msg = f"cannot make the state directory {state}: {error.strerror}"
        raise StateError(msg) from error
    if os.geteuid() == 0 != owner:
        name, command = _name_of(owner), shlex.join(_as_user(owner))
        msg = (
            f"the state directory {state} belongs to {name}, and what root writes there"
            f" {name} could not use; run: {command}"
        )
        raise StateError(msg)
    if not os.access(state, os.W_OK):
        msg = f"the state directory {state} is not writable for this user"
        raise StateError(msg)


def _close(state: Path, owner: int) -> None:
    """Take from others what they may in a state directory that an older umask made."""
    mode = stat.S_IMODE(state.stat().st_mode)
    ours = (state / FILE).exists()  # else it may be anybody's
    if mode & 0o077 and ours and owner == os.geteuid():
        state.chmod(mode & ~0o077)
        log.warning("others could read the state directory; not any more", path=state)


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"#{user}"  # as sudo takes it


def _as_user(user: int) -> list[str]:
    """Return this command as *user* would give it."""
    program, *words = sys.argv
    path = Path(program)
    if path.name == "__main__.py":
        command = [sys.executable, "-m", path.parent.name]
    elif shutil.which(path.name) == program:
        command = [path.name]
    else:
        command = [program]
    # Which sudo takes out of the environment.
    config = os.environ.get(CONFIG_VARIABLE)
    variables = ["env", f"{CONFIG_VARIABLE}={config}"] if config else []
    return ["sudo", "-H", "-u", _name_of(user), *variables, *command, *words]
