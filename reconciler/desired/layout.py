"""Which files of a checkout say what the hosts are: ``docs/layouts.md``."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from reconciler.errors import LayoutError
from reconciler.model import HostName
from reconciler.settings import Layout, RepositorySettings

FLAKE_FILE = "flake.nix"
LOCK_FILE = "flake.lock"
HIVE_FILE = "hive.nix"
PATHS_FILE = "paths.json"

NETWORK_FILES = ("nixops.nix", "network.nix", "deployment.nix", "deploy.nix")
"""Files at the top of a repository that may be a NixOps network; their value tells."""

HOSTS_PATTERNS = (
    "hosts/*/configuration.nix",
    "hosts/*/default.nix",
    "hosts/*.nix",
    "machines/*/configuration.nix",
    "machines/*/default.nix",
    "systems/*/configuration.nix",
    "systems/*/default.nix",
    "*/configuration.nix",
)
"""Where ``auto`` looks for a file per host; the first that finds any counts."""

ONE_HOST = "configuration.nix"
"""At the top: the repository is one host's, which is called as the repository."""

NO_HOSTS = frozenset(
    {"base", "common", "default", "lib", "modules", "profiles", "shared"}
)
"""What ``auto`` takes for parts of hosts, unless they have a configuration.nix."""

_NAME_LIMIT = 255  # bytes: names become file names


@dataclass(frozen=True, slots=True, kw_only=True)
class Flake:
    """Layout ``flake``: a ``flake.nix`` in *folder*, whose outputs hold the hosts."""

    folder: str = "."  # relative to the checkout


