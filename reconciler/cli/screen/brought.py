"""What comes with another system, and what an attempt brought, for a person."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reconciler.model import (
    Attempt,
    Brought,
    BroughtCommit,
    PackageKind,
    Restart,
    SystemDiff,
)
from reconciler.plan import (
    FileDiff,
    brought_lines,
    brought_sums,
    down,
    packages_told,
)

if TYPE_CHECKING:  # what only reads history loads nothing of what reaches hosts
    from reconciler.attempt.preview import Preview

STYLES = {
    PackageKind.UPGRADED: "green",
    PackageKind.DOWNGRADED: "yellow",
    PackageKind.CHANGED: "cyan",
    PackageKind.ADDED: "bold green",
    PackageKind.REMOVED: "red",
}


_LINE_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def packages(found: SystemDiff) -> Iterator[RenderableType]:
    """Give a line for each package that differs, and what is to be said of all."""
    table = Table.grid(padding=(0, 2))
    for line in brought_lines(found):
        style = STYLES[line.kind]
        table.add_row(
            Text(f"[{line.sign}]", style),
            Text(line.name),
            Text(line.versions, style),
            Text(line.restarts, "dim"),
        )
    if found.packages:
        yield table
    for sentence in brought_sums(found):
        yield Text(sentence, "bold")


def brought(attempt: Attempt, found: Brought | None) -> Iterator[RenderableType]:
    """Give what an attempt brought: commits, packages, units."""
    if found is None:
        if attempt.outcome is None:
            yield Text("It is not over yet.")
        else:
            yield Text("It brought no other system to its host.")
        return
    if found.pending:
        yield Text("The daemon is still working out what it brought.")
    else:
        yield from _commits(found)
        yield Text("\npackages", "bold")
        if found.packages is None:
            yield Text(f"  not known: {found.problem}")
        else:
            yield from packages(found.packages)
    yield from _restarts(found.restarts)


def _commits(found: Brought) -> Iterator[RenderableType]:
    told = found.range
    if told.problem:
        yield Text.assemble(("\ncommits", "bold"), f"\n  not known: {told.problem}")
    elif not told.count and not told.undone_count:
        yield Text.assemble(("\ncommits", "bold"), "\n  none: it was at this one")
    if told.inputs:
        yield Text("\ninputs of no commit that were other ones", "bold")
        yield from (Text(f"  {one}") for one in told.inputs)
    if told.count:
        yield Text(f"\ncommits that came: {told.count}", "bold")
        yield _table(told.commits, told.count)
    if told.undone_count:
        yield Text(f"\ncommits that were taken back: {told.undone_count}", "bold")
        yield _table(told.undone, told.undone_count)


def _table(commits: Sequence[BroughtCommit], count: int) -> Table:
    table = Table.grid(padding=(0, 2))
    for one in commits:
        table.add_row(
            Text(f"  {one.id[:8]}", "yellow"),
            Text(one.subject),
            Text(one.author, "dim"),
        )
    if count > len(commits):
        table.add_row(Text("  …"), Text(f"and {count - len(commits)} more"))
    return table


def _restarts(found: Sequence[Restart]) -> Iterator[RenderableType]:
    if not found:
        return
    yield Text(f"\nunits that were restarted: {len(found)}", "bold")
    table = Table.grid(padding=(0, 2))
    for restart in found:
        table.add_row(Text(f"  {restart.unit}"), Text(f"down {down(restart)}", "dim"))
    yield table


def brings(found: "Preview") -> Iterator[RenderableType]:
    """Give what a plan would bring: a line about packages, and texts of files."""
    if found.packages is None:
        yield Text(f"  packages: {found.problem}", "dim")
        return
    yield Text(f"  packages: {packages_told(found.packages)}")
    if found.reboot and found.packages.kernel is None:
        what = ", ".join(found.reboot)
        yield Text(f"  a reboot will be needed: {what} of the booted system", "yellow")
    for one in found.files or ():
        yield from _file(one)
    if found.left_out:
        yield Text(f"{found.left_out} more files in /etc differ", "bold")


def _file(one: FileDiff) -> Iterator[RenderableType]:
    yield Text(
        f"\n# {one.path}" + ("" if one.kind == "changed" else f"  {one.kind}"), "bold"
    )
    if one.note:
        yield Text(one.note)
    for line in one.lines:
        yield Text(line, _LINE_STYLES.get(line[:1], ""))
