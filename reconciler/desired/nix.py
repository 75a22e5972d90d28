"""How Nix is called: options, deadlines, and how many of it at once."""

import contextlib
import json
import os
import re
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from reconciler import process
from reconciler.desired import fetched, trace
from reconciler.desired.cage import FILES, NixCage
from reconciler.desired.memory import (
    EVALUATION_BYTES,
    Place,
    Room,
    available_memory,
    with_first_heap,
)
from reconciler.errors import (
    CommandError,
    CommandMemoryError,
    CommandMissingError,
    CommandTimeoutError,
)
from reconciler.settings import Settings
from reconciler.settings.values import memory_of

if TYPE_CHECKING:
    from reconciler.desired.reading import Reading

T = TypeVar("T")
Start = Callable[[Sequence[str], trace.Hides], T]

_LINES_HEARD = 200
_OUT_OF_MEMORY = re.compile(r"^error: out of memory|bad_alloc", re.MULTILINE)

TARBALL_TTL = 3600.0
"""Seconds for which Nix by itself does not fetch again."""

_STALE = re.compile(
    r"^warning: .*(?:using cached version|continuing with the most recent version)",
    re.MULTILINE,
)
"""What Nix says where it cannot fetch, and takes what it has from before."""

VERSION_DEADLINE = 30.0  # seconds
SIGN_DEADLINE = 600.0

FLAKES = ("--option", "extra-experimental-features", "flakes")
"""For ``builtins.getFlake`` and ``fetchTree``; Nix from 2.8 on takes the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """How an evaluation is started."""

    pins: tuple[str, ...] = ()  # entries of the search path that the repository brings
    flakes: bool = False
    package: str = ""  # hash of our Nix files, if nothing else may be looked at

    @property
    def options(self) -> tuple[str, ...]:
        """What is set besides ``nix.options``."""
        pure = ("--option", "pure-eval", "true") if self.package else ()
        return (*(FLAKES if self.flakes else ()), *pure)

    def search_path(self, entries: Sequence[str]) -> list[str]:
        """Return arguments for *entries*, which win over what the repository brings."""
        return [word for entry in (*entries, *self.pins) for word in ("-I", entry)]

    def program(self, file: str) -> list[str]:
        """Return arguments for one of our files; pure evaluation fetches it by hash."""
        if not self.package:
            return [str(FILES / file)]
        fields = (
            f'type = "path"; path = {_quoted(str(FILES))}; narHash = "{self.package}";'
        )
        return ["--expr", f'import "${{builtins.fetchTree {{ {fields} }}}}/{file}"']


def _quoted(text: str) -> str:
    """Return *text* as a string of the Nix language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'"{escaped}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What is known of an evaluation that went well."""

    trace: trace.Trace | None  # None: it could not be traced
    seconds: float
    memory: int  # bytes; 0: not known


def _fresh_for(refresh: float | None) -> tuple[str, ...]:
    """Return what has Nix fetch again within *refresh* what it fetched without hash."""
    if refresh is None or refresh / 2 >= TARBALL_TTL:
        return ()
    # Half of it: what was fetched a moment after an evaluation began is as old.
    return ("--option", "tarball-ttl", str(int(refresh / 2)))


def hear_nothing(_heard: Heard) -> None:
    """Hear what an evaluation took, and keep nothing of it."""


@dataclass(frozen=True, slots=True)
class _Goes(Generic[T]):
    """How an evaluation is started, and what Nix said in one that failed or did not."""

    start: Start[T]
    said: Callable[[CommandError], str]
    told: Callable[[T], str] = lambda _done: ""
    cache: Path | None = None  # for what is fetched