@dataclass(frozen=True, slots=True, kw_only=True)
class Hive:
    """Layout ``colmena``: a file with a hive, relative to the checkout."""

    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFiles:
    """Layout ``nixops``: files relative to the checkout."""

    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFolders:
    """Layout ``hosts``: the hosts that each pattern matches."""

    patterns: Mapping[str, tuple[HostName, ...]]

    @property
    def hosts(self) -> tuple[HostName, ...]:
        """Every host, sorted."""
        return tuple(sorted(name for names in self.patterns.values() for name in names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """Layout ``attribute``: an attribute of a file, whose values are hosts."""

    file: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Layout ``paths``: a file of JSON with the path of each host's system."""

    file: str


Found = Flake | Hive | NetworkFiles | HostFolders | Attribute | Paths

IsNetwork = Callable[[str], bool]
"""Says of a file of the checkout whether its value is a NixOps network."""


def find(checkout: Path, settings: RepositorySettings, is_network: IsNetwork) -> Found:
    """
    Return what *settings* or, where they leave it open, the files in *checkout* say.

    Raises LayoutError: nothing or too much was found, or what ``entry`` names is not
    there.
    """
    files = tuple(_inside(text) for text in settings.entry if is_file(text))
    name = name_of(settings.url)
    readers: dict[Layout, Callable[[], Found]] = {
        Layout.FLAKE: lambda: _flake(checkout, settings.dir),
        Layout.COLMENA: lambda: _hive(checkout, files or (HIVE_FILE,)),
        Layout.NIXOPS: lambda: _network(
            checkout, files or _candidates(checkout, is_network)
        ),
        Layout.ATTRIBUTE: lambda: _attribute(checkout, files),
        Layout.HOSTS: lambda: _host_files(checkout, files, name),
        Layout.PATHS: lambda: _paths(checkout, files or (PATHS_FILE,)),
    }
    if settings.layout in readers:
        return readers[settings.layout]()
    if files:
        return _named(checkout, files)
    return _guessed(checkout, settings.dir, name, is_network)


def why(found: Found) -> str:
    """Return what a repository was taken for, for people."""
    match found:
        case Flake(folder=folder):
            return f"flake, by {_joined(folder, FLAKE_FILE)}"
        case Hive(file=file):
            return f"colmena, by {file}"
        case NetworkFiles(files=files):
            return f"nixops, by {', '.join(files)}"
        case HostFolders(patterns=patterns):
            return f"hosts, by {', '.join(patterns)}"
        case Attribute(file=file, path=path):
            return f"attribute {'.'.join(path)} of {file}"
        case Paths(file=file):
            return f"paths, by {file}"


def refuse_settings(found: Found, settings: RepositorySettings) -> None:
    """Raise LayoutError for settings that have no meaning for what was *found*."""
    if not isinstance(found, NetworkFiles):
        given = {"arguments": settings.arguments, "physical": settings.physical}
        for name in (name for name, value in given.items() if value):
            message = (
                f"repository.{name} is for NixOps networks, and this is none"
                f" ({why(found)}): take it out, or set repository.layout"
            )
            raise LayoutError(message)
    elif settings.physical and not settings.physical.is_file():
        message = (
            f"repository.physical: {settings.physical} is no file: have it written by"
            " reconciler import, or take it out"
        )
        raise LayoutError(message)


def name_of(url: str) -> HostName:
    """Return what a repository is called, by the last part of its *url*."""
    return HostName(PurePosixPath(url.rstrip("/")).name.removesuffix(".git") or "host")


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


def is_file(entry: str) -> bool:
    """Say whether an entry means files; else it chooses hosts by their names."""
    return "/" in entry or entry.partition("#")[0].endswith((".nix", ".json"))


def _guessed(
    checkout: Path, folder: str, name: HostName, is_network: IsNetwork
) -> Found:
    """
    Return the layout of a repository that nobody named.

    A flake first: it knows most, and tools prefer it to the files beside it. Then a
    hive, a network, and folders last.
    """
    if (checkout / folder / FLAKE_FILE).is_file():
        return _flake(checkout, folder)
    if (checkout / HIVE_FILE).is_file():
        return Hive(file=HIVE_FILE)
    if candidates := _candidates(checkout, is_network):
        return _network(checkout, candidates)
    if (folders := first_folders(checkout, name)).patterns:
        return folders
    raise _nothing_found(checkout)


def _named(checkout: Path, files: Sequence[str]) -> Found:
    if any("#" in text for text in files):
        return _attribute(checkout, files)
    if any(text.endswith(".json") for text in files):
        return _paths(checkout, files)
    patterns = [text for text in files if "*" in text]
    if patterns and len(patterns) < len(files):
        message = (
            "repository.entry mixes network files and patterns with a *; "
            "set repository.layout and name one kind"
        )
        raise LayoutError(message)
    if list(files) == [HIVE_FILE]:
        return _hive(checkout, files)
    return _folders(checkout, files) if patterns else _network(checkout, files)


def _nothing_found(checkout: Path) -> LayoutError:
    no_networks = [name for name in NETWORK_FILES if (checkout / name).is_file()]
    looked = (FLAKE_FILE, HIVE_FILE, *(set(NETWORK_FILES) - set(no_networks)))
    message = (
        f"no {', '.join(sorted(looked))} and no {HOSTS_PATTERNS[0]} or the like in the"
        " repository"
    )
    if no_networks:
        message += f", and {', '.join(no_networks)} is not a NixOps network"
    if (checkout / "krops.nix").is_file():
        message += ", and krops.nix is a script of krops's, which lists no hosts"
    return LayoutError(f"{message}: set repository.layout and repository.entry")


def _flake(checkout: Path, folder: str) -> Flake:
    if not (checkout / folder / FLAKE_FILE).is_file():
        message = (
            f"no {_joined(folder, FLAKE_FILE)} in the repository: set repository.dir "
            "to the folder that holds it"
        )
        raise LayoutError(message)
    return Flake(folder=folder)


def _hive(checkout: Path, files: Sequence[str]) -> Hive:
    if len(files) > 1:
        message = "repository.entry: a hive is one file, which may import others"
        raise LayoutError(message)
    _require_files(checkout, files)
    return Hive(file=files[0])


def _paths(checkout: Path, files: Sequence[str]) -> Paths:
    if len(files) > 1:
        message = "repository.entry: the paths of all hosts are in one file of JSON"
        raise LayoutError(message)
    _require_files(checkout, files)
    return Paths(file=files[0])


def _attribute(checkout: Path, files: Sequence[str]) -> Attribute:
    if len(files) != 1 or "#" not in files[0]:
        message = (
            "repository.entry must name one file and an attribute of it, "
            "such as default.nix#hosts"
        )
        raise LayoutError(message)
    file, _, path = files[0].partition("#")
    _require_files(checkout, [file])
    names = tuple(path.split("."))
    if not all(names):
        message = f"repository.entry: {files[0]} names no attribute"
        raise LayoutError(message)
    return Attribute(file=file, path=names)


def _candidates(checkout: Path, is_network: IsNetwork) -> tuple[str, ...]:
    """Return the one network at the top; raises LayoutError if there are more."""
    found = tuple(
        name
        for name in NETWORK_FILES
        if (checkout / name).is_file() and is_network(name)
    )
    if len(found) > 1:
        message = (
            f"{' and '.join(found)} are each a NixOps network: "
            "set repository.entry to the one to use, or to all that make it up"
        )
        raise LayoutError(message)
    return found


def _network(checkout: Path, files: Sequence[str]) -> NetworkFiles:
    if not files:
        message = (
            f"no {', '.join(NETWORK_FILES)} in the repository is a network: "
            "set repository.entry to its network files"
        )
        raise LayoutError(message)
    _require_files(checkout, files)
    return NetworkFiles(files=tuple(files))


def _require_files(checkout: Path, files: Sequence[str]) -> None:
    for name in files:
        if not (checkout / name).is_file():
            message = f"repository.entry: {name} is not a file in the repository"
            raise LayoutError(message)


def _host_files(checkout: Path, files: Sequence[str], name: HostName) -> HostFolders:
    if files:
        return _folders(checkout, files)
    if (folders := first_folders(checkout, name)).patterns:
        return folders
    raise _no_match(HOSTS_PATTERNS)


def first_folders(checkout: Path, name: HostName) -> HostFolders:
    """Return what the first of our patterns finds that finds any; nothing if none."""
    for pattern in HOSTS_PATTERNS:
        hosts = _guessed_names(pattern, _matches(checkout, pattern))
        if hosts:
            return HostFolders(patterns={pattern: hosts})
    one = {ONE_HOST: (name,)} if (checkout / ONE_HOST).is_file() else {}
    return HostFolders(patterns=one)


def _guessed_names(pattern: str, names: Sequence[HostName]) -> tuple[HostName, ...]:
    if pattern.endswith("configuration.nix"):
        return tuple(names)
    return tuple(name for name in names if name not in NO_HOSTS)


def _folders(checkout: Path, patterns: Sequence[str]) -> HostFolders:
    matches = {pattern: _matches(checkout, pattern) for pattern in patterns}
    found = HostFolders(patterns=matches)
    _refuse_twins(matches)
    if not found.hosts:
        raise _no_match(patterns)
    return found


def _no_match(patterns: Sequence[str]) -> LayoutError:
    return LayoutError(
        f"nothing in the repository matches {', '.join(patterns)}: "
        "set repository.entry to where the hosts are, with a * for their names"
    )


def _matches(checkout: Path, pattern: str) -> tuple[HostName, ...]:
    prefix, suffix = split(pattern)
    folder, _, stem = prefix.rpartition("/")
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


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _joined(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"


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
