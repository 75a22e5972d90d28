"""The configuration of Nix on this machine, as evaluations may see it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

_SECRET = re.compile(r"\s*(?:extra-)?(?:access-tokens|netrc-file|secret-key-files)\s*=")
_INCLUDE = re.compile(r"\s*!?include\s+(?P<file>\S+)\s*$")
_NETRC = re.compile(r"^\s*netrc-file\s*=\s*(?P<file>/\S+)\s*$", re.MULTILINE)
_DEPTH = 10


def without_secrets() -> str:
    """Return every line that Nix would read, for NIX_CONFIG, but for tokens."""
    return "\n".join(line for line in _lines() if not _SECRET.match(line))


def value_of(name: str) -> str:
    """Return what the setting *name* is set to; empty if it is not."""
    found = re.findall(
        rf"^\s*{name}\s*=\s*(.*?)\s*$", "\n".join(_lines()), re.MULTILINE
    )
    return found[-1] if found else ""


def credentials() -> Iterator[Path]:
    """Yield the files with all lines, and that of names and passwords."""
    yield _system()
    yield from (file for file in _users() if file.is_file())
    named = _NETRC.findall("\n".join(_lines()))
    yield from map(Path, named or [str(_system().with_name("netrc"))])


def _lines() -> Iterator[str]:
    for file in (_system(), *_users()):
        yield from _of_file(file)
    yield from os.environ.get("NIX_CONFIG", "").splitlines()


def _system() -> Path:
    return Path(os.environ.get("NIX_CONF_DIR", "/etc/nix"), "nix.conf")


def _users() -> list[Path]:
    """Return the files of our user, what wins coming last."""
    if named := os.environ.get("NIX_USER_CONF_FILES"):
        return [Path(file) for file in reversed(named.split(":")) if file]
    shared = os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")
    own = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    return [Path(folder, "nix/nix.conf") for folder in (*reversed(shared), own)]


def _of_file(file: Path, depth: int = 0) -> Iterator[str]:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        if (match := _INCLUDE.match(line)) and depth < _DEPTH:
            yield from _of_file(file.parent / match["file"], depth + 1)
        elif not match:
            yield line
