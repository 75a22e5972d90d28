"""What was measured, as tables for people and as JSON."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that was measured in each round; *values* in the section's unit."""

    name: str
    values: tuple[float, ...]
    detail: bool = False  # a part of the row above it

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def worst(self) -> float:
        """The greatest one."""
        return max(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What should be true of a measurement."""

    name: str
    value: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.value <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One measurement: its rows, and the targets that it is held to."""

    title: str
    unit: str
    rows: tuple[Row, ...]
    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        rows = [
            {**asdict(row), "median": row.median, "worst": row.worst}
            for row in self.rows
        ]
        targets = [{**asdict(target), "met": target.met} for target in self.targets]
        return {**asdict(self), "rows": rows, "targets": targets}


def show(section: Section, console: Console) -> None:
    """Print *section* as tables."""
    digits = 2 if section.unit == "MiB" else 3
    table = Table(title=section.title, title_justify="left", title_style="bold")
    table.add_column("")
    for column in ("median", "worst", "rounds"):
        table.add_column(column, justify="right")
    for row in section.rows:
        numbers = [f"{value:.{digits}f} {section.unit}" for value in _both(row)]
        name = f"  {row.name}" if row.detail else row.name
        style = "dim" if row.detail else ""
        table.add_row(name, *numbers, str(len(row.values)), style=style)
    console.print(table)
    for note in section.notes:
        console.print(f"  {note}", style="dim", highlight=False)
    for target in section.targets:
        console.print(verdict(target), highlight=False)
    console.print()


def verdict(target: Target) -> str:
    """Return one line: whether *target* is met, and by what."""
    word = "[green]met[/]    " if target.met else "[bold red]not met[/]"
    value, limit = f"{target.value:.3g}", f"{target.limit:g}"
    return f"  {word} {target.name}: {value} {target.unit}, at most {limit}".rstrip()


def _both(row: Row) -> Sequence[float]:
    return (row.median, row.worst)
