"""What to say of a checkout in which there is no host, or none that is ours to read."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from reconciler.desired.layout import (
    FLAKE_FILE,
    HIVE_FILE,
    Attribute,
    Flake,
    Found,
    Hive,
    HostFolders,
    NetworkFiles,
    Paths,
    first_folders,
    split,
    why,
)
from reconciler.errors import LayoutError
from reconciler.model import HostName

_GIT_CRYPT = b"\0GITCRYPT\0"
_GIT_LFS = b"version https://git-lfs.github.com/spec/"

_OTHERS = {  # outputs of flakes -> what they are, and what deploys them
    "darwinConfigurations": ("macOS", "darwin-rebuild switch"),
    "homeConfigurations": (
        "Home Manager",
        "home-manager switch, or a NixOS that imports it as a module",
    ),
    "systemConfigs": (
        "system-manager",
        "hosts that are not NixOS, unless a NixOS has the name: rename one of them",
    ),
    "confctl": ("confctl", "confctl deploy"),
    "nixopsConfigurations": (
        "NixOps",
        "nixops deploy, unless `default` is a network that asks for no arguments",
    ),
}


def no_hosts(found: Found, checkout: Path, others: Sequence[str]) -> LayoutError:
    """Return what to say where there is no host; a flake may have *others*' outputs."""
    message = f"no host is in what was read ({why(found)})"
    if others:
        told = " and ".join(f"{name} ({_OTHERS[name][0]})" for name in others)
        message += f", and {told} cannot be served: {_how_deployed(others)}"
    if isinstance(found, Flake) and (beside := _beside(checkout)):
        return LayoutError(f"{message}: beside it there is {' and '.join(beside)}")
    return LayoutError(
        f"{message}: set repository.layout and repository.entry if the hosts are"
        " elsewhere, or repository.dir if another folder's flake holds them"
    )


def not_served(others: Sequence[str]) -> str:
    """Return which *others*' outputs are left alone, and what deploys them."""
    return f"not served: {_how_deployed(others)}" if others else ""


def _how_deployed(others: Sequence[str]) -> str:
    return "; ".join(f"{name} is for {_OTHERS[name][1]}" for name in others)


def refuse_links(found: Found, checkout: Path) -> None:
    """
    Raise LayoutError where a file that says what hosts are lies outside of *checkout*.

    What is there is in no commit, and no one would notice when it changes.
    """
    root = checkout.resolve()
    for name in _files(found):
        place = (checkout / name).resolve()
        if not place.is_relative_to(root):
            message = (
                f"{name} is a link to {place}, outside of the repository:"
                " commit the file itself"
            )
            raise LayoutError(message)


def unreadable(file: Path) -> str:
    """Return why *file* is no Nix, if a filter of git has not been at work."""
    try:
        with file.open("rb") as stream:
            head = stream.read(len(_GIT_LFS))
    except OSError:
        return ""
    if head.startswith(_GIT_CRYPT):
        return (
            "git-crypt has locked this file: keep what is secret out of evaluation, or,"
            " but in a flake, lay the file over the checkout with repository.secrets"
        )
    if head == _GIT_LFS:
        return "this file is in Git LFS, which is not fetched: commit the file itself"
    return ""


def _files(found: Found) -> Iterator[str]:
    match found:
        case Flake(folder=folder):
            yield str(PurePosixPath(folder, FLAKE_FILE))
        case Hive(file=file) | Attribute(file=file) | Paths(file=file):
            yield file
        case NetworkFiles(files=files):
            yield from files
        case HostFolders(patterns=patterns):
            for pattern, names in patterns.items():
                yield from (_file_of(pattern, name) for name in names)


def _file_of(pattern: str, name: HostName) -> str:
    if "*" not in pattern:
        return pattern
    prefix, suffix = split(pattern)
    return f"{prefix}{name}{suffix}"


def _beside(checkout: Path) -> list[str]:
    """Return what else in *checkout* may hold hosts, and how to have it read."""
    hive = [HIVE_FILE] if (checkout / HIVE_FILE).is_file() else []
    folders = first_folders(checkout, HostName("host"))
    return [
        *(f"{file} (repository.layout: colmena)" for file in hive),
        *(f"{file} (repository.layout: hosts)" for file in folders.patterns),
    ]
