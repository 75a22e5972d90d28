"""Composition root: from settings to running parts, and signals."""

import contextlib
import ctypes
import faulthandler
import fcntl
import os
import pwd
import shlex
import shutil
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from reconciler import local_socket, process, reload
from reconciler.desired import Evaluator
from reconciler.errors import StateError
from reconciler.history import History
from reconciler.loop import Daemon
from reconciler.metrics import Metrics
from reconciler.model import Policy, Target
from reconciler.notify import Notify
from reconciler.remote import Transport, written
from reconciler.remote.connections import Connections
from reconciler.secrets import ClosedKeyring, Keyring, Overlays, protect
from reconciler.settings import Settings
from reconciler.settings.private import private_paths
from reconciler.source import (
    FileWatcher,
    FolderWatcher,
    Mirror,
    Watcher,
    local_path,
    shown,
)
from reconciler.systemd import Notifier, Pulse
from reconciler.web import Server, api, create_app
from reconciler.web.api import Access, Door
from reconciler.web.limiter import Limiter
from reconciler.web.webhooks import Doorbell, Receiver, Routes, Seen
from reconciler.world import (
    Live,
    Tell,
    World,
    driver_of,
    policy_of,
    settle_mode,
    tell_nobody,
    told_unset,
    unset_mode,
)

log = structlog.get_logger(__name__)

STOP_SECONDS = 25.0
"""How long running passes may take at shutdown; systemd waits 90 s by default."""

NOTIFY_SECONDS = 2.0
"""How long each sender may take at shutdown; the next start goes on."""

DATABASE = "history.sqlite"  # in the state directory

CONFIG_VARIABLE = "RECONCILER_CONFIG"
"""Names the settings file, where no option does."""

M_ARENA_MAX = -8  # of <malloc.h>


def known_hosts(settings: Settings) -> Path:
    """Return the file of host keys that this reconciler trusts."""
    return settings.ssh.known_hosts or settings.state / "known_hosts"


def ssh_config(settings: Settings, target: Target) -> Path:
    """Return the file with which ``ssh -F`` reaches *target* as we do."""
    file, folder = known_hosts(settings), settings.state / "ssh"
    return written(target, settings.ssh, known_hosts=file, folder=folder)


def _transport(settings: Settings) -> Transport:
    """Return how all hosts are reached."""
    file, folder = known_hosts(settings), settings.state / "ssh"
    return Connections(settings.ssh, known_hosts=file, folder=folder)