class Nix:
    """The machine's own Nix, old commands only: they are the same since 2.8."""

    def __init__(
        self,
        settings: Settings,
        *,
        trusted: bool = True,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        """
        Take whether what is evaluated was merged.

        *sizes* are what evaluations of hosts took before, in bytes.
        """
        self.settings = settings.nix
        self.cage = NixCage(settings, trusted=trusted)
        self.trusted = trusted
        self._freshness = _fresh_for(settings.repository.refresh)
        cores = os.cpu_count() or 1
        self._room = Room(
            places=self.settings.jobs or cores,
            memory=memory_of(
                self.settings.memory, max(EVALUATION_BYTES, available_memory())
            ),
            sizes=sizes,
        )
        self._builds = threading.BoundedSemaphore(cores)

    @cached_property
    def version(self) -> str:
        """What ``nix-instantiate --version`` prints."""
        argv = ("nix-instantiate", "--version")
        return process.run(argv, deadline=VERSION_DEADLINE).stdout.strip()

    def evaluate(
        self,
        file: str,
        arguments: Mapping[str, str],
        *,
        reading: "Reading",
        show_trace: bool = False,
        hear: Callable[[Heard], None] | None = None,
    ) -> str:
        """
        Return the JSON that *file* (in ``nix/``) evaluates to with *arguments*.

        It sees the checkout. Derivations are written to the store. *hear* gets what it
        looked at. Raises CommandError, CommandTimeoutError after
        ``nix.evaluate_timeout``, CommandMissingError, CageError.
        """
        more = ["--read-write-mode", *(("--show-trace",) if show_trace else ())]
        argv = self._evaluation(file, arguments, reading.mode, more)
        traces: list[trace.Trace] = []
        listen = traces.append if hear is not None else None
        seconds = self.settings.evaluate_timeout

        def said(error: CommandError) -> str:
            return error.stderr

        def run(words: Sequence[str]) -> process.Completed:
            return process.run(words, deadline=seconds, told_as=argv)

        def within(place: Place, cache: Path | None) -> process.Completed:
            bounds = process.limits(memory=place.limit)

            def start(words: Sequence[str], hides: trace.Hides) -> process.Completed:
                try:
                    with trace.around(words, listen, hides=hides) as traced:
                        return run((*bounds, *traced))
                except trace.FullError:
                    traces.append(trace.too_large())
                    return run((*bounds, *words))

            cages = _Goes(start, said, told=lambda done: done.stderr, cache=cache)
            words = with_first_heap(argv, place.limit)
            done = self._in_cage(words, reading, cages)
            place.measured(done.peak)
            return done

        with self._own_cache(reading, traced=hear is not None) as cache:
            done = self._in_room(
                arguments.get("host", file), lambda place: within(place, cache), said
            )
        if hear is not None:
            found = traces[-1] if traces else None
            if found is not None and cache is not None:
                found.cache = str(cache)
            hear(Heard(trace=found, seconds=done.seconds, memory=done.peak))
        return done.stdout

    @contextlib.contextmanager
    def _own_cache(self, reading: "Reading", *, traced: bool) -> Iterator[Path | None]:
        """Give a cache for one evaluation alone, if that is *traced* and a flake's."""
        if reading.fetched is None or not traced:
            yield None
            return
        with fetched.cache(reading.fetched, self.cage.fetched) as place:
            yield place

    def evaluate_secret(
        self,
        file: str,
        arguments: Mapping[str, str],
        *,
        reading: "Reading",
        on_line: Callable[[str], None],
    ) -> bytes:
        """
        Return what `evaluate` does, for an answer that is a secret.

        Nothing is written to the store; *on_line* alone hears Nix's stderr, which may
        quote the secret. Raises what `evaluate` raises.
        """
        argv = self._evaluation(file, arguments, reading.mode, [])
        heard: deque[str] = deque(maxlen=_LINES_HEARD)

        def hear(line: str) -> None:
            heard.append(line)
            on_line(line)

        def said(_error: CommandError) -> str:
            return "\n".join(heard)

        def within(place: Place) -> bytes:
            bounds = process.limits(memory=place.limit)

            def start(words: Sequence[str], _hides: trace.Hides) -> bytes:
                heard.clear()
                return process.secret(
                    (*bounds, *words),
                    deadline=self.settings.evaluate_timeout,
                    limit=process.STDOUT_LIMIT,
                    on_line=hear,
                    on_peak=place.measured,
                )

            words = with_first_heap(argv, place.limit)
            return self._in_cage(words, reading, _Goes(start, said))

        return self._in_room(arguments.get("host", file), within, said)

    def value(self, expression: str) -> object:
        """
        Return the plain value of an *expression* that reads no file.

        Raises CommandError, ValueError for what has no form in JSON.
        """
        argv = ["nix-instantiate", "--eval", "--strict", "--json", "--readonly-mode"]
        argv += [*self.options(), "--option", "restrict-eval", "true"]
        done = process.run(
            [*argv, "--expr", expression], deadline=self.settings.evaluate_timeout
        )
        return json.loads(done.stdout)

    def fetch(self, path: str) -> None:
        """
        Have the store path *path* and all that it needs here, from caches if need be.

        Raises CommandError, CommandTimeoutError after ``nix.build_timeout``,
        CommandMissingError.
        """
        argv = ["nix-store", "--realise", path, *self.options()]
        with self._builds:
            process.run(argv, deadline=self.settings.build_timeout)

    def realise(
        self,
        derivation: str,
        *,
        root: Path,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """
        Build *derivation* and keep it by the symlink *root*.

        Raises CommandError, CommandTimeoutError after ``nix.build_timeout``,
        CommandMissingError.
        """
        argv = ["nix-store", "--realise", derivation]
        argv += ["--add-root", str(root), "--indirect", *self.options()]
        with self._builds:
            process.run(argv, deadline=self.settings.build_timeout, on_line=on_line)

    def sign(self, path: str) -> None:
        """
        Sign *path* and all that it needs with ``nix.signing_key``, if there is one.

        Raises CommandError, CommandTimeoutError, CommandMissingError.
        """
        key = self.settings.signing_key
        if key is None:
            return
        argv = ["nix", "--extra-experimental-features", "nix-command", "store", "sign"]
        argv += ["--key-file", str(key), "--recursive", path]
        process.run(argv, deadline=SIGN_DEADLINE)

    def _in_room(
        self,
        subject: str,
        within: Callable[[Place], T],
        said: Callable[[CommandError], str],
        *,
        alone: bool = False,
    ) -> T:
        """
        Have *within* evaluate with the memory that it is given; once more with all.

        Raises CommandMemoryError where all is not enough, CommandMissingError.
        """
        # What is put before it would not say which program is not there.
        if shutil.which(trace.PROGRAM) is None:
            raise CommandMissingError(trace.PROGRAM)
        with self._room.taken(subject, alone=alone) as place:
            try:
                return within(place)
            except CommandTimeoutError:
                raise
            except CommandError as error:
                if not _OUT_OF_MEMORY.search(said(error)):
                    raise
                if place.is_all:
                    raise CommandMemoryError(limit=place.limit, cause=error) from error
        return self._in_room(subject, within, said, alone=True)

    def _in_cage(self, argv: Sequence[str], reading: "Reading", go: "_Goes[T]") -> T:
        """
        Have *argv* run, without the network unless something is fetched.

        Also where Nix would take what it fetched before, since it is too old.
        """
        checkout, host, cache = reading.checkout, reading.host, go.cache
        if not self.cage.holds:
            words = (*fetched.in_cache(cache), *argv) if cache else argv
            return go.start(words, trace.hides_nothing)
        try:
            caged = self.cage.around(argv, checkout, host=host, cache=cache)
            with caged as (words, hides):
                done = go.start(words, hides)
            if not _STALE.search(go.told(done)):
                return done
        except CommandTimeoutError:
            raise
        except CommandError as error:
            if not self.cage.must_fetch(go.said(error), checkout, host):
                raise
        pure = bool(reading.mode.package)
        fetching = self.cage.around(argv, checkout, host=host, fetches=True, pure=pure)
        with fetching as (words, hides):
            return go.start(words, hides)

    def _evaluation(
        self,
        file: str,
        arguments: Mapping[str, str],
        mode: Mode,
        more: Sequence[str],
    ) -> list[str]:
        argv = ["nix-instantiate", "--eval", "--strict", "--json", *more]
        argv += mode.search_path(self.settings.path)
        argv += [*self._freshness, *self.options(), *mode.options]
        argv += mode.program(file)
        for name, value in arguments.items():
            argv += ["--argstr", name, value]
        if self.trusted:  # in a cage little of the environment is left
            return [*process.with_steady_environment(argv)]
        return [*process.with_little_environment(argv)]

    def options(self) -> list[str]:
        """Return ``nix.options`` as arguments."""
        settings = sorted(self.settings.options.items())
        return [word for key, value in settings for word in ("--option", key, value)]
