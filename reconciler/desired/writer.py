"""
Who writes to the store on behalf of evaluations, and builds what they import.

A daemon of Nix: the machine's, or where there is none, one of ours that lasts as long
as the evaluation. Who asks it can say with which options: which program is run after a
build, or that there be no sandbox. It obeys whom it trusts, and that is root. So, as
root, we ask the machine's daemon as nobody; and tell our own to trust no evaluation,
where that is a Nix that can be told.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from reconciler import process
from reconciler.errors import CommandError, ReconcilerError
from reconciler.errors import quote as quoted

_DISTRUST = (
    *("--option", "extra-experimental-features", "daemon-trust-override"),
    "--force-untrusted",
)
_DAEMON = ("NIX_REMOTE", "NIX_DAEMON_SOCKET_PATH")  # what says which one that is
_TRY_SECONDS = 20.0
_TRY = 'builtins.toFile "reconciler-probe" ""'
_NOWHERE = "HOME=/nonexistent"  # ours is not for others to read


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where Nix keeps what it has, and who writes there."""

    folder: Path
    state: Path
    is_ours: bool  # or a daemon's
    sockets: tuple[Path, ...] = ()  # of the daemon, where that is told

    @classmethod
    def of_machine(cls) -> "Store":
        """Return what Nix takes, by the environment and what is there."""
        folder = Path(os.environ.get("NIX_STORE_DIR", "/nix/store"))
        state = Path(os.environ.get("NIX_STATE_DIR", "/nix/var/nix"))
        remote = os.environ.get("NIX_REMOTE", "").removeprefix("auto")
        ours = remote == "local" or (not remote and os.access(state, os.W_OK))
        named = remote.removeprefix("unix://") if remote.startswith("unix://") else ""
        named = named.partition("?")[0] or os.environ.get("NIX_DAEMON_SOCKET_PATH", "")
        sockets = (Path(named),) if named.startswith("/") and not ours else ()
        return cls(folder=folder, state=state, is_ours=ours, sockets=sockets)

    @property
    def usual_sockets(self) -> Path:
        """The folder where the socket of the machine's daemon is by itself."""
        return self.state / "daemon-socket"


def writer(store: Store, options: Mapping[str, str]) -> tuple[str, ...]:
    """
    Return what an evaluation asks to write to *store*; nothing: the machine's daemon.

    It speaks over its stdin and stdout. *options* are those of the settings.
    """
    if store.is_ours:
        words = [
            word for pair in sorted(options.items()) for word in ("--option", *pair)
        ]
        distrust = _DISTRUST if can_distrust() else ()
        return ("env", "NIX_REMOTE=local", "nix-daemon", *distrust, "--stdio", *words)
    if os.geteuid() == 0 and not nobodys_problem():
        return _as_nobody(store)
    return ()


def told_writer() -> str:
    """Return for people who writes to the store on behalf of evaluations."""
    does = "writes to the store and builds what is imported"
    if Store.of_machine().is_ours:
        obeys = "no option" if can_distrust() else "each option, as this Nix can only"
        return f"a nix-daemon of ours {does}, and obeys {obeys} of an evaluation"
    asked = ""
    if os.geteuid() == 0:
        why = nobodys_problem()
        asked = f", asked as root, whom it obeys: {why}" if why else ", asked as nobody"
    return f"the machine's nix-daemon {does}{asked}"


@lru_cache(maxsize=1)
def can_distrust() -> bool:
    """Say whether a daemon of ours can be told to trust nobody; Nix 2.8 cannot."""
    argv = ("env", "NIX_REMOTE=local", "nix-daemon", *_DISTRUST, "--stdio")
    try:
        process.run(argv, deadline=_TRY_SECONDS, stdin=b"")
    except CommandError as error:
        # It ends with an error whenever nobody speaks to it.
        return not any(word in error.stderr for word in _DISTRUST[-2:])
    except ReconcilerError:
        return False
    return True


def nobodys_problem() -> str:
    """Return why the machine's daemon cannot be asked as nobody; empty if it can."""
    return _tried_as_nobody(*map(os.environ.get, _DAEMON))


@lru_cache(maxsize=4)
def _tried_as_nobody(*_daemon: str | None) -> str:
    if not shutil.which("setpriv"):
        return "setpriv was not found on PATH: install util-linux"
    words = ["nix-instantiate", "--eval", "--read-write-mode", "--expr", _TRY]
    try:
        with process.served(_as_nobody(Store.of_machine())) as door:
            argv = ["env", f"NIX_REMOTE=unix://{door}", *words]
            process.run(argv, deadline=_TRY_SECONDS)
    except CommandError as error:
        return f"nobody may not ask it: {quoted(error.stderr, 200).strip()}"
    except ReconcilerError as error:
        return str(error)
    return ""


def _as_nobody(store: Store) -> tuple[str, ...]:
    """Return what passes on to the machine's daemon, as nobody, what it is told."""
    # Only by that name does an older one pass it on, and only to and from pipes. Once
    # it has ended nobody is to wait for an answer, but the first pipe keeps the way
    # open. What is served has a process group of its own.
    places = (f"NIX_DAEMON_SOCKET_PATH={path}" for path in store.sockets)
    passed = "cat | { nix-daemon --stdio; exec >&-; sleep 0.1; kill 0; } | cat"
    passes = ("/bin/sh", "-c", passed)  # NixOS has it there
    return process.with_little_environment(
        [*process.as_nobody(), "env", _NOWHERE, *places, "NIX_REMOTE=daemon", *passes]
    )
