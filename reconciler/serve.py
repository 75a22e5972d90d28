"""The daemon as a program: what is served, what wakes it, signals, its end."""

import contextlib
import faulthandler
import fcntl
import os
import platform
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from reconciler import heap, local_socket, process, reload
from reconciler.app import known_hosts, open_world
from reconciler.errors import SettingsError, StateError
from reconciler.history import History
from reconciler.loop.daemon import Daemon
from reconciler.loop.reporter import Reporter
from reconciler.loop.sharing import Heard, Sharing
from reconciler.metrics import Metrics, Pusher
from reconciler.settings import Settings
from reconciler.source import FileWatcher, FolderWatcher, Watcher, local_path, shown
from reconciler.systemd import Notifier, Pulse
from reconciler.web import Server, api, create_app
from reconciler.web.api import Access, Door
from reconciler.web.limiter import Limiter
from reconciler.web.reports import Reception
from reconciler.web.webhooks import Doorbell, Receiver, Routes, Seen
from reconciler.world import World, settle_mode, told_unset

log = structlog.get_logger(__name__)

STOP_SECONDS = 25.0
"""How long running passes may take at shutdown; systemd waits 90 s by default."""

NOTIFY_SECONDS = 2.0
"""How long each sender may take at shutdown; the next start goes on."""

CLAIM_SECONDS = 5.0
"""How often it is looked whether another machine has become the daemon."""

FAILED = 1


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
    stop = _stopped_by_signals()
    with (
        open_world(settings, lasting=True) as world,
        _only_daemon(settings.state.path),
        world.history.only_daemon(),
    ):
        world.history.interrupt(now=world.now())
        settle_mode(settings, world.history)
        daemon = Daemon(world)
        web, watchers = _serving(world, daemon, file)
        world.notify.start()
        daemon.start()
        _tell_of(world)
        usurped = _watched(world.history, stop)
        with _pulse(_notifier(), web, daemon):
            stop.wait()
        _end(world, daemon, web, watchers)
    return FAILED if usurped.told else 0


def run_worker(settings: Settings, *, file: Path | None = None) -> int:
    """
    Run as one of several workers until SIGTERM or SIGINT; return the exit status.

    As `run_daemon`; but the hosts are shared among all workers of the database. Raises
    SettingsError where that is a file.
    """
    _require_shared(settings)
    stop = _stopped_by_signals()
    ended: list[str] = []

    def end(told: str) -> None:
        log.error("this worker cannot go on, and ends", reason=told)
        ended.append(told)
        stop.set()

    with open_world(settings, lasting=True) as world, _only_daemon(settings.state.path):
        settle_mode(settings, world.history)
        sharing = Sharing(world.history)
        daemon = Daemon(world, sharing)
        heard = Heard(
            hosts=daemon.hosts,
            commit=daemon.current,
            placed=daemon.placed,
            leads=world.notify.start,
            look=daemon.look_again,
            ended=end,
        )
        sharing.start(heard)
        web, watchers = _serving(world, daemon, file)
        daemon.start()
        _tell_of(world)
        with _pulse(_notifier(), web, daemon):
            stop.wait()
        _end(world, daemon, web, watchers)
        sharing.stop()
    return FAILED if ended else 0


def _require_shared(settings: Settings) -> None:
    if settings.state.database is None:
        message = (
            "workers share a PostgreSQL, and `state.database` is not set: history is a"
            f" file in {settings.state.path}. Set it (docs/database.md), or run the"
            " daemon by itself: reconciler run"
        )
        raise SettingsError(message)


def _stopped_by_signals() -> threading.Event:
    """Return what SIGTERM and SIGINT set, in a process that is fit to run for long."""
    # What each thread does, without values, where systemd's watchdog ends us.
    faulthandler.enable()
    stop = threading.Event()
    heap.keep_small(stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _notifier() -> Notifier:
    return Notifier.from_environment(os.environ, os.getpid())


def _serving(
    world: World, daemon: Daemon, file: Path | None
) -> tuple[Web, list["_Watching"]]:
    """Serve, and watch what wakes the daemon; `_end` ends both."""
    web = _web(world, daemon)
    web.server.start()
    watchers = [
        *_reloading(file, world, daemon, web),
        *_watchers(world.settings, daemon),
        *_pushing(world.settings, world.metrics),
        *_reporting(world, daemon),
    ]
    for watcher in watchers:
        watcher.start()
    return web, watchers


def _end(
    world: World, daemon: Daemon, web: Web, watchers: Sequence["_Watching"]
) -> None:
    """End what runs, in good order."""
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


class _Usurped:
    """Has the daemon end once another machine has become it: see `History.usurped`."""

    def __init__(self, history: History, stop: threading.Event) -> None:
        self.told = ""
        self._history = history
        self._stop = stop
        self._thread = threading.Thread(target=self._run, name="claims", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(CLAIM_SECONDS):
            if told := self._history.usurped():
                self.told = told
                log.error("another daemon has the database; this one ends", who=told)
                self._stop.set()


def _watched(history: History, stop: threading.Event) -> _Usurped:
    usurped = _Usurped(history, stop)
    usurped.start()
    return usurped


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
        reports=_reception(world, daemon),
        api=(parts, door),
    )
    server = Server(
        app,
        listen=settings.http.listen,
        proxies=settings.http.proxies,
        local=settings.state.path / local_socket.NAME,
    )
    return Web(server=server, webhooks=webhooks, door=door)


def _reception(world: World, daemon: Daemon) -> Reception:
    """Return what takes the reports of hosts that deploy themselves."""
    return Reception(
        settings=lambda: world.settings,
        known_hosts=known_hosts(world.settings),
        history=world.history,
        heard=daemon.reported,
        limiter=Limiter(time.monotonic),
        now=world.now,
    )


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
    if folders := list(settings.repository.folders_of_secrets.values()):
        watchers.append(FolderWatcher(folders, daemon.look_again))
    return watchers


def _pushing(settings: Settings, metrics: Metrics) -> list[_Watching]:
    """Return what pushes metrics, if they are to be."""
    push = settings.metrics.push
    return [] if push.url is None else [Pusher(push, metrics)]


def _reporting(world: World, daemon: Daemon) -> list[_Watching]:
    """Return what tells a central reconciler of this machine, if there is one."""
    if world.settings.report.url is None:
        return []
    reporter = Reporter(world, daemon.problem)
    daemon.hear(reporter.ring)
    return [reporter]


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


@contextlib.contextmanager
def _only_daemon(state: Path) -> Iterator[None]:
    """
    Hold the lock that keeps a second daemon off the same state directory.

    Who holds it is named in the file, for the second one to tell.
    """
    path = state / "daemon.lock"
    try:
        file = path.open("a+")
    except OSError as error:
        msg = f"cannot open {path}: {error.strerror}"
        raise StateError(msg) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            msg = f"another daemon runs with the state directory {state}: {holder}"
            raise StateError(msg) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}\n")
        file.flush()
        yield
