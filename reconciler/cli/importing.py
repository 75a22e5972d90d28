"""``reconciler import``: what another tool keeps outside of the repository."""

import os
from pathlib import Path
from typing import Annotated

import typer
import yaml

from reconciler.cli.common import (
    KNOWN_ERROR,
    OK,
    actor,
    chosen,
    err,
    out,
    print_json,
    warn,
)
from reconciler.cli.options import AsJson
from reconciler.cli.taken_over import File, Key, TakenOver, taken_over
from reconciler.cli.worlds import opened
from reconciler.desired.nix import Nix
from reconciler.desired.nixops_state import chosen as chosen_deployment
from reconciler.desired.nixops_state import deployments
from reconciler.errors import HostKeyError, ImportFileError, StateError
from reconciler.remote import record

LIMIT = 64 << 20
"""Bytes of the largest export that is read."""


def import_state(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="What `nixops export` has printed."),
    ],
    *,
    deployment: Annotated[
        str,
        typer.Option(
            metavar="NAME|UUID", help="Which deployment, if FILE holds several."
        ),
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write the settings into this new file, too."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write and record nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """
    Take over what NixOps keeps outside of the repository.

    Writes a network file with what NixOps adds to its machines, and the SSH keys that
    it logs in with, into the state directory; records host keys; prints the settings to
    add. What is there already is not overwritten. Exit status 1 if something differs.

    ```
    nixops export -d prod >prod.json
    reconciler import prod.json --dry-run
    reconciler import prod.json
    ```
    """
    settings = chosen(context).settings()
    try:
        found = chosen_deployment(deployments(_read(file)), deployment)
    except ImportFileError as error:
        message = f"{file}: {error}"
        raise ImportFileError(message) from error
    result = taken_over(found, settings, Nix(settings).value)
    text = yaml.safe_dump(dict(result.settings), sort_keys=False, allow_unicode=True)
    files = list(result.files)
    if output is not None:
        files.append(File(path=output.absolute(), content=text))
    _refuse_others(files)
    problems: list[str] = []
    if not dry_run:
        with opened(context) as world:
            problems = _carry_out(result, files)
            told = f"deployment {found.name or found.uuid} of {file.name}"
            world.history.event(
                now=world.now(), kind="import", actor=actor(), text=told
            )
    if as_json:
        print_json(_as_dict(result, files, problems, dry_run=dry_run))
    else:
        _show(result, files, text, dry_run=dry_run)
    for problem in problems:
        warn(problem)
    raise typer.Exit(KNOWN_ERROR if problems else OK)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(LIMIT + 1)
        if len(content) > LIMIT:
            message = f"is larger than {LIMIT >> 20} MiB"
            raise ImportFileError(message)
        return content.decode("utf-8")
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise ImportFileError(message) from error
    except UnicodeDecodeError as error:
        message = "is not UTF-8 text"
        raise ImportFileError(message) from error


def _refuse_others(files: list[File]) -> None:
    """Raise StateError where something else is, before anything is written."""
    others = [str(file.path) for file in files if _differs(file)]
    if others:
        message = (
            f"{', '.join(others)}: there is something else already; look at it, move it"
            " away"
        )
        raise StateError(message)


def _differs(file: File) -> bool:
    try:
        return file.path.read_text("utf-8") != file.content
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError):
        return True


def _carry_out(result: TakenOver, files: list[File]) -> list[str]:
    """Write and record; return what could not be."""
    for file in files:
        _write(file)
    problems: list[str] = []
    for key in result.keys:
        try:
            _record(key, result.known_hosts)
        except HostKeyError as error:
            problems.append(str(error))
    return problems


def _record(key: Key, known_hosts: Path) -> None:
    record(key.host, key.target, [key.key], known_hosts=known_hosts)


def _write(file: File) -> None:
    """Write *file*, whole or not at all, for nobody else to read."""
    beside = file.path.with_name(f".{file.path.name}.new")
    try:
        file.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(file.content)
        beside.replace(file.path)
    except OSError as error:
        message = f"{file.path}: cannot be written: {error.strerror}"
        raise StateError(message) from error


def _as_dict(
    result: TakenOver, files: list[File], problems: list[str], *, dry_run: bool
) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "settings": dict(result.settings),
        "files": [str(file.path) for file in files],
        "host_keys": [
            {
                "host": one.host,
                "address": one.target.address,
                "port": one.target.port,
                "type": one.key.type,
                "fingerprint": one.key.fingerprint,
            }
            for one in result.keys
        ],
        "notes": list(result.notes),
        "problems": problems,
    }


def _show(result: TakenOver, files: list[File], text: str, *, dry_run: bool) -> None:
    would = "Would have" if dry_run else "Have"
    for file in files:
        err.print(f"{would} written {file.path}.")
    for one in result.keys:
        err.print(f"{would} recorded {one.key.label} for {one.host}.")
    for note in result.notes:
        warn(note)
    err.print("Add to the settings:")
    out.print(text.rstrip(), soft_wrap=True)


COMMANDS = {"import": import_state}
