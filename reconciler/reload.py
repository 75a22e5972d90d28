"""A changed settings file is taken while the program runs, as far as that can be."""

import threading
from dataclasses import dataclass
from pathlib import Path

import structlog

from reconciler.errors import SettingsError, StateError
from reconciler.loop.daemon import Daemon
from reconciler.settings import Change, change, load
from reconciler.web.api import Access, Door
from reconciler.web.webhooks import Receiver, Routes
from reconciler.world import World, policy_of, settle_mode, unset_mode

log = structlog.get_logger(__name__)

SETTLE = 0.2
"""Seconds that whoever writes the file is given to end."""

RELOADED, REFUSED = "settings-reloaded", "settings-refused"
"""The kinds of event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What goes by settings that may change."""

    world: World
    daemon: Daemon
    webhooks: Receiver
    door: Door


class Reloader:
    """Takes the settings from their file again when told to, all or nothing."""

    def __init__(self, file: Path, parts: Parts) -> None:
        self._file = file
        self._parts = parts
        self._due = threading.Event()
        self._stopping = False
        self._refused = False
        self._thread = threading.Thread(target=self._run, name="settings", daemon=True)
        parts.world.metrics.settings_read(parts.world.now())

    def start(self) -> None:
        """Begin to listen to `reload`."""
        self._thread.start()

    def reload(self) -> None:
        """Take the settings soon; any thread or signal handler may call this."""
        self._due.set()

    def stop(self) -> None:
        """End; returns when the thread has ended."""
        self._stopping = True
        self._due.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            self._due.wait()
            self._parts.world.stopping.wait(SETTLE)
            self._due.clear()
            if not self._stopping:
                self._take()

    def _take(self) -> None:
        try:
            changed = self._apply()
        except (SettingsError, StateError) as error:
            self._refuse(error)
        except Exception:
            log.exception("reading the settings failed in a way we do not know")
            self._parts.world.metrics.settings_read(None)
        else:
            self._tell(changed)

    def _apply(self) -> Change:
        """
        Put in force what the file says.

        Raises SettingsError and StateError, nothing done.
        """
        parts = self._parts
        changed = change(parts.world.settings, load(self._file))
        settings = changed.settings
        routes, access = Routes(settings.webhooks), Access(settings.api)
        settle_mode(settings, parts.world.history)
        policy = policy_of(settings, unset=unset_mode(parts.world.history))
        parts.world.live.use(settings, policy)
        parts.world.evaluator.override(settings.hosts)
        parts.webhooks.use(routes)
        parts.door.use(access)
        if changed.applied:
            parts.daemon.settings_changed()
        return changed

    def _refuse(self, error: SettingsError | StateError) -> None:
        log.error("settings are wrong; the old ones stay", reason=str(error))
        self._refused = True
        self._parts.world.metrics.settings_read(None)
        self._note(REFUSED, str(error))

    def _tell(self, changed: Change) -> None:
        self._parts.world.metrics.settings_read(self._parts.world.now())
        if changed.applied:
            log.info("settings were read again", applied=changed.applied)
        if changed.restart:
            log.warning("these settings wait for a restart", settings=changed.restart)
        # A file that was only touched, or saved as it was, is no news.
        if changed.applied or changed.restart or self._refused:
            self._note(RELOADED, str(changed))
        self._refused = False

    def _note(self, kind: str, text: str) -> None:
        world = self._parts.world
        try:
            world.history.event(now=world.now(), kind=kind, text=text)
        except StateError as error:
            log.warning("cannot record a change of the settings", error=str(error))
