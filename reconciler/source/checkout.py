"""
Clean checkouts: the files of one commit, and nothing of git.

Made with ``read-tree -u`` and an index of its own, the part of ``git checkout`` that
writes files. ``git archive`` would obey export-ignore and export-subst, so that
the folder would not be the commit; a worktree would leave a ``.git`` that points into
the mirror. Attributes about line ends count as they do in any checkout; filters are
configured per machine, so here there is none but that of git-lfs; see `filters`.

The newest checkout that nobody needs any more is kept aside with its index: of the next
commit, only the files that differ are written into it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog

from reconciler.errors import CommandError, SourceError
from reconciler.model import CommitId
from reconciler.source import command, filters
from reconciler.source.network import Remote
from reconciler.source.submodules import Submodule, gitlinks, submodules_of

log = structlog.get_logger(__name__)

# Nix names a store path after the last component of the folder it came from. With one
# name for all, commits with the same content give the same derivation for `src = ./.`.
FOLDER = "source"
_INDEX = "index"

_SPARE = ".spare"  # the checkout from which the next one is made
_NOTES = "notes"  # what is to be known of a checkout, one a line

STAMP = "commit.json"
"""Beside the files: what git tells of the commit, for flakes; see `desired.flake`."""

TREE = "tree"
"""Beside the files: what git has at each path, for `desired.ground`."""

DEPTH_LIMIT = 10
"""Submodules within submodules."""


class Checkouts:
    """
    Checkouts in the state directory: ``checkouts/<commit>-<conditions>/source``.

    Two processes under different conditions, as one that finds git-lfs and one that
    does not, have one each, and do not take away what the other reads.
    """

    def __init__(
        self,
        mirror: Path,
        remote: Remote,
        *,
        state: Path,
        without: frozenset[str] = frozenset(),
    ) -> None:
        """Take where commits are, where from, and which submodules are left out."""
        self._mirror = mirror
        self._without = without
        self._remote = remote
        self._path = state / "checkouts"
        self._modules = state / "modules"
        self._lock = state / "checkouts.lock"

    def make(self, commit: CommitId) -> Path:
        """
        Return the checkout of *commit*, made now if there is none.

        Raises CommandError when git cannot write it, SourceError for a submodule.
        """
        place = self._place(commit)
        if not self._is_complete(place):
            with command.locked(self._lock), command.state_errors(self._path):
                if not self._is_complete(place):  # made while we waited
                    self._sweep()
                    self._make(commit, place)
        return place / FOLDER

    @contextlib.contextmanager
    def held(self, commit: CommitId) -> Iterator[Path]:
        """Give the checkout of *commit*, which no process removes meanwhile."""
        folder, mark = self._hold(commit)
        with mark:
            yield folder

    def _hold(self, commit: CommitId) -> tuple[Path, IO[bytes]]:
        while True:
            folder = self.make(commit)
            with command.state_errors(self._path):
                mark = _hold(folder.parent)
            if mark is not None:  # else it was removed just now
                return folder, mark

    def prune(self, keep: Collection[CommitId]) -> None:
        """Remove every checkout but those of *keep*, and those that are held."""
        kept = {self._place(commit).name for commit in keep}
        with command.locked(self._lock), command.state_errors(self._path):
            self._sweep()
            places = self._path.glob("[!.]*")
            # The newest last: it stays as the spare, being the most like what comes.
            for place in sorted(
                (place for place in places if place.name not in kept), key=_made_at
            ):
                with _claimed(place) as claimed:
                    if claimed:
                        self._put_aside(place)

    def _make(self, commit: CommitId, place: Path) -> None:
        self._path.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".making-", dir=self._path))
        try:
            if not self._reuse(commit, aside):
                self._write(commit, aside)
            (aside / "commit").write_text(commit, encoding="ascii")
            (aside / STAMP).write_text(json.dumps(self._stamp(commit)), "ascii")
            self._list(commit, aside / TREE)
            (aside / "complete").write_text(self._conditions(), encoding="utf-8")
            self._remove(place)
            aside.rename(place)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def _stamp(self, commit: CommitId) -> dict[str, object]:
        """Return what git tells of *commit*, by the names that Nix gives it."""
        dated = command.local(self._mirror, "log", "-1", "--format=%ct", commit)
        counted = command.local(self._mirror, "rev-list", "--count", commit)
        return {
            "rev": commit,
            "revCount": int(counted.stdout),
            "lastModified": int(dated.stdout),
        }

    def _list(self, commit: CommitId, file: Path) -> None:
        """Write what git has at each path, and what else the files follow from."""
        told = repr(("lfs" if filters.has_lfs() else "", *sorted(self._without)))
        # Quoted, so that names may hold any bytes.
        argv = ["-c", "core.quotePath=true", "ls-tree", "-r", "-t", "--full-tree"]
        listed = command.local(self._mirror, *argv, commit).stdout
        file.write_text(f"{told}\n{listed}", encoding="utf-8")

    def _reuse(self, commit: CommitId, aside: Path) -> bool:
        """Make the spare the checkout of *commit* in *aside*; return whether it is."""
        spare = self._path / _SPARE
        before = self._of_spare(commit)
        if not before:
            return False
        # From here on it is taken: nobody ever finds one that is half of each commit.
        for name in (FOLDER, _INDEX):
            (spare / name).rename(aside / name)
        try:
            self._clean(before, aside)
            self._write(commit, aside)
        except CommandError as error:
            log.warning("making a checkout from nothing", reason=command.said(error))
            for name in (FOLDER, _INDEX):
                command.discard(aside / name)
            return False
        return True

    def _of_spare(self, commit: CommitId) -> str:
        """Return of which commit the spare is, if it can become that of *commit*."""
        spare = self._path / _SPARE
        with contextlib.suppress(OSError):
            before = (spare / "commit").read_text(encoding="ascii")
            if self._is_complete(spare) and (spare / _INDEX).exists():
                argv = ["diff-tree", "-r", "--name-only", before, commit, "--"]
                # They count for files that did not change as well.
                done = command.local(
                    self._mirror, *argv, filters.ATTRIBUTES, check=False
                )
                return before if done.status == 0 and not done.stdout else ""
        return ""

    def _clean(self, commit: str, place: Path) -> None:
        """Leave in the checkout of *commit* what git put there, and nothing else."""
        folder = place / FOLDER
        if os.path.lexists(folder / ".gitmodules"):
            for path, _ in gitlinks(self._mirror, commit):
                command.discard(folder / path)
        argv = [f"--work-tree={folder}", "clean", "-ffdxq"]
        index = {"GIT_INDEX_FILE": str(place / _INDEX)}
        command.local(self._mirror, *argv, env=index)

    def _is_complete(self, place: Path) -> bool:
        """
        Say whether the checkout at *place* can be used.

        One that was made before the machine last started cannot: files written shortly
        before a power cut may be there and be empty. Nor can one from
        before git-lfs came, or from before other submodules were left out.
        """
        with contextlib.suppress(OSError):
            return (place / "complete").read_text(
                encoding="utf-8"
            ) == self._conditions()
        return False

    def _place(self, commit: str) -> Path:
        conditions = hashlib.sha256(self._conditions().encode()).hexdigest()
        return self._path / f"{commit}-{conditions[:8]}"

    def _conditions(self) -> str:
        """Return what must be as it was for a checkout to be used."""
        boot = ""
        with contextlib.suppress(OSError):
            file = Path("/proc/sys/kernel/random/boot_id")
            boot = file.read_text(encoding="ascii").strip()
        lfs = "lfs" if filters.has_lfs() else ""
        return repr((boot, lfs, TREE, *sorted(self._without)))

    def _sweep(self) -> None:
        """Remove what was left half-made or half-removed; the lock says by nobody."""
        for rest in self._path.glob(".*"):
            if rest.name != _SPARE or not self._is_complete(rest):
                shutil.rmtree(rest, ignore_errors=True)

    def _put_aside(self, place: Path) -> None:
        """Make *place* the spare in place of the one before."""
        if not self._is_complete(place):
            self._remove(place)
            return
        self._remove(self._path / _SPARE)
        place.rename(self._path / _SPARE)

    def _remove(self, place: Path) -> None:
        """Remove *place* so that nobody ever finds a part of it."""
        if place.exists():
            gone = Path(tempfile.mkdtemp(prefix=".gone-", dir=self._path))
            place.rename(gone / place.name)
            shutil.rmtree(gone, ignore_errors=True)

    def _write(self, commit: str, place: Path) -> None:
        """Write *commit* into *place*, with the index by which that can be changed."""
        tree = _Tree(self._mirror, commit, self._remote, place / FOLDER)
        notes = self._write_tree(tree, index=place / _INDEX)
        (place / _NOTES).write_text("\n".join(notes), encoding="utf-8")

    def _write_tree(self, tree: "_Tree", *, index: Path, depth: int = 0) -> list[str]:
        """
        Write the files of a commit, then those of each submodule.

        Returns what people should know of them.
        """
        notes = tree.write(index)
        if os.path.lexists(tree.folder / ".gitmodules"):
            for submodule in tree.submodules(self._without):
                notes += self._write_submodule(submodule, tree, depth + 1)
        return notes

    def _write_submodule(
        self, module: Submodule, outer: "_Tree", depth: int
    ) -> list[str]:
        """Write one submodule of *outer*; return what to know of it."""
        folder, path = outer.folder, outer.inside + module.path
        place = folder / module.path
        if depth > DEPTH_LIMIT or place.resolve() != folder.resolve() / module.path:
            message = f"submodule {path}: nested too deep, or behind a symlink"
            raise SourceError(message)
        try:
            git_dir = module.bring(self._modules)
        except SourceError as error:
            message = (
                f"{error}; to do without it: repository.without_submodules: [{path}]"
            )
            raise SourceError(message, retry_after=error.retry_after) from error
        inside = f"{path}/"
        tree = _Tree(git_dir, module.commit, module.remote, place, inside)
        try:
            with tempfile.TemporaryDirectory(prefix=".index-", dir=self._path) as aside:
                index = Path(aside, "index")
                notes = self._write_tree(tree, index=index, depth=depth)
        except CommandError as error:
            module.suspect(self._modules)
            message = f"submodule {path}: {command.said(error)}"
            raise SourceError(message) from error
        return [f"submodule {path}: {note}" for note in notes]


@dataclass(frozen=True, slots=True)
class _Tree:
    """One commit of one repository of ours, and the folder for its files."""

    git_dir: Path
    commit: str
    remote: Remote
    folder: Path
    inside: str = ""  # where in the repository it is, with a slash at its end

    def submodules(self, without: Collection[str]) -> list[Submodule]:
        """Return its submodules but those whose path is one of *without*."""
        inside = self.inside
        left_out = {p.removeprefix(inside) for p in without if p.startswith(inside)}
        return submodules_of(self.git_dir, self.commit, self.remote, left_out)

    def write(self, index: Path) -> list[str]:
        """Write its files, as *index* says which are there; return what to know."""
        self.folder.mkdir(parents=True, exist_ok=True)
        names = filters.filters_of(self.git_dir, self.commit)
        options: tuple[str, ...] = ()
        if "lfs" in names and filters.has_lfs():
            options = filters.fetch_lfs(self.git_dir, self.commit, self.remote)
        command.local(
            self.git_dir,
            *(f"--work-tree={self.folder}", *options),
            *("read-tree", "--reset", "-u", "--no-recurse-submodules", self.commit),
            env={"GIT_INDEX_FILE": str(index)},
        )
        return filters.as_git_keeps_them(self.git_dir, self.folder, index, names)


def _hold(place: Path) -> IO[bytes] | None:
    """
    Have nobody remove *place* until what is returned is closed; None if it is gone.

    The kernel keeps that, so that it also ends with the process, however that ends.
    """
    file = place / "complete"
    try:
        mark = file.open("rb")
    except FileNotFoundError:
        return None
    fcntl.flock(mark, fcntl.LOCK_SH)  # waits for a removal, which takes moments
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(mark.fileno()), file.stat()):
            return mark
    mark.close()
    return None


@contextlib.contextmanager
def _claimed(place: Path) -> Iterator[bool]:
    """Give whether nobody holds *place*; then nobody does before the end."""
    with contextlib.ExitStack() as stack:
        try:
            mark = stack.enter_context((place / "complete").open("rb"))
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            claimed = False
        except (FileNotFoundError, NotADirectoryError):
            claimed = True  # it never was complete: nobody can hold it
        else:
            claimed = True
        yield claimed


def notes_of(folder: Path) -> tuple[str, ...]:
    """Return what people should know of the checkout in *folder*."""
    with contextlib.suppress(OSError):
        return tuple((folder.parent / _NOTES).read_text(encoding="utf-8").splitlines())
    return ()


def _made_at(place: Path) -> float:
    with contextlib.suppress(OSError):
        return (place / "complete").stat().st_mtime
    return 0.0
