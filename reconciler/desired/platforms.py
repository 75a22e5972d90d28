"""For which platforms this machine's Nix has something built, itself or by others."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reconciler import process
from reconciler.desired.nix import Nix
from reconciler.errors import CommandError, ReconcilerError, StoppingError

DEADLINE = 30.0
KEPT = 60.0
"""Seconds for which an answer counts: somebody may add a builder meanwhile."""

_CONFIGS = (("config", "show"), ("show-config",))  # since Nix 2.20, and before
_SYSTEMS = 1  # the field of a builder's line that names its platforms


class Platforms:
    """What can be built by our Nix; any thread may ask."""

    def __init__(self, nix: Nix) -> None:
        self._nix = nix
        self._lock = threading.Lock()
        self._known: tuple[str, ...] | None = None
        self._until = 0.0

    def missing(self, platform: str) -> str:
        """
        Return why nothing can be built for *platform*, and the ways out.

        Empty if it can be, and where Nix does not say: it will when it builds. Raises
        StoppingError.
        """
        known = self._now()
        if not platform or known is None or platform in known:
            return ""
        return (
            f"it is for {platform}, and what is not in a cache can be built here for"
            f" {', '.join(known)} only; {ways_out(platform)}"
        )

    def _now(self) -> tuple[str, ...] | None:
        with self._lock:
            if time.monotonic() >= self._until:
                self._known = self._ask()
                self._until = time.monotonic() + KEPT
            return self._known

    def _ask(self) -> tuple[str, ...] | None:
        try:
            config = self._config()
            own = _value(config, "system")
            extra = _value(config, "extra-platforms")
            builders = _builders(_value(config, "builders"), own)
            return tuple(dict.fromkeys([own, *extra, *builders]))
        except StoppingError:
            raise
        except (ReconcilerError, OSError, ValueError, KeyError, TypeError):
            return None

    def _config(self) -> Mapping[str, Any]:
        nix = ("nix", "--extra-experimental-features", "nix-command")
        for words in _CONFIGS:
            argv = [*nix, *words, "--json", *self._nix.options()]
            try:
                done = process.run(argv, deadline=DEADLINE)
            except CommandError:
                if words == _CONFIGS[-1]:
                    raise
                continue
            config: Mapping[str, Any] = json.loads(done.stdout)
            return config
        raise KeyError  # there are words


def ways_out(platform: str) -> str:
    """Return what to do to have something built for *platform*."""
    return (
        "give Nix here a remote builder for it (`builders` in nix.conf), or emulate it"
        f' (boot.binfmt.emulatedSystems = [ "{platform}" ]), or let the host build it'
        " (deployment.buildOnTarget, or hosts.NAME.build: host)"
    )


def _value(config: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 -- JSON
    return config[name]["value"]


def _builders(text: str, own: str) -> Iterator[str]:
    """
    Yield the platforms of remote builders, as nix.conf(5) names these.

    A line for each, or between semicolons; a file of them after an @.
    """
    for line in text.replace(";", "\n").splitlines():
        plain = line.partition("#")[0].strip()
        if plain.startswith("@"):
            file = Path(plain[1:].strip())
            yield from _builders(file.read_text() if file.exists() else "", own)
        elif plain:
            words = plain.split()
            named = words[_SYSTEMS] if len(words) > _SYSTEMS else "-"
            yield from [own] if named == "-" else named.split(",")
