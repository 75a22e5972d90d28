"""What keys hold: digests to compare with, and contents to deliver."""

import hashlib
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reconciler import process
from reconciler.errors import (
    CommandError,
    CommandMissingError,
    CommandOutputError,
    CommandTimeoutError,
    KeyContentError,
    PermanentError,
)
from reconciler.model import Desired, DesiredKey, Digests, HostName, KeyOrigin
from reconciler.process.cage import MEMORY, Cage
from reconciler.secrets import age, files
from reconciler.settings import OverlaySettings, SecretsSettings

COMMAND_SECONDS = 300.0
"""A keyCommand is run again after this long: nothing tells when its answer changes."""

READ_SECONDS = 600.0
"""A file is read again after this long, whatever we think has changed."""

KEPT_STAMPS = 2
"""States of a source that are remembered: of the newest commit, and of one before."""

RETRY_SECONDS = 60.0
"""A command that failed is run again after this long."""

Result = bytes | KeyContentError
Slot = tuple[str, ...]
Withheld = Callable[[HostName], Mapping[str, OverlaySettings]]
"""Tells which folders of ``repository.secrets`` a host does not get."""


class Texts(Protocol):
    """Who evaluates the texts of keys."""

    def key_texts(
        self, checkout: Path, host: HostName, names: Sequence[str]
    ) -> dict[str, bytes]:
        """Return the texts of the keys *names*; KeyContentError, CommandError."""

    def cache_key(self, tree: str, host: HostName) -> str:
        """Return what changes whenever a text may change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What we remember of one source: never the content."""

    stamp: str
    until: float
    digest: str = ""
    problem: str = ""


