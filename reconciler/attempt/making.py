"""Have a system on its host: built here and copied, or built by the host itself."""

import functools
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler import apply
from reconciler.model import Desired, Phase, StepKind, StorePath
from reconciler.remote import HostWriter
from reconciler.world import HostWorld

COPY_DEADLINE = 3600.0  # seconds
ASK_DEADLINE = 30.0

ROOT_TO_COMPARE = f"{apply.GC_ROOT}-diff"
"""What keeps a system on its host that was built to be looked at."""

_IS_THERE = """\
PATH=/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin
PATH=$PATH:/nix/var/nix/profiles/default/bin
if nix-store --check-validity {path} 2>/dev/null; then echo yes; else echo no; fi
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """
    The part of an attempt that makes a system and touches nothing that runs.

    *root* keeps the system from the host's garbage collector.
    """

    world: HostWorld
    desired: Desired
    checkout: Path | None  # where the desired state comes from
    before: StorePath | None  # the system to go back to, which is kept as well
    step: Callable[[str, Phase, Callable[[], None]], None]
    log: Callable[[str], None]
    root: str = apply.GC_ROOT

    def make(self, kinds: Collection[StepKind]) -> None:
        """
        Take those of the steps *kinds* that bring the system to the host.

        Raises BuildError, CopyError, and what reading and evaluating raise.
        """
        if self.desired.build_on_host:
            if StepKind.BUILD in kinds:
                self.there()
            return
        if StepKind.BUILD in kinds:
            self.step("build", Phase.BUILD, self._build)
        if StepKind.COPY in kinds:
            self.step("copy", Phase.COPY, self._copy)

    def there(self) -> None:
        """Have the host build the system itself, unless it has it."""
        self._protect()
        if (programs := self.desired.programs) is not None:
            build = functools.partial(self._build_programs, programs)
            self.step("build what checks run here", Phase.BUILD, build)
        if not self._is_there():
            self.step("copy the derivation", Phase.COPY, self._copy_derivation)
            self.step("build on the host", Phase.BUILD, self._build_there)

    def _build(self) -> None:
        root = self.world.gc_root(self.desired.host)
        root.parent.mkdir(parents=True, exist_ok=True)
        self.world.evaluator.build(
            self.desired, root=root, checkout=self.checkout, on_line=self.log
        )

    def _copy(self) -> None:
        self._require_room(self.desired.toplevel)
        self._protect()
        self.world.connections.copy(
            self.desired, deadline=COPY_DEADLINE, on_line=self.log
        )

    def _build_programs(self, file: StorePath) -> None:
        """Build the programs of those health checks that are run here."""
        self.world.evaluator.have_derivation(self.desired, self.checkout)
        root = self.world.gc_root(self.desired.host)
        programs = replace(self.desired, derivation=file, toplevel=file)
        self.world.evaluator.build(
            programs, root=root.with_name(f"{root.name}.checks"), on_line=self.log
        )

    def _copy_derivation(self) -> None:
        """Bring what the host needs to build, and keep that until it has."""
        self.world.evaluator.have_derivation(self.desired, self.checkout)
        derivation = self.desired.derivation
        self._require_room(derivation)
        apply.protect(self._writer(), derivation, None, root=f"{self.root}.drv")
        self.world.connections.copy(
            self.desired, deadline=COPY_DEADLINE, on_line=self.log, derivation=True
        )

    def _build_there(self) -> None:
        self.world.evaluator.build_there(
            self.desired,
            self.world.connections,
            root=self.root,
            on_line=self.log,
        )

    def _require_room(self, path: StorePath) -> None:
        keep = self.world.settings.policy.min_free
        apply.require_room(self._writer(), self.desired.host, path, keep=keep)

    def _protect(self) -> None:
        apply.protect(
            self._writer(), self.desired.toplevel, self.before, root=self.root
        )

    def _is_there(self) -> bool:
        script = _IS_THERE.format(path=self.desired.toplevel)
        said = self._writer().read(script, what="its store", deadline=ASK_DEADLINE)
        return said.strip() == "yes"

    def _writer(self) -> HostWriter:
        return self.world.connections.writer(self.desired.host, self.desired.target)
