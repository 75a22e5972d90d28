"""What an answer of Nix depends on besides the files that it looks at."""

import hashlib
import json
import os
import platform
import uuid
from collections.abc import Callable, Collection, Mapping
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath

from reconciler import process
from reconciler.desired import fingerprint
from reconciler.desired.cage import FILES
from reconciler.desired.kept import Question
from reconciler.desired.nix import Nix
from reconciler.desired.reading import Arguments, Reading
from reconciler.desired.spared import LIST_OF_HOSTS as LIST
from reconciler.model import HostName, subject_of
from reconciler.settings import HostSettings, Settings

Overlaid = Callable[[Collection[str] | None], str]
"""Tells what lies over each checkout just now, at some places or at all."""

EVALUATED = {"arguments", "dir", "entry", "exclude", "layout", "mount_at", "pure"}
"""Settings of the section ``repository`` that evaluations depend on."""


class Circumstances:
    """Settings, environment and programs, as they are now."""

    def __init__(self, settings: Settings, nix: Nix, overlays: Overlaid) -> None:
        """Take *overlays*, which tells what lies over each checkout just now."""
        self.hosts: Mapping[str, HostSettings] = settings.hosts
        self._overlays = overlays
        self._settings = settings
        self._nix = nix
        self._path = fingerprint.SearchPath(settings.nix.path)

    def key(self, tree: str, host: HostName, *, fresh: bool) -> str:
        """Return what changes with *tree* and with anything outside; see Evaluator."""
        parts = {
            **self._parts(host),
            "tree": tree,
            "host": host,
            "path": self._path.now(os.environ.get("NIX_PATH"), fresh=fresh),
            "config": os.environ.get("NIX_CONFIG", ""),
        }
        return fingerprint.digest(parts)

    def question(
        self,
        reading: Reading,
        file: str,
        arguments: Arguments,
        *,
        host: HostName | None,
        fresh: bool = False,
    ) -> Question:
        """
        Return what one of our Nix *file*s is asked, with all it depends on.

        *fresh* is for whoever is about to evaluate, and again when that is done: two
        that are not the same tell that something changed meanwhile.
        """
        own = str(reading.checkout.absolute())
        of_whom = arguments.get("host", "")
        named = [file, arguments.get("file", "").removeprefix(own), of_whom]
        return Question(
            subject=subject_of(host) if host else "".join(named),
            checkout=reading.checkout,
            base=self._base(reading, arguments, host),
            is_spared=reading.mode.flakes or not reading.copy,
            copy=reading.copy,
            is_pure=bool(reading.mode.package),
            outside=self.outside(fresh=True) if fresh else "",
        )

    def outside(self, *, fresh: bool = False) -> str:
        """Return what changes when what lies outside of the commits may have."""
        path = self._path.now(os.environ.get("NIX_PATH"), fresh=fresh)
        return fingerprint.digest({"path": path, "overlays": self.overlaid()})

    def overlaid(self) -> str:
        """Return what changes with anything that lies over the checkouts."""
        return self._overlays(None)

    @property
    def search_path(self) -> list[str]:
        """The entries of Nix's search path that no commit brings."""
        usual = fingerprint.inherited(os.environ.get("NIX_PATH"))
        return [*self._settings.nix.path, *usual]

    def overrides(self, host: HostName) -> HostSettings:
        """Return what the settings say of *host*."""
        return self.hosts.get(host, HostSettings())

    @cached_property
    def identity(self) -> Arguments:
        """The names that NixOps gives a deployment; here they follow from the URL."""
        url = self._settings.repository.url
        return {
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, url)),
            "deploymentName": PurePosixPath(url.rstrip("/")).name.removesuffix(".git"),
        }

    @cached_property
    def package(self) -> str:
        """What another release of ours has otherwise."""
        return fingerprint.of_package(FILES.parent)

    def _parts(self, host: HostName | None) -> dict[str, object]:
        settings = self._settings
        override = self.overrides(host).model_dump(mode="json") if host else {}
        return {
            "repository in the settings": self._repository,
            "repository.physical": fingerprint.of_file(settings.repository.physical),
            "ssh.address": settings.ssh.address,
            "the deployment's name": self.identity,
            "what the settings say of the host": override,
            "nix.options": settings.nix.options,
            "nix.path": settings.nix.path,
            "nix.inputs": {
                name: [str(place), fingerprint.of_place(place)]
                if isinstance(place, Path)
                else place
                for name, place in settings.nix.inputs.items()
            },
            "repository.secrets": self._given(host),
            "the version of Nix": self._nix.version,
            "nix.cage, or what it shows": self._nix.cage.shown,
            "the kind of machine": platform.machine(),
            "the reconciler": self.package,
        }

    @cached_property
    def _repository(self) -> dict[str, object]:
        """What evaluations depend on: asked for at each look at a host."""
        return self._settings.repository.model_dump(mode="json", include=EVALUATED)

    def _given(self, host: HostName | None) -> list[object]:
        """Return what *host* gets of ``repository.secrets``, and how that is now."""
        secrets = self._settings.repository.secrets
        given = {place: one for place, one in secrets.items() if one.is_for(host)}
        folders = sorted([place, str(one.path)] for place, one in given.items())
        return [self._overlays(tuple(given)), folders]

    def _base(
        self, reading: Reading, arguments: Arguments, host: HostName | None
    ) -> dict[str, str]:
        """Return a digest of each thing, by its name for people."""
        own = str(reading.checkout.absolute())
        asked = {name: value.replace(own, ".") for name, value in arguments.items()}
        listed = {}
        if host and asked["layout"] == "hosts":
            listed = {LIST: asked["sources"]}
            asked["sources"] = _of_one(asked["sources"], asked["called"])
        if asked.get("layout") == "flake":
            asked["sources"] = _of_any_commit(asked["sources"])
        pins = [pin.replace(own, ".") for pin in reading.mode.pins]
        parts = {
            **self._parts(host),
            **listed,
            "the layout": asked,
            "what the repository pins nixpkgs to": pins,
        }
        seen = process.environment_seen(
            trusted=self._nix.trusted and not self._nix.cage.is_there
        )
        known = {name: fingerprint.digest({"": part}) for name, part in parts.items()}
        return {
            **known,
            "the environment": of_environment(tuple(sorted(seen.items()))),
        }


def _of_one(sources: str, called: str) -> str:
    """Return what *sources* tell of one host alone, whatever it is called there."""
    names = set(json.loads(called))
    return json.dumps(
        [
            {**source, "names": sorted(names.intersection(source["names"]))}
            for source in json.loads(sources)
        ]
    )


def _of_any_commit(sources: str) -> str:
    """
    Return what is told of a flake without its tree, and what is known of its lock.

    Of these tell the files that are read of it, and what they ask of themselves.
    """
    told = json.loads(sources)
    return json.dumps({name: told[name] for name in ("folder", "replaced")})


@lru_cache(maxsize=8)
def of_environment(items: tuple[tuple[str, str], ...]) -> str:
    """Return a digest by which nobody finds out a password that is among *items*."""
    text = repr(items).encode(errors="surrogateescape")
    return hashlib.scrypt(
        text, salt=b"environment", n=1 << 12, r=8, p=1, dklen=16
    ).hex()
