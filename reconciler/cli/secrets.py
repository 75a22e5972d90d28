"""``reconciler secrets``: files that are encrypted in git, and who can read them."""

import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from reconciler import process
from reconciler.cli.common import KNOWN_ERROR, chosen, err, out
from reconciler.errors import KeyContentError, SettingsError
from reconciler.secrets import age, files, protect, recipients
from reconciler.secrets.scratch import scratch_file

secrets = typer.Typer(
    help="""
    Keep secrets in the repository, encrypted with age.

    Who can decrypt them is a list of public keys, `recipients.txt`, in the folder of
    the secrets or above: the reconciler's, and those of the people who edit. To begin:

    ```
    age-keygen -o /var/lib/reconciler/age.key       # prints its public key
    reconciler secrets recipients add age1… --name reconciler
    reconciler secrets edit secrets/withinbot.env.age
    ```

    A key then says `keyFile = ./secrets/withinbot.env.age;`, and the settings of the
    reconciler say `secrets: {identity: /var/lib/reconciler/age.key}`.
    """,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)

people = typer.Typer(
    help="""
    Show or change who can decrypt: `list`, `add`, `remove`, `rekey`.

    Whoever is removed still has what git remembers: change those secrets too.
    """,
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
secrets.add_typer(people, name="recipients")


COMMANDS = {"secrets": secrets}

IdentityFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "-i",
        "--identity",
        envvar="RECONCILER_IDENTITY",
        help="A file with a private key to decrypt with: age's, or an SSH key without "
        "passphrase. Default: what the settings file says, else "
        "`~/.config/age/keys.txt`.",
        show_default=False,
    ),
]
RecipientsFile = Annotated[
    Path | None,
    typer.Option(
        "-R",
        "--recipients-file",
        help="The list of public keys. Default: the nearest `recipients.txt` in the "
        "folder or above, up to the top of the repository.",
        show_default=False,
    ),
]
Rekey = Annotated[
    bool,
    typer.Option("--rekey", help="Encrypt every file below the list anew, for them."),
]


@secrets.command()
def edit(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file, FILE.age; may be new.")],
    *,
    identity: IdentityFiles = None,
    recipients_file: RecipientsFile = None,
) -> None:
    """
    Edit FILE.age in `$VISUAL` or `$EDITOR` and encrypt it again.

    The plain text is only ever in memory (`/dev/shm` or `/run`), readable by you alone,
    and is overwritten at the end. FILE.age changes in one step, and not at all if you
    change nothing or your editor fails. Editors may keep copies elsewhere (vim: set
    `nobackup noundofile viminfo=`).
    """
    protect()
    _need_age(file)
    audience = _audience(file.parent, recipients_file)
    before = b""
    if file.exists():
        keys = _identities(context, identity)
        before = age.decrypt_file(file, keys, shown=str(file))
    after = _edited(file.name.removesuffix(files.AGE), before)
    if after == before and file.exists():
        err.print("Nothing changed.")
        return
    files.replace(file, age.encrypt(after, audience))
    err.print(f"{file}: encrypted for {len(audience)} recipients.")


@secrets.command()
def encrypt(
    source: Annotated[str, typer.Argument(metavar="[FILE|-]")] = "-",
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The encrypted file, FILE.age.")
    ],
    recipients_file: RecipientsFile = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is there.")
    ] = False,
) -> None:
    """
    Encrypt FILE, or standard input, as FILE.age.

    No identity is needed: whoever has `recipients.txt` can write secrets that only
    those in it can read. FILE stays as it is; remove it if it was the only reason.
    """
    protect()
    _need_age(output)
    if output.exists() and not force:
        message = f"{output} is there already: --force replaces it"
        raise KeyContentError(message)
    audience = _audience(output.parent, recipients_file)
    if source == "-":
        content = sys.stdin.buffer.read(files.LIMIT + 1)
        if len(content) > files.LIMIT:
            message = f"standard input: is larger than {files.LIMIT >> 20} MiB"
            raise KeyContentError(message)
    else:
        content = files.read(Path(source), shown=source)
    files.replace(output, age.encrypt(content, audience))
    err.print(f"{output}: encrypted for {len(audience)} recipients.")


@people.command("list")
def list_(
    folder: Annotated[Path, typer.Argument(help="Of which folder.")] = Path(),
    *,
    recipients_file: RecipientsFile = None,
) -> None:
    """Print who can decrypt what is encrypted in FOLDER."""
    for recipient in recipients.read(_list_of(folder, recipients_file)):
        out.print(recipient, soft_wrap=True)


