"""Which files of a checkout say what the hosts are: ``docs/layouts.md``."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from reconciler.errors import LayoutError
from reconciler.model import HostName
from reconciler.settings import Layout, RepositorySettings

NETWORK_FILES = ("nixops.nix", "network.nix", "deployment.nix", "deploy.nix")
"""Files at the top of a repository that ``auto`` takes for a NixOps network."""

HOSTS_PATTERN = "hosts/*/configuration.nix"

_NAME_LIMIT = 255  # bytes: names become file names


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFiles:
    """Layout ``nixops``: files relative to the checkout."""

    files: tuple[str, ...]
    hint: str = ""  # what to say when they turn out to be no network


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFolders:
    """Layout ``hosts``: the hosts that each pattern matches."""

    patterns: Mapping[str, tuple[HostName, ...]]

    @property
    def hosts(self) -> tuple[HostName, ...]:
        """Every host, sorted."""
        return tuple(sorted(name for names in self.patterns.values() for name in names))


Found = NetworkFiles | HostFolders


def find(checkout: Path, settings: RepositorySettings) -> Found:
    """
    Return what *settings* or, where they leave it open, the files in *checkout* say.

    Raises LayoutError: nothing or too much was found, or what ``entry`` names is not
    there.
    """
    entry = tuple(_inside(text) for text in settings.entry)
    layout = settings.layout
    if layout is Layout.AUTO:
        return _guessed(checkout, entry)
    if layout is Layout.NIXOPS:
        return _network(checkout, entry or _candidates(checkout))
    return _folders(checkout, entry or (HOSTS_PATTERN,))


def check_name(name: str) -> HostName:
    """Return *name*; raises LayoutError if no host can have it."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        length = 0
    fits = 0 < length <= _NAME_LIMIT and name not in {".", ".."} and "/" not in name
    if not fits or any(unicodedata.category(char) == "Cc" for char in name):
        message = f"{name!r} cannot be the name of a host: rename it in the repository"
        raise LayoutError(message)
    return HostName(name)


def _guessed(checkout: Path, entry: Sequence[str]) -> Found:
    if entry:
        patterns = [text for text in entry if "*" in text]
        if patterns and len(patterns) < len(entry):
            message = (
                "repository.entry mixes network files and patterns with a *; "
                "set repository.layout and name one kind"
            )
            raise LayoutError(message)
        return _folders(checkout, entry) if patterns else _network(checkout, entry)
    has_folders = next(checkout.glob(HOSTS_PATTERN), None) is not None
    if candidates := _candidates(checkout):
        return _network(checkout, candidates, also_folders=has_folders)
    if has_folders:
        return _folders(checkout, (HOSTS_PATTERN,))
    message = (
        f"no {', '.join(NETWORK_FILES)} and no {HOSTS_PATTERN} in the repository: "
        "set repository.layout and repository.entry"
    )
    raise LayoutError(message)


def _candidates(checkout: Path) -> tuple[str, ...]:
    """Return the one network file at the top; raises LayoutError if there are more."""
    found = tuple(name for name in NETWORK_FILES if (checkout / name).is_file())
    if len(found) > 1:
        message = (
            f"{' and '.join(found)} could each be the NixOps network: "
            "set repository.entry to the one that is, or to all that make it up"
        )
        raise LayoutError(message)
    return found


def _network(
    checkout: Path, files: Sequence[str], *, also_folders: bool = False
) -> NetworkFiles:
    """Return *files* as a network; *also_folders*: the other layout is there too."""
    if not files:
        message = (
            f"no {', '.join(NETWORK_FILES)} in the repository: "
            "set repository.entry to its network files"
        )
        raise LayoutError(message)
    for name in files:
        if not (checkout / name).is_file():
            message = f"repository.entry: {name} is not a file in the repository"
            raise LayoutError(message)
    return NetworkFiles(
        files=tuple(files), hint=_hint(files[0]) if also_folders else ""
    )


def _hint(name: str) -> str:
    return (
        f"{name} was taken for a NixOps network, though {HOSTS_PATTERN} is there too; "
        "if it is none, set repository.layout: hosts"
    )


def _folders(checkout: Path, patterns: Sequence[str]) -> HostFolders:
    matches = {pattern: _matches(checkout, pattern) for pattern in patterns}
    found = HostFolders(patterns=matches)
    _refuse_twins(matches)
    if not found.hosts:
        message = (
            f"nothing in the repository matches {', '.join(patterns)}: "
            "set repository.entry to where the hosts are, with a * for their names"
        )
        raise LayoutError(message)
    return found


def _matches(checkout: Path, pattern: str) -> tuple[HostName, ...]:
    prefix, suffix = split(pattern)
    folder, stem = _parted(prefix)
    names = (
        path.name[len(stem) :]
        for path in _listed(checkout / folder)
        if path.name.startswith(stem) and not path.name.startswith(".")
    )
    if not suffix.startswith("/"):
        names = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
    hosts = (name for name in names if (checkout / f"{prefix}{name}{suffix}").is_file())
    return tuple(sorted(map(check_name, hosts)))


def split(pattern: str) -> tuple[str, str]:
    """Return what is before and behind the * of *pattern*; raises LayoutError."""
    if pattern.count("*") != 1:
        message = (
            f"repository.entry: {pattern} must hold exactly one *, "
            "which stands for the name of a host"
        )
        raise LayoutError(message)
    prefix, _, suffix = pattern.partition("*")
    return prefix, suffix


def _parted(prefix: str) -> tuple[str, str]:
    folder, _, stem = prefix.rpartition("/")
    return folder, stem


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _inside(text: str) -> str:
    """Return *text* without empty parts; raises LayoutError if it leads outside."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts:
        message = f"repository.entry: {text} lies outside of the repository"
        raise LayoutError(message)
    return str(path)


def _refuse_twins(matches: Mapping[str, Sequence[HostName]]) -> None:
    """Raise LayoutError if two patterns find a host of the same name."""
    seen: dict[HostName, str] = {}
    for pattern, names in matches.items():
        for name in names:
            if name in seen:
                message = (
                    f"{name} is a host by {seen[name]} and by {pattern}: "
                    "remove one, or set repository.entry"
                )
                raise LayoutError(message)
            seen[name] = pattern
