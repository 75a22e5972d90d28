"""
Submodules, brought without ``git submodule``.

That would keep a ``.git`` in the checkout, and run what ``.gitmodules`` and the
configuration say. We need only three facts of each: its path, its commit and its URL.
"""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import structlog

from reconciler.errors import SourceError
from reconciler.printable import shown
from reconciler.settings import local_path
from reconciler.settings.git_values import repository_url
from reconciler.source import command
from reconciler.source.copy import Copy
from reconciler.source.network import Remote

log = structlog.get_logger(__name__)

_KEY = re.compile(r"submodule\.(?P<name>.*)\.(?P<key>path|url|update)", re.DOTALL)
_GITLINK = "160000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submodule:
    """One submodule of one commit."""

    path: str  # in the repository that holds it
    remote: Remote
    commit: str

    def bring(self, modules: Path) -> Path:
        """
        Return a repository in *modules* that has the commit, fetched if need be.

        Raises SourceError naming the submodule.
        """
        copy = self._copy(modules)
        with copy.locked():
            if copy.is_suspect or not self._is_in(copy.path):
                self._fetch(copy)
        return copy.path

    def suspect(self, modules: Path) -> None:
        """Have it fetched anew next time if what we have of it cannot be read."""
        copy = self._copy(modules)
        with copy.locked():
            copy.suspect(self.commit)

    def _copy(self, modules: Path) -> Copy:
        name = hashlib.sha256(self.remote.url.encode()).hexdigest()[:32]
        return Copy(modules / f"{name}.git", self.remote)

    def _fetch(self, copy: Copy) -> None:
        # Under a ref of its own, so that packing the repository never drops it.
        refspec = f"+{self.commit}:refs/pinned/{self.commit}"
        bring = copy.renew if copy.is_suspect else copy.bring
        try:
            try:
                bring(self.commit, refspec)
            except SourceError:  # old servers give only what a ref points at
                bring(self.commit, "+refs/heads/*:refs/heads/*")
        except SourceError as error:
            message = f"submodule {self.path}: {error}"
            raise SourceError(message) from error
        if not self._is_in(copy.path):
            where = self.remote.shown
            message = f"submodule {self.path}: {where} has no commit {self.commit}"
            raise SourceError(message)

    def _is_in(self, git_dir: Path) -> bool:
        argv = ["cat-file", "-e", f"{self.commit}^{{tree}}"]
        return command.local(git_dir, *argv, check=False).status == 0


def submodules_of(
    git_dir: Path, commit: str, remote: Remote, without: Collection[str] = ()
) -> list[Submodule]:
    """
    Return the submodules of *commit* in the repository that came from *remote*.

    Those are left out whose path is one of *without*.

    One that ``.gitmodules`` does not describe stays an empty folder, as it does in any
    clone. Raises SourceError for a URL that is not safe to follow.
    """
    described = _described(git_dir, commit)
    found = []
    for path, name in gitlinks(git_dir, commit):
        if path in without:
            continue
        if its_url := described.get(path):
            url = relative_url(remote.url, its_url)
            safe = _checked(path, url, inside=remote.url)
            found.append(Submodule(path=path, remote=remote.at(safe), commit=name))
        else:
            log.warning("submodule is not in .gitmodules, or is off", path=path)
    return found


def relative_url(base: str, url: str) -> str:
    """Return *url* as seen from the repository at *base*, as git-submodule(1) says."""
    if not url.startswith(("./", "../")):
        return url
    base = base.rstrip("/")
    while True:
        if url.startswith("./"):
            url = url.removeprefix("./")
        elif url.startswith("../"):
            url = url.removeprefix("../")
            base, colon = _parent(base)
            if colon:
                return f"{base}:{url}".rstrip("/")
        else:
            return f"{base}/{url}".rstrip("/")


def _parent(base: str) -> tuple[str, bool]:
    """Cut the last component off *base*; say whether a colon was before it."""
    cut = max(base.rfind("/"), base.rfind(":"))
    if cut < 0 or base.endswith(":/"):
        message = f"a submodule's URL leads out of {shown(base)}"
        raise SourceError(message)
    return base[:cut], base[cut] == ":"


def _checked(path: str, url: str, *, inside: str) -> str:
    if local_path(url) is not None and local_path(inside) is None:
        message = f"submodule {path}: a repository elsewhere must not name a path here"
        raise SourceError(message)
    try:
        return repository_url(url)
    except ValueError as error:
        message = f"submodule {path}: its URL {error}"
        raise SourceError(message) from error


def gitlinks(git_dir: Path, commit: str) -> list[tuple[str, str]]:
    """Return path and commit of each submodule in the tree of *commit*."""
    listing = command.local(git_dir, "ls-tree", "-r", "-z", "--full-tree", commit)
    entries = (entry.split("\t", 1) for entry in listing.stdout.split("\0") if entry)
    rows = ((meta.split(), path) for meta, path in entries)
    return [(path, meta[2]) for meta, path in rows if meta[0] == _GITLINK]


def _described(git_dir: Path, commit: str) -> dict[str, str]:
    """Return the URL of each submodule in ``.gitmodules`` by its path."""
    argv = ["config", "--blob", f"{commit}:.gitmodules", "-z", "--list"]
    listing = command.local(git_dir, *argv, check=False).stdout
    modules: dict[str, dict[str, str]] = {}
    for entry in listing.split("\0"):
        key, _, value = entry.partition("\n")
        if match := _KEY.fullmatch(key):
            modules.setdefault(match["name"], {})[match["key"]] = value
    return {
        module["path"]: module["url"]
        for module in modules.values()
        if {"path", "url"} <= module.keys() and module.get("update") != "none"
    }
