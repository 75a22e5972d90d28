"""``reconciler diff HOST [FROM..TO]``: what another system brings in packages."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from reconciler.attempt.making import ROOT_TO_COMPARE, Making
from reconciler.attempt.system_diff import difference
from reconciler.cli.common import out, print_json, waiting
from reconciler.cli.options import AsJson, Host
from reconciler.cli.screen.brought import packages
from reconciler.cli.worlds import at_commit, last_known, look, opened
from reconciler.errors import FactError, SourceError, UnknownGenerationError
from reconciler.model import Desired, HostName, StorePath, SystemDiff, SystemKind
from reconciler.observed import Generation
from reconciler.observed import generations as ask
from reconciler.plan import brought_as_dict
from reconciler.remote import HostReader, system_manager
from reconciler.revisions import Evaluations, Revision
from reconciler.world import World

STORE = "/nix/store/"
RUNNING, BOOTED, DESIRED = "running", "booted", "desired"
LINKS = {RUNNING: "/run/current-system", BOOTED: "/run/booted-system"}
LINK_SECONDS = 20.0


def diff(
    context: typer.Context,
    host: Host,
    systems: Annotated[
        str,
        typer.Argument(
            metavar="[FROM..TO]",
            help="Each a commit, the number of a generation, a store path, running,"
            " booted or desired.",
        ),
    ] = f"{RUNNING}..{DESIRED}",
    *,
    build: Annotated[
        bool, typer.Option("--build", help="Build what is not built yet.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """
    Show which packages another system of a host brings.

    And sizes, the kernel, and the units that each package restarts.

    Without FROM..TO: what the host runs, and what the newest commit wants. Changes
    nothing on the host; but a host that builds its system itself does so with
    `--build`. U upgraded, D downgraded, C changed, A added, R removed.

    ```
    reconciler diff lufta
    reconciler diff lufta --build
    reconciler diff lufta 41..42
    reconciler diff lufta running..my-branch --json | jq '.packages[].name'
    ```
    """
    before, after = _ends(systems)
    with opened(context) as world:
        place = last_known(world, host)
        reader = world.connections.reader(place.host, place.target)
        finding = _Finding(world, place.host, place, build=build)
        old, new = finding.system(before), finding.system(after)
        with waiting("comparing"):
            found = difference(old, new, reader)
    if as_json:
        print_json({"host": host, **brought_as_dict(found)})
    else:
        show(found)


def show(found: SystemDiff) -> None:
    """Print *found* for a person."""
    for part in packages(found):
        out.print(part)


def _ends(systems: str) -> tuple[str, str]:
    before, dots, after = systems.partition("..")
    if not dots:
        return RUNNING, systems
    return before or RUNNING, after or DESIRED


class _Finding:
    """Finds systems of a host by what people call them."""

    def __init__(
        self, world: World, host: HostName, place: Desired, *, build: bool
    ) -> None:
        self._world = world
        self._host = host
        self._place = place
        self._build = build
        self._known: list[Generation] | None = None

    def system(self, name: str) -> StorePath:
        """Return a system. Raises UnknownGenerationError, SourceError and more."""
        if name.startswith(STORE):
            return StorePath(name)
        if name in LINKS:
            return self._linked(name)
        if name.isdecimal():
            return self._generation(int(name))
        return self._of_commit(name)

    def _generations(self) -> list[Generation]:
        if self._known is None:
            self._known = ask(self._reader())
        return self._known

    def _reader(self) -> HostReader:
        return self._world.connections.reader(self._host, self._place.target)

    def _linked(self, name: str) -> StorePath:
        """Return what the host runs or was booted with, generation or not."""
        script, told = f"readlink -f {LINKS[name]}", f"{LINKS[name]} leads to"
        if name == RUNNING and self._place.kind is SystemKind.SYSTEM_MANAGER:
            script, told = f"{system_manager.functions()}\nmanaged_running", "it runs"
        path = self._reader().read(script, what=name, deadline=LINK_SECONDS).strip()
        if not path.startswith(STORE):
            message = f"{self._host}: {told} no system: {path!r}"
            raise FactError(message)
        return StorePath(path)

    def _generation(self, number: int) -> StorePath:
        for one in self._generations():
            if one.number == number:
                return one.toplevel
        raise UnknownGenerationError(
            self._host, number, known=[one.number for one in self._generations()]
        )

    def _of_commit(self, name: str) -> StorePath:
        world, revision = self._seen(name)
        desired = Evaluations(world).desired(revision, self._host)
        if self._build:
            with waiting("building"):
                self._make(world, desired, revision.checkout)
        return desired.toplevel

    def _make(self, world: World, desired: Desired, checkout: Path) -> None:
        """Build a system, where it would be built to be deployed."""
        if not desired.build_on_host:
            root = world.gc_root(self._host)
            world.evaluator.build(desired, root=root.with_name(f"{root.name}.diff"))
            return
        Making(
            world=world,
            desired=replace(desired, target=self._place.target),
            checkout=checkout,
            before=None,
            step=lambda _name, _phase, act: act(),
            log=lambda _line: None,
            root=ROOT_TO_COMPARE,
        ).there()

    def _seen(self, name: str) -> tuple[World, Revision]:
        if name == DESIRED:
            return self._world, look(self._world)[1]
        try:
            return at_commit(self._world, name)
        except SourceError as error:
            message = (
                f"{name} is no commit, generation, store path, {RUNNING}, {BOOTED} or"
                f" {DESIRED}: {error}"
            )
            raise SourceError(message) from error


COMMANDS = {"diff": diff}
