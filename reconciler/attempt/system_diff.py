"""What comes with another system: packages, sizes, and the units that they restart."""

from collections.abc import Collection, Mapping

from reconciler.errors import PermanentError
from reconciler.model import StorePath, SystemDiff, UnitName
from reconciler.observed import System, requisites, system
from reconciler.plan import packages
from reconciler.remote import HostReader

Needs = tuple[Collection[str], Collection[str]]


class UnknownSystemPathError(PermanentError):
    """A system is neither on this machine nor on the host."""

    def __init__(self, toplevel: StorePath, *, built: bool) -> None:
        self.toplevel = toplevel
        why = (
            "neither this machine nor the host has it any more"
            if built
            else "it is not built yet: `reconciler diff --build`, or deploy it"
        )
        super().__init__(f"{toplevel}: {why}")


def difference(
    before: StorePath,
    after: StorePath,
    reader: HostReader | None,
    *,
    built: bool = False,
) -> SystemDiff:
    """
    Return what *after* brings to a host that has *before*.

    *reader* is the host, asked for what this machine does not have. *built* tells
    whether *after* ever was. Raises UnknownSystemPathError, FactError, CommandError
    and what reading raises.
    """
    old, new = _system(before, reader, built=True), _system(after, reader, built=built)
    changed = {
        unit: (old.units[unit], path)
        for unit, path in new.units.items()
        if unit in old.units and old.units[unit] != path
    }
    tell = packages.restarting(_needs(changed, old, new, reader))
    kernels = packages.kernel_of(old.sizes), packages.kernel_of(new.sizes)
    return SystemDiff(
        before=before,
        after=after,
        packages=packages.compare(old.sizes, new.sizes, tell),
        rebuilt=packages.rebuilt(old.sizes, new.sizes),
        size_before=old.size,
        size_after=new.size,
        added=sum(s for path, s in new.sizes.items() if path not in old.sizes),
        kernel=kernels if kernels[0] != kernels[1] else None,
        parts=new.parts,
    )


def _system(toplevel: StorePath, reader: HostReader | None, *, built: bool) -> System:
    found = system(toplevel, reader)
    if found is None:
        raise UnknownSystemPathError(toplevel, built=built)
    return found


def _needs(
    changed: Mapping[UnitName, tuple[str, str]],
    old: System,
    new: System,
    reader: HostReader | None,
) -> dict[UnitName, Needs]:
    """Return the closures of the old and the new file of each unit that changed."""
    before = requisites(
        sorted({pair[0] for pair in changed.values()}), reader if old.on_host else None
    )
    after = requisites(
        sorted({pair[1] for pair in changed.values()}), reader if new.on_host else None
    )
    return {unit: (before[pair[0]], after[pair[1]]) for unit, pair in changed.items()}
