"""Subcommands that are imported when they are called for, so that each starts fast."""

import contextlib
import gc
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typing_extensions import override

SUMMARIES = {
    "check": "Check settings, tools, repository, evaluation and every host.",
    "plan": "Show what differs on each host and what would be done.",
    "diff": "Show which packages another system of a host brings.",
    "apply": "Bring hosts to the newest commit once, without the daemon.",
    "run": "Run the daemon: watch the repository, keep hosts as it says.",
    "worker": "Run one of several workers that share the hosts.",
    "workers": "Show the workers that share the hosts, and who has which.",
    "sync": "Have the daemon read the repository now.",
    "wait": "Wait until hosts run a commit and are well.",
    "status": "Show how hosts stood when last looked at; of one, all of it.",
    "hold": "Have hosts left alone, or show who is held.",
    "release": "Let go of hosts that are held.",
    "retry": "Try hosts again at once, also a system that failed there.",
    "approve": "Let pass what a guard stopped.",
    "adopt": "Let hosts be brought to their commits for the first time.",
    "rollback": "Take a host back to an older generation, and hold it there.",
    "history": "Show attempts, newest first: what was done, how it ended.",
    "why-evaluated": "Say why a host was evaluated for the last commit, or not.",
    "events": "Show the audit log, newest first: who did what, when and why.",
    "logs": "Show the journal of a unit on a host.",
    "ssh": "Log in to a host, or run a command there.",
    "hosts": "List the hosts of the newest commit and what they should run.",
    "keys": "Show the keys of hosts, or deliver those that differ.",
    "secrets": "Keep secrets in the repository, encrypted with age.",
    "notify": "Show who is told what happens, and try it out.",
    "reboot": "Reboot hosts; wait, deliver their keys, see that all is well.",
    "trust": "Record the SSH host keys that a host shows now.",
    "database": "Take history from one database to another.",
    "import": "Take over what NixOps keeps outside of the repository.",
    "version": "Print the versions of reconciler, Python and Nix.",
}
"""The subcommands in the order of their use, and the first lines of their help."""

FAMILIES = {
    "apply": "plan",
    "run": "daemon",
    "worker": "daemon",
    "sync": "daemon",
    "hold": "orders",
    "release": "orders",
    "retry": "orders",
    "approve": "orders",
    "events": "history",
    "import": "importing",
    "logs": "ssh",
    "why-evaluated": "why",
    "version": "check",
}
"""The modules of those that do not have one of their own name."""

OLD_NAMES = {
    "show": ("status",),
    "generations": ("rollback", "--list"),
    "send-keys": ("keys", "send"),
}
"""What those of 0.1 are called now; they are understood for one version more."""


class Subcommands(TyperGroup):
    """The subcommands; see ``SUMMARIES``."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 -- as Typer passes them
        super().__init__(**options)
        self._listing = False
        # Stubs, for lists and for the guess at what a mistyped name should be.
        self.commands = {
            name: TyperCommand(name, help=text) for name, text in SUMMARIES.items()
        }

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names."""
        return list(SUMMARIES)

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the subcommand; nothing but its summary where that is enough."""
        if cmd_name not in SUMMARIES:
            return None
        return self.commands[cmd_name] if self._listing else load(cmd_name)

    @override
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the subcommand that *args* begin with; one by its old name too."""
        if instead := OLD_NAMES.get(args[0]):
            if not ctx.resilient_parsing:  # as for the completion of a line
                told = f"hint: `{args[0]}` is `reconciler {' '.join(instead)}` now"
                typer.echo(told, err=True)
            args = [*instead, *args[1:]]
        return super().resolve_command(ctx, args)

    @override
    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, for which the summaries are enough."""
        with self._summaries():
            super().format_help(ctx, formatter)

    @override
    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete the name of a subcommand, for which its summary is enough."""
        with self._summaries():
            return super().shell_complete(ctx, incomplete)

    @contextlib.contextmanager
    def _summaries(self) -> Iterator[None]:
        self._listing = True
        try:
            yield
        finally:
            self._listing = False


class ListByDefault(TyperGroup):
    """Subcommands of which ``list`` need not be said."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take *args*; those of no subcommand are those of ``list``."""
        helps = set(self.get_help_option_names(ctx))
        if not helps.intersection(args[:1]) and not self.commands.keys() & args[:1]:
            args = ["list", *args]
        return super().parse_args(ctx, args)


def load(name: str) -> Any:  # noqa: ANN401 -- Typer has its own copy of click
    """
    Import the subcommand *name*, which may have subcommands of its own.

    From here on garbage is collected; what is imported by now stays, and need not be
    looked at each time.
    """
    module = import_module(f"reconciler.cli.{FAMILIES.get(name, name)}")
    gc.freeze()
    gc.enable()
    found = module.COMMANDS[name]
    if isinstance(found, typer.Typer):
        only = found
    else:
        only = typer.Typer(
            add_completion=False,
            rich_markup_mode="markdown",
            pretty_exceptions_enable=False,
        )
        only.command(name)(found)
    command = typer.main.get_command(only)
    command.name = name
    return command
