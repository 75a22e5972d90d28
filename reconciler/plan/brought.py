"""
What comes with another system, as plain data: lines for people, dictionaries.

Told as people know it from nvd and dix: a sign, a name, versions before and after.
"""

from dataclasses import dataclass

from reconciler.model import PackageChange, PackageKind, SystemDiff
from reconciler.plan.shapes import PackagesShape

UNITS_SHOWN = 3
"""Units that a line names for a package that restarts more."""

SIGNS = {
    PackageKind.UPGRADED: "U",
    PackageKind.DOWNGRADED: "D",
    PackageKind.CHANGED: "C",
    PackageKind.ADDED: "A",
    PackageKind.REMOVED: "R",
}
_STEP = 1024
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageLine:
    """One package as a person reads it, in four columns."""

    kind: PackageKind  # for who colours by it
    sign: str
    name: str
    versions: str  # 3.0.13 → 3.0.14
    restarts: str  # restarts nginx.service and 4 more; empty if nothing


def brought_lines(diff: SystemDiff) -> tuple[PackageLine, ...]:
    """Return a line for each package that differs, by name."""
    return tuple(
        PackageLine(
            kind=change.kind,
            sign=SIGNS[change.kind],
            name=change.name,
            versions=_versions(change),
            restarts=_restarts(change),
        )
        for change in diff.packages
    )


def brought_sums(diff: SystemDiff) -> tuple[str, ...]:
    """Return what is to be said of the whole: counts, sizes, the kernel."""
    told = [_counted(diff)]
    grown = diff.size_after - diff.size_before
    sign = "+" if grown >= 0 else "-"
    told.append(
        f"closure {told_size(diff.size_before)} → {told_size(diff.size_after)}"
        f" ({sign}{told_size(abs(grown))}), {told_size(diff.added)} of it new"
    )
    if diff.kernel is not None:
        before, after = (version or "none" for version in diff.kernel)
        told.append(f"kernel {before} → {after}: a reboot will be needed")
    return tuple(told)


def brought_as_dict(diff: SystemDiff) -> PackagesShape:
    """Return *diff* for ``--json``. The keys stay; new ones may come."""
    return {
        "before": diff.before,
        "after": diff.after,
        "packages": [
            {
                "name": change.name,
                "kind": change.kind.value,
                "before": list(change.before),
                "after": list(change.after),
                "restarts": list(change.restarts),
            }
            for change in diff.packages
        ],
        "rebuilt": diff.rebuilt,
        "closure_bytes_before": diff.size_before,
        "closure_bytes_after": diff.size_after,
        "new_bytes": diff.added,
        "kernel": None
        if diff.kernel is None
        else {"before": diff.kernel[0] or None, "after": diff.kernel[1] or None},
    }


def told_size(size: float) -> str:
    """Say a number of bytes: 812 B, 4.2 MiB."""
    for unit in _UNITS[:-1]:
        if size < _STEP:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _STEP
    return f"{size:.1f} {_UNITS[-1]}"


def _counted(diff: SystemDiff) -> str:
    if not diff.packages:
        return f"no package has another version, {diff.rebuilt} built anew"
    counts = dict.fromkeys(PackageKind, 0)
    for change in diff.packages:
        counts[change.kind] += 1
    told = [f"{count} {kind.value}" for kind, count in counts.items() if count]
    return ", ".join([*told, f"{diff.rebuilt} built anew"])


def _versions(change: PackageChange) -> str:
    before, after = ", ".join(change.before), ", ".join(change.after)
    if before and after:
        return f"{before} → {after}"
    return before or after


def _restarts(change: PackageChange) -> str:
    shown = ", ".join(change.restarts[:UNITS_SHOWN])
    more = len(change.restarts) - UNITS_SHOWN
    if not shown:
        return ""
    return f"restarts {shown} and {more} more" if more > 0 else f"restarts {shown}"
