"""How a checkout is read: what its layout is, and how Nix is started for it."""

import json
import platform
import threading
from dataclasses import replace
from pathlib import Path

from reconciler.desired import fetched, flake, layout, prebuilt
from reconciler.desired.asking import Asking
from reconciler.desired.cage import FILES
from reconciler.desired.circumstances import Circumstances
from reconciler.desired.ground import TREE
from reconciler.desired.kept import Kept
from reconciler.desired.nix import Mode, Nix
from reconciler.desired.reading import Reading
from reconciler.desired.told import arguments_for
from reconciler.errors import EvaluationError, LayoutError
from reconciler.settings import Settings

PIN_FILES = ("npins/default.nix", "nix/sources.nix", "lon.nix")
"""What npins, niv and lon write: a set of what is pinned, by name."""

LAYOUTS_KEPT = 8


class Readings:
    """Finds out how checkouts are read; may be used by many threads."""

    def __init__(
        self,
        settings: Settings,
        nix: Nix,
        around: Circumstances,
        kept: Kept,
        asking: Asking,
    ) -> None:
        self._settings = settings
        self._nix = nix
        self._around = around
        self._kept = kept
        self._asking = asking
        self._trees = flake.Trees()
        self._notes = fetched.Notes()
        self._layouts: dict[tuple[Path, str], layout.Found] = {}
        self._lock = threading.Lock()

    def layout_of(self, checkout: Path) -> layout.Found:
        """Return what *checkout* is taken for. Raises LayoutError, EvaluationError."""
        if not (checkout.parent / TREE).exists():  # it may be another one at any time
            return self._find(checkout)
        key = (checkout, self._around.overlaid())
        if key not in self._layouts:
            found = self._find(checkout)
            with self._lock:
                newest = list(self._layouts.items())[-LAYOUTS_KEPT:]
                self._layouts = {**dict(newest), key: found}
        return self._layouts[key]

    def _find(self, checkout: Path) -> layout.Found:
        repository = self._settings.repository
        return layout.find(
            checkout, repository, lambda name: self._is_network(checkout, name)
        )

    def _is_network(self, checkout: Path, name: str) -> bool:
        """Ask whether a file is a network; one that fails is, so that this is told."""
        try:
            return self._asking.ask_file("is-network.nix", checkout, name) is True
        except EvaluationError:
            return True

    def of(
        self, checkout: Path, found: layout.Found, *, of_any_commit: bool = False
    ) -> Reading:
        """
        Return how *checkout* is read.

        Of a flake *of_any_commit*, only what does not depend on which one it is: with
        that nothing can be evaluated, but it takes no Nix.
        """
        layout.refuse_settings(found, self._settings.repository)
        self._nix.cage.require_for_mount()
        if isinstance(found, layout.Flake):
            return self._flake(checkout, found, whole=not of_any_commit)
        if isinstance(found, layout.Paths):
            prebuilt_hosts = prebuilt.hosts(checkout / found.file)
            return Reading(checkout=checkout, hosts=prebuilt_hosts)
        names = found.hosts if isinstance(found, layout.HostFolders) else None
        seen_at = self._settings.repository.mount_at
        return Reading(
            checkout=checkout,
            # Where its files import each other: else some would be there twice.
            arguments=arguments_for(
                seen_at or checkout, found, self._settings.repository
            ),
            copy=str(seen_at or ""),
            hosts=names,
            mode=Mode(pins=self._pins(checkout)),
        )

    def _flake(self, checkout: Path, found: layout.Flake, *, whole: bool) -> Reading:
        """
        Return how to read a flake. Raises LayoutError where secrets would be copied.

        Nix copies the whole tree to the store, where every user may read it.
        """
        if self._settings.repository.secrets:
            message = (
                "repository.secrets lies files over the checkout, and Nix copies all of"
                " a flake into the store, where everybody may read them: take it out,"
                " and declare such files as deployment.keys or with sops-nix or agenix"
            )
            raise LayoutError(message)
        options = tuple(self._nix.options())
        lock = checkout / found.folder / layout.LOCK_FILE
        told = {
            "folder": found.folder,
            "system": f"{platform.machine()}-linux",
            "replaced": self._replaced(options),
        }
        reading = Reading(
            checkout=checkout,
            arguments={
                "checkout": str(checkout.absolute()),
                "layout": "flake",
                "sources": json.dumps(told),
            },
            lock=lock,
            mode=Mode(flakes=True),
        )
        if not whole:
            return reading
        tree = self._trees.add(checkout, options)
        package = ""
        if self._settings.repository.pure:
            package = self._trees.add(FILES, options, stamp=self._around.package).hash
        followed = flake.is_followed(lock)
        is_ours = followed or self._settings.nix.inputs
        sources = {
            **told,
            "url": tree.reference(checkout, found.folder),
            "tree": tree.fetched(checkout),
            "followed": followed,
            "stored": flake.stored(lock) if is_ours else {},
        }
        return replace(
            reading,
            arguments={**reading.arguments, "sources": json.dumps(sources)},
            copy=tree.path,
            fetched=None if self._kept.problem else self._notes.of(tree, options),
            mode=Mode(flakes=True, package=package),
        )

    def _replaced(self, options: tuple[str, ...]) -> dict[str, object]:
        """Return what is known of each tree that the settings put in place of one."""
        return {
            name: self._trees.add_input(name, place, options).known
            if isinstance(place, Path)
            else place
            for name, place in self._settings.nix.inputs.items()
        }

    def _pins(self, checkout: Path) -> tuple[str, ...]:
        """Return what the repository pins `<nixpkgs>` to, unless the settings do."""
        if any(entry.startswith("nixpkgs=") for entry in self._settings.nix.path):
            return ()
        file = next((f for f in PIN_FILES if (checkout / f).is_file()), None)
        if file is None:
            return ()
        place = self._asking.ask_file("pinned.nix", checkout, file)
        return (f"nixpkgs={place}",) if place else ()