@people.command()
def add(
    context: typer.Context,
    recipient: Annotated[str, typer.Argument(help="age1…, or 'ssh-ed25519 AAAA…'.")],
    *,
    name: Annotated[str, typer.Option(help="Whose it is, for people.")] = "",
    recipients_file: RecipientsFile = None,
    rekey: Rekey = False,
    identity: IdentityFiles = None,
) -> None:
    """
    Add a public key to the list; without a list, begin one in this folder.

    What is encrypted already stays closed to it until `--rekey`.
    """
    found = recipients_file or recipients.find(Path())
    path = found or Path(recipients.NAME)
    if recipients.add(path, " ".join(recipient.split()), " ".join(name.split())):
        err.print(f"Added to {path}.")
    else:
        err.print(f"{path} has it already.")
    if rekey:
        _rekey(path, _identities(context, identity))


@people.command()
def remove(
    context: typer.Context,
    recipient: Annotated[str, typer.Argument(help="As `list` prints it.")],
    *,
    recipients_file: RecipientsFile = None,
    rekey: Rekey = False,
    identity: IdentityFiles = None,
) -> None:
    """
    Remove a public key from the list.

    It can decrypt what is encrypted already until `--rekey`, and what git remembers for
    ever: change the secrets themselves if that matters.
    """
    path = _list_of(Path(), recipients_file)
    if not recipients.remove(path, " ".join(recipient.split())):
        err.print(f"{path} has no such recipient.")
        raise typer.Exit(KNOWN_ERROR)
    err.print(f"Removed from {path}.")
    if rekey:
        _rekey(path, _identities(context, identity))


@people.command("rekey")
def rekey_(
    context: typer.Context,
    *,
    recipients_file: RecipientsFile = None,
    identity: IdentityFiles = None,
) -> None:
    """Encrypt every FILE.age below the list anew, for those who are in it."""
    _rekey(_list_of(Path(), recipients_file), _identities(context, identity))


# --- parts -----------------------------------------------------------------------


def _rekey(path: Path, identities: Sequence[Path]) -> None:
    """Encrypt anew what *path* counts for: all of it, or nothing if one cannot be."""
    protect()
    audience = recipients.read(path)
    found = list(recipients.encrypted_below(path))
    contents = [age.decrypt_file(file, identities, shown=str(file)) for file in found]
    anew = [age.encrypt(content, audience) for content in contents]
    for file, encrypted in zip(found, anew, strict=True):
        files.replace(file, encrypted)
        out.print(str(file), soft_wrap=True)
    err.print(f"{len(found)} files encrypted for {len(audience)} recipients.")


def _need_age(file: Path) -> None:
    if file.suffix != files.AGE:
        message = f"{file}: the name of an encrypted file ends in {files.AGE}"
        raise KeyContentError(message)


def _list_of(folder: Path, given: Path | None) -> Path:
    path = given or recipients.find(folder)
    if path is None:
        message = (
            f"no {recipients.NAME} in {folder.absolute()} or above: begin one with "
            "`reconciler secrets recipients add`"
        )
        raise KeyContentError(message)
    return path


def _audience(folder: Path, given: Path | None) -> tuple[str, ...]:
    path = _list_of(folder, given)
    if found := recipients.read(path):
        return found
    message = f"{path}: names nobody, so nobody could decrypt it"
    raise KeyContentError(message)


def _identities(context: typer.Context, given: Sequence[Path] | None) -> list[Path]:
    """Return the files with private keys: those given, of the settings, or age's."""
    if given:
        return list(given)
    try:
        settings = chosen(context).settings()
    except SettingsError:  # a person's own computer has none
        settings = None
    if settings is not None and settings.secrets.identity:
        return list(settings.secrets.identity)
    usual = Path("~/.config/age/keys.txt").expanduser()
    return [usual] if usual.exists() else []


def _edited(name: str, before: bytes) -> bytes:
    """Return what a person makes of *before*."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    # By default these would end us before the plain text is removed.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _frame: sys.exit(128 + got))
    # ^C is for the editor, which has the terminal. It does not inherit a handler.
    signal.signal(signal.SIGINT, lambda *_: None)
    with scratch_file(name, before) as file:
        status = process.foreground([*shlex.split(editor), str(file)])
        if status != 0:
            message = f"{editor} ended with status {status}: nothing was changed"
            raise KeyContentError(message)
        return files.read(file, shown="the edited text")