class Keyring:
    """
    Reads the contents of keys from their sources; may be used by many threads.

    Digests are remembered, in memory, for as long as nothing tells that the source
    changed. Contents are not: they are read anew for whoever delivers them.
    """

    def __init__(
        self,
        evaluator: Texts,
        settings: SecretsSettings,
        *,
        cage: Cage | None = None,
        withheld: Callable[
            [HostName], Mapping[str, OverlaySettings]
        ] = lambda _host: {},
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take which folders of secrets are *withheld* from a host."""
        self._evaluator = evaluator
        self._settings = settings
        self._cage = cage
        self._withheld = withheld
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[Slot, tuple[_Known, ...]] = {}  # the last one used is last

    def digests(self, desired: Desired, checkout: Path) -> Digests:
        """
        Return what the keys of *desired* hash to, and why some do not.

        *checkout* is the commit that *desired* came from. Raises StoppingError only.
        """
        known: dict[str, _Known] = {}
        stale = []
        for source in self._sources(desired, checkout):
            if (found := self._recall(source)) is None:
                stale.append(source)
            else:
                known[source.key.name] = found
        for source, result in self._read(stale):
            known[source.key.name] = self._remember(source, result)
        return Digests(
            known={name: found.digest for name, found in known.items() if found.digest},
            problems={n: found.problem for n, found in known.items() if found.problem},
        )

    def contents(
        self, desired: Desired, checkout: Path, names: Iterable[str]
    ) -> dict[str, bytes]:
        """
        Return what the keys *names* of *desired* hold, for delivery and no longer.

        Those that cannot be had are left out; ``digests`` says why. Raises
        StoppingError only.
        """
        wanted = set(names)
        sources = [s for s in self._sources(desired, checkout) if s.key.name in wanted]
        found = {}
        for source, result in self._read(sources):
            self._remember(source, result)
            if isinstance(result, bytes):
                found[source.key.name] = result
        return found

    # --- remembering -------------------------------------------------------------

    def _sources(self, desired: Desired, checkout: Path) -> list["_Source"]:
        keys = desired.keys.values()
        stamp = ""
        if any(key.origin is KeyOrigin.TEXT for key in keys):
            stamp = self._evaluator.cache_key(str(checkout), desired.host)
        identities = [files.stamp(path) for path in self._settings.identity]
        return [
            _Source(
                host=desired.host,
                key=key,
                checkout=checkout,
                withheld=self._refusal(desired.host, key, checkout),
                stamp=stamp
                if key.origin is KeyOrigin.TEXT
                else _stamp(key, checkout, identities),
            )
            for key in keys
        ]

    def _refusal(self, host: HostName, key: DesiredKey, checkout: Path) -> str:
        """Return why *host* does not get a file: it is laid over for others alone."""
        if key.origin is not KeyOrigin.FILE:
            return ""
        for place, one in self._withheld(host).items():
            if process.leads_into(checkout / key.file, one.path):
                whose = " ".join(one.hosts)
                return (
                    f"repository.secrets gives {place} to {whose} alone; list {host}"
                    " there, in `hosts`, if it is to have it"
                )
        return ""

    def _recall(self, source: "_Source") -> _Known | None:
        with self._lock:
            known = self._known.get(source.slot, ())
            same = next((one for one in known if one.stamp == source.stamp), None)
            if same is None or self._clock() >= same.until:
                return None
            # A host in quarantine is kept by the commit before, and looked at by the
            # newest: neither may push out the other.
            self._known[source.slot] = (*(one for one in known if one != same), same)
        return same

    def _remember(self, source: "_Source", result: Result) -> _Known:
        digest, problem = "", ""
        if isinstance(result, bytes):
            digest = hashlib.sha256(result).hexdigest()
        else:
            problem = str(result)
        until = self._clock() + _seconds(source.key.origin, failed=bool(problem))
        known = _Known(stamp=source.stamp, until=until, digest=digest, problem=problem)
        with self._lock:
            before = self._known.get(source.slot, ())
            others = [one for one in before if one.stamp != known.stamp]
            self._known[source.slot] = (*others, known)[-KEPT_STAMPS:]
        return known

    # --- reading -----------------------------------------------------------------

    def _read(self, sources: Sequence["_Source"]) -> Iterator[tuple["_Source", Result]]:
        texts = [s for s in sources if s.key.origin is KeyOrigin.TEXT]
        yield from self._texts(texts)
        for source in sources:
            if source.key.origin is not KeyOrigin.TEXT:
                yield source, self._read_one(source)

    def _read_one(self, source: "_Source") -> Result:
        try:
            if source.key.origin is KeyOrigin.FILE:
                return self._file(source)
            return self._command(source)
        except KeyContentError as error:
            return error

    def _texts(
        self, sources: Sequence["_Source"]
    ) -> Iterator[tuple["_Source", Result]]:
        """Ask for all at once; if that fails, for each half, to find the bad ones."""
        if not sources:
            return
        first = sources[0]
        names = [source.key.name for source in sources]
        try:
            found: Mapping[str, Result] = self._evaluator.key_texts(
                first.checkout, first.host, names
            )
        except KeyContentError as error:
            if len(sources) > 1:
                half = len(sources) // 2
                yield from self._texts(sources[:half])
                yield from self._texts(sources[half:])
                return
            found = dict.fromkeys(names, error)
        except (CommandError, CommandMissingError, PermanentError) as error:
            found = dict.fromkeys(names, KeyContentError(f"its text: {error}"))
        for source in sources:
            yield source, _limited(found[source.key.name])

    def _file(self, source: "_Source") -> bytes:
        path, shown = source.checkout / source.key.file, source.key.file
        if source.withheld:
            message = f"{shown}: {source.withheld}"
            raise KeyContentError(message)
        if not path.exists() and path.is_relative_to(source.checkout):
            message = f"{shown}: {KeyContentError.MISSING}"
            raise KeyContentError(message)
        if path.suffix == files.AGE:
            return age.decrypt_file(path, self._settings.identity, shown=shown)
        return files.read(path, shown=shown)

    def _command(self, source: "_Source") -> bytes:
        argv, cage = source.key.command, self._cage
        try:
            return process.secret(
                cage.around(argv, folder=source.checkout) if cage else argv,
                memory=MEMORY,
                deadline=self._settings.command_timeout,
                limit=files.LIMIT,
                cwd=source.checkout,
            )
        except (CommandError, CommandMissingError, PermanentError) as error:
            message = f"keyCommand {argv[0]!r} {_ending(error)}"
            raise KeyContentError(message) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """One key, where it is read, and what tells whether that changed."""

    host: HostName
    key: DesiredKey
    checkout: Path
    stamp: str
    withheld: str = ""  # why its host does not get it

    @property
    def slot(self) -> Slot:
        """What is remembered together: hosts may share a file or a command."""
        key = self.key
        match key.origin:
            case KeyOrigin.TEXT:
                return ("text", self.host, key.name)
            case KeyOrigin.FILE:
                return ("file", key.file, self.withheld)
            case KeyOrigin.COMMAND:
                return ("command", *key.command)


def _seconds(origin: KeyOrigin, *, failed: bool) -> float:
    """Return how long a result is good while its stamp stays the same."""
    match origin:
        case KeyOrigin.COMMAND:
            return RETRY_SECONDS if failed else COMMAND_SECONDS
        case KeyOrigin.TEXT if not failed:
            return math.inf  # Nix would say the same again
        case _:
            return READ_SECONDS


def _stamp(key: DesiredKey, checkout: Path, identities: Sequence[str]) -> str:
    """Return what tells that a file or command may say something else."""
    if key.origin is KeyOrigin.COMMAND:
        return str(checkout)  # its script may be in the repository
    used = identities if key.file.endswith(files.AGE) else ()
    return "\n".join([files.stamp(checkout / key.file), *used])


def _limited(result: Result) -> Result:
    if isinstance(result, bytes) and len(result) > files.LIMIT:
        return KeyContentError(f"its text is larger than {files.LIMIT >> 20} MiB")
    return result


def _ending(error: Exception) -> str:
    """Say how a command ended, without anything that it or its arguments said."""
    match error:
        case CommandTimeoutError():
            return f"did not end within {error.seconds:g} s and was stopped"
        case CommandOutputError():
            return f"printed more than {error.limit >> 20} MiB and was stopped"
        case CommandMissingError():
            return "was not found on PATH"
        case CommandError() if error.status < 0:
            return f"was ended by signal {-error.status}"
        case CommandError():
            return f"exited with status {error.status}"
        case _:
            return "cannot be run with these arguments"
