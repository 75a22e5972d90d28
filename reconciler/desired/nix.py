"""How Nix is called: options, deadlines, and how many of it at once."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from reconciler import process
from reconciler.settings import NixSettings

FILES = Path(__file__).parent / "nix"

EVALUATION_BYTES = 2 << 30
"""Memory that one evaluation of a NixOS may take; it bounds how many run at once."""

VERSION_DEADLINE = 30.0  # seconds


class Nix:
    """The machine's own Nix, old commands only: they are the same since 2.8."""

    def __init__(self, settings: NixSettings) -> None:
        self.settings = settings
        cores = os.cpu_count() or 1
        at_once = min(cores, max(1, available_memory() // EVALUATION_BYTES))
        self._evaluations = threading.BoundedSemaphore(at_once)
        self._builds = threading.BoundedSemaphore(cores)

    @cached_property
    def version(self) -> str:
        """What ``nix-instantiate --version`` prints."""
        argv = ("nix-instantiate", "--version")
        return process.run(argv, deadline=VERSION_DEADLINE).stdout.strip()

    def evaluate(
        self, file: str, arguments: Mapping[str, str], *, show_trace: bool = False
    ) -> str:
        """
        Return the JSON that *file* (in ``nix/``) evaluates to with *arguments*.

        Derivations are written to the store. Raises CommandError,
        CommandTimeoutError after ``nix.evaluate_timeout``, CommandMissingError.
        """
        more = ["--read-write-mode", *(("--show-trace",) if show_trace else ())]
        argv = self._evaluation(file, arguments, more)
        with self._evaluations:
            done = process.run(argv, deadline=self.settings.evaluate_timeout)
        return done.stdout

    def evaluate_secret(
        self,
        file: str,
        arguments: Mapping[str, str],
        *,
        on_line: Callable[[str], None],
    ) -> bytes:
        """
        Return what `evaluate` does, for an answer that is a secret.

        Nothing is written to the store; *on_line* alone hears Nix's stderr, which may
        quote the secret. Raises what `evaluate` raises.
        """
        argv = self._evaluation(file, arguments, [])
        with self._evaluations:
            return process.secret(
                argv,
                deadline=self.settings.evaluate_timeout,
                limit=process.STDOUT_LIMIT,
                on_line=on_line,
            )

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
        argv += ["--add-root", str(root), "--indirect", *self._options()]
        with self._builds:
            process.run(argv, deadline=self.settings.build_timeout, on_line=on_line)

    def _evaluation(
        self, file: str, arguments: Mapping[str, str], more: Sequence[str]
    ) -> list[str]:
        argv = ["nix-instantiate", "--eval", "--strict", "--json", *more]
        argv += [*self._search_path(), *self._options(), str(FILES / file)]
        for name, value in arguments.items():
            argv += ["--argstr", name, value]
        return argv

    def _search_path(self) -> list[str]:
        return [word for entry in self.settings.path for word in ("-I", entry)]

    def _options(self) -> list[str]:
        settings = sorted(self.settings.options.items())
        return [word for key, value in settings for word in ("--option", key, value)]


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Return how many bytes programs may still take; one evaluation's if unknown."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return EVALUATION_BYTES
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    kibibytes = fields.get("MemAvailable", "").split()
    return int(kibibytes[0]) * 1024 if kibibytes else EVALUATION_BYTES
