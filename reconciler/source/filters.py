"""
Files that git keeps in another form: those in LFS, and those that git-crypt locked.

A filter turns them into what they are in a work tree. Filters are programs that
somebody sets up on a machine, so none runs here but that of git-lfs, which is fetched
from as the repository itself is. What stays as git keeps it is named.
"""

import re
import shutil
from pathlib import Path

from reconciler.errors import CommandError
from reconciler.source import command
from reconciler.source.network import Remote

ATTRIBUTES = ":(glob)**/.gitattributes"
"""Where a repository says which files have a filter."""

_LFS = "lfs"
_SMUDGE = (
    *("-c", "filter.lfs.smudge=git-lfs smudge -- %f"),
    *("-c", "filter.lfs.process=git-lfs filter-process"),
    *("-c", "filter.lfs.required=true"),
)
_NAME = re.compile(r"\bfilter=([A-Za-z0-9_-]+)(?![^\s])")
_KEPT = {  # how files begin that are as git keeps them
    _LFS: b"version https://git-lfs.github.com/spec/",
    "git-crypt": b"\0GITCRYPT\0",
}
_REMEDIES = {
    _LFS: "install git-lfs where the reconciler runs",
    "git-crypt": "unlock them elsewhere and lay that folder over the checkout"
    " (repository.secrets)",
}


def has_lfs() -> bool:
    """Say whether git-lfs is installed here."""
    return shutil.which("git-lfs") is not None


def filters_of(git_dir: Path, commit: str) -> list[str]:
    """Return the names of the filters that *commit* wants for some of its files."""
    # Not as a fixed string: git gives those to PCRE, which makes machine code, and that
    # a hardened unit forbids (MemoryDenyWriteExecute).
    argv = ["grep", "--no-color", "-h", "-I", "-E", "-e", "filter[=]", commit, "--"]
    done = command.local(git_dir, *argv, ATTRIBUTES, check=False)
    if done.status > 1:  # 1 is: there is none
        raise CommandError(done.argv, status=done.status, stderr=done.stderr)
    lines = (line for line in done.stdout.splitlines() if not line.startswith("#"))
    return sorted({name for line in lines for name in _NAME.findall(line)})


def fetch_lfs(git_dir: Path, commit: str, remote: Remote) -> tuple[str, ...]:
    """
    Bring what *commit* has in LFS; return the options by which git writes it.

    Raises SourceError, or StateError where our disk is the reason.
    """
    remote.fetch_lfs(git_dir, commit)
    return _SMUDGE


def as_git_keeps_them(
    git_dir: Path, folder: Path, index: Path, names: list[str]
) -> list[str]:
    """Say which files in *folder* were not turned into what they are, by filter."""
    told = []
    for name in names:
        argv = [f"--work-tree={folder}", "ls-files", "-z", "--"]
        environment = {"GIT_INDEX_FILE": str(index)}
        pattern = f":(top,attr:filter={name})"
        done = command.local(git_dir, *argv, pattern, env=environment)
        files = [file for file in done.stdout.split("\0") if file]
        if kept := [file for file in files if _is_kept(folder / file, name)]:
            told.append(_told(name, kept))
    return told


def _is_kept(file: Path, name: str) -> bool:
    """Say whether *file* is as git keeps it; of filters unknown to us, all are."""
    if file.is_symlink() or not file.is_file():
        return False
    start = _KEPT.get(name, b"")
    with file.open("rb") as opened:
        return opened.read(len(start)) == start


def _told(name: str, files: list[str]) -> str:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    remedy = f"; {_REMEDIES[name]}" if name in _REMEDIES else ""
    return (
        f"{files[0]}{more}: as git keeps them, since the filter {name} does not run"
        f" here{remedy}"
    )