@contextlib.contextmanager
def open_world(
    settings: Settings, *, policy: Policy | None = None, tell: Tell = tell_nobody
) -> Iterator[World]:
    """
    Open every adapter, and close them at the end.

    Raises StateError when the state directory cannot be used.
    """
    protect()  # secrets pass through our memory, and must not end in a core dump
    make_state(settings.state)
    history = History.open(settings.state / DATABASE)
    overlays = Overlays(settings.repository.secrets)
    evaluator = Evaluator(settings, overlays=overlays.fingerprint)
    connections = _transport(settings)
    metrics = Metrics()
    cage = process.Cage(
        hidden=private_paths(settings), shown=settings.secrets.command_paths
    )
    world = World(
        live=Live(settings, policy or policy_of(settings, unset=unset_mode(history))),
        mirror=Mirror(
            settings.repository,
            state=settings.state,
            known_hosts=known_hosts(settings),
        ),
        evaluator=evaluator,
        overlays=overlays,
        keyring=Keyring(evaluator, settings.secrets, cage=cage),
        cage=cage,
        connections=connections,
        history=history,
        metrics=metrics,
        notify=Notify(settings, history, metrics, time.time),  # noqa: TID251 # as World
        tell=tell,
        driver=driver_of(settings.state),
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
        evaluator=Evaluator(world.settings, overlays=lambda: "none", trusted=False),
        keyring=ClosedKeyring(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """What is served, and what decides for whom."""

    server: Server
    webhooks: Receiver
    door: Door


def run_daemon(settings: Settings, *, file: Path | None = None) -> int:
    """
    Run until SIGTERM or SIGINT; return the exit status.

    *file* is where *settings* come from: it is read again when it changes, and at
    SIGHUP.
    """
    _share_heap()
    # What each thread does, without values, where systemd's watchdog ends us.
    faulthandler.enable()
    notifier = Notifier.from_environment(os.environ, os.getpid())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with open_world(settings) as world, _only_daemon(settings.state):
        world.history.interrupt(now=world.now())
        settle_mode(settings, world.history)
        daemon = Daemon(world)
        web = _web(world, daemon)
        web.server.start()
        watchers = [*_reloading(file, world, daemon, web), *_watchers(settings, daemon)]
        for watcher in watchers:
            watcher.start()
        world.notify.start()
        daemon.start()
        _tell_of(world)
        with _pulse(notifier, web, daemon):
            stop.wait()
        log.info("stopping: no new attempts, waiting for those that run")
        daemon.shut()
        for watcher in watchers:
            watcher.stop()
        world.notify.shut()
        # Nix and git may be cut at any moment; what runs on a host is waited for.
        process.kill_all()
        ended = daemon.join(STOP_SECONDS)
        world.notify.join(NOTIFY_SECONDS)
        web.server.stop()
        web.webhooks.close()
        if not ended:
            log.warning("some passes did not end in time; history will tell")
    return 0


def _share_heap() -> None:
    """
    Have all threads allocate from one heap, where the C library is glibc.

    Else each of many threads that mostly wait gets one of its own, and keeps what it
    once took: mallopt(3).
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def _web(world: World, daemon: Daemon) -> Web:
    """Return what is served. Raises SettingsError where a secret is missing."""
    settings = world.settings
    webhooks = Receiver(
        routes=Routes(settings.webhooks),
        limiter=Limiter(time.monotonic),
        seen=Seen(world.history.deliveries),
        bell=Doorbell(daemon.pushed),
        metrics=world.metrics.webhooks,
        now=world.now,
    )
    door = Door(Access(settings.api), Limiter(time.monotonic), world.metrics.api)
    parts = api.Parts(daemon=daemon, history=world.history, now=world.now)
    app = create_app(
        world.metrics,
        daemon.problem,
        doing=daemon.doing,
        webhooks=webhooks,
        api=(parts, door),
    )
    server = Server(
        app,
        listen=settings.http.listen,
        proxies=settings.http.proxies,
        local=settings.state / local_socket.NAME,
    )
    return Web(server=server, webhooks=webhooks, door=door)


def _pulse(notifier: Notifier, web: Web, daemon: Daemon) -> Pulse:
    def problem() -> str:
        # Of its own end, the server cannot tell at /healthz.
        return web.server.problem() or daemon.problem()

    return Pulse(notifier, problem=problem, summary=daemon.summary)


class _Watching(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


def _reloading(
    file: Path | None, world: World, daemon: Daemon, web: Web
) -> list[_Watching]:
    """Return what takes the settings again when their file changes, or at SIGHUP."""
    if file is None:
        return []
    parts = reload.Parts(
        world=world, daemon=daemon, webhooks=web.webhooks, door=web.door
    )
    reloader = reload.Reloader(file, parts)
    signal.signal(signal.SIGHUP, lambda *_: reloader.reload())
    return [reloader, FileWatcher(file, reloader.reload)]


def _watchers(settings: Settings, daemon: Daemon) -> list[_Watching]:
    """Return what notices pushes to a path, and secrets that are saved, at once."""
    watchers: list[_Watching] = []
    if (path := local_path(settings.repository.url)) is not None:
        refs = "tags" if settings.repository.tag else "heads"
        watchers.append(Watcher(path, daemon.look_again, refs=refs))
    if folders := list(settings.repository.secrets.values()):
        watchers.append(FolderWatcher(folders, daemon.look_again))
    return watchers


def _tell_of(world: World) -> None:
    """Log what runs now, what it may do, and what it has to do without."""
    settings = world.settings
    log.info(
        "running",
        repository=shown(settings.repository.url),
        branch=settings.repository.followed,
        metrics=f"http://{settings.http.listen}/metrics",
        mode=world.policy.mode.value,
    )
    if settings.policy.mode is None:
        log.warning("policy.mode is not set", it_is=told_unset(world.policy.mode))
    if without := process.cage_problem():
        log.warning("programs that a commit names have no cage", reason=without)


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
    ours = (state / DATABASE).exists()  # else it may be anybody's
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


@contextlib.contextmanager
def _only_daemon(state: Path) -> Iterator[None]:
    """Hold the lock that keeps a second daemon off the same state directory."""
    path = state / "daemon.lock"
    try:
        file = path.open("w")
    except OSError as error:
        msg = f"cannot open {path}: {error.strerror}"
        raise StateError(msg) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"another daemon runs with the state directory {state}"
            raise StateError(msg) from None
        yield
