"""``reconciler rollback HOST``: back to an older generation, and held there."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.text import Text

from reconciler.cli.common import (
    KNOWN_ERROR,
    OK,
    actor,
    duration,
    out,
    print_json,
    waiting,
)
from reconciler.cli.history import attempt_table
from reconciler.cli.options import AsJson, DryRun, Host
from reconciler.cli.screen.listing import Listing, Row
from reconciler.cli.screen.progress import Progress
from reconciler.cli.screen.words import short_path, when
from reconciler.cli.worlds import last_known, opened
from reconciler.loop import Rollback
from reconciler.loop.rollback_orders import choose
from reconciler.model import Attempt, CommitId, Desired, Hold, Outcome, StorePath
from reconciler.observed import Generation, generations
from reconciler.plan import attempt_as_dict
from reconciler.world import World

NO_COMMIT = CommitId("")


def rollback(  # noqa: PLR0913 -- an option each
    context: typer.Context,
    host: Host,
    *,
    list_: Annotated[
        bool,
        typer.Option("--list", "-l", help="Show what it can be taken back to."),
    ] = False,
    to: Annotated[
        int | None,
        typer.Option(
            metavar="GENERATION",
            min=1,
            help="Its number, as `--list` shows it; the one before by default.",
            show_default=False,
        ),
    ] = None,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; everybody is shown this.")
    ] = "",
    for_: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="DURATION",
            help="Hold it so long only: 30m, 2h, 1d.",
            show_default=False,
        ),
    ] = None,
    keep_keys: Annotated[
        bool,
        typer.Option("--keep-keys", help="Leave keys as they are, or are not."),
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """
    Take a host back to an older generation, and hold it there.

    Its own `switch-to-configuration` makes it run, under the same guardian as any
    deployment, and it becomes what the host boots. The host is held, or the loop would
    undo it: `reconciler release HOST` has it follow the repository again. Exit status:
    0 done, 1 if not.

    Its keys come first, as the commit declares them that last brought it to the host.
    Where no such commit can be had, or with `--keep-keys`, keys stay as they are, and
    neither the repository nor Nix is needed.

    `--list` asks the host for its generations and changes nothing: IS says what it
    runs, what it was booted with, and what it boots next; COMMIT is the one that last
    had the system brought there.

    ```
    reconciler rollback lufta --list
    reconciler rollback lufta --list --json | jq '.[] | select(.running).number'
    reconciler rollback lufta --dry-run
    reconciler rollback lufta --reason "the bot forgets everything since today"
    reconciler rollback lufta --to 41
    ```
    """
    seconds = duration(for_)
    progress = Progress()
    with opened(context, tell=progress.tell) as world:
        desired = last_known(world, host)
        with waiting("looking at the host"):
            reader = world.connections.reader(desired.host, desired.target)
            found = generations(reader)
        if list_:
            _show_list(world, desired, found, as_json=as_json)
            return
        chosen = choose(desired.host, found, to)
        if dry_run:
            _show_choice(world, desired, chosen, keep_keys=keep_keys, as_json=as_json)
            return
        now = world.now()
        hold = Hold(
            host=desired.host,
            reason=reason.strip() or f"taken back to generation {chosen.number}",
            actor=actor(),
            since=now,
            until=None if seconds is None else now + seconds,
        )
        with progress:
            attempt = Rollback(
                world=world,
                desired=desired,
                generation=chosen,
                hold=hold,
                keep_keys=keep_keys,
            ).run()
    _show_done(attempt, as_json=as_json)
    done = attempt.outcome is Outcome.SUCCEEDED
    raise typer.Exit(OK if done else KNOWN_ERROR)


def _show_list(
    world: World, desired: Desired, found: Sequence[Generation], *, as_json: bool
) -> None:
    commits = world.history.commits_of(desired.host)
    if as_json:
        print_json([as_dict(one, commits) for one in found])
    elif not found:
        out.print(f"{desired.host} has no system profile.")
    else:
        out.print(generation_table(found, commits))


def _show_choice(
    world: World,
    desired: Desired,
    chosen: Generation,
    *,
    keep_keys: bool,
    as_json: bool,
) -> None:
    commits = world.history.commits_of(desired.host)
    if as_json:
        print_json({"host": desired.host, "to": as_dict(chosen, commits)})
        return
    out.print(Text(f"{desired.host} would be taken back to this, and held:", "bold"))
    out.print(generation_table([chosen], commits))
    commit = None if keep_keys else commits.get(chosen.toplevel)
    keys = (
        f"come as commit {commit[:8]} declares them" if commit else "stay as they are"
    )
    out.print(Text(f"Keys {keys}.", "magenta"))


def _show_done(attempt: Attempt, *, as_json: bool) -> None:
    if as_json:
        print_json(attempt_as_dict(attempt))
        return
    out.print(attempt_table([attempt]))
    if attempt.outcome is Outcome.SUCCEEDED:
        again = f"reconciler release {attempt.host}"
        out.print(Text(f"It is held now; when it may follow again: {again}", "magenta"))


# --- the generations -------------------------------------------------------------


def as_dict(
    one: Generation, commits: Mapping[StorePath, CommitId]
) -> dict[str, object]:
    """Return a generation for ``--json``. The keys stay; new ones may come."""
    return {
        "number": one.number,
        "made_at": one.made_at,
        "toplevel": one.toplevel,
        "label": one.label,
        "running": one.running,
        "booted": one.booted,
        "default": one.default,
        "commit": commits.get(one.toplevel),
    }


def generation_table(
    found: Sequence[Generation], commits: Mapping[StorePath, CommitId]
) -> Listing:
    """Return generations as a table."""
    titles = ("NUMBER", "MADE", "IS", "COMMIT", "VERSION", "SYSTEM")
    rows = [_row(one, commits.get(one.toplevel, NO_COMMIT)) for one in found]
    return Listing(titles=titles, rows=rows)


def _row(one: Generation, commit: CommitId) -> Row:
    marks = {"running": one.running, "booted": one.booted, "default": one.default}
    told = ", ".join(name for name, applies in marks.items() if applies)
    return Row(
        cells=(
            str(one.number),
            when(one.made_at),
            Text(told or "-", "green" if one.running else ""),
            commit[:8] or "-",
            one.label or "-",
            short_path(one.toplevel),
        )
    )


COMMANDS = {"rollback": rollback}
