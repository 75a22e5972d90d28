"""Git repositories for tests of where commits come from, and mirrors of them."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from reconciler.settings import RepositorySettings
from reconciler.source import Mirror

IDENTITY = {
    "GIT_AUTHOR_NAME": "Ann Author",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Carl",
    "GIT_COMMITTER_EMAIL": "carl@example.org",
    "GIT_ALLOW_PROTOCOL": "file",
    "GIT_CONFIG_NOSYSTEM": "1",  # Debian's git-lfs has its filter in there
}


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", "-C", folder, *args],
        env={**os.environ, **IDENTITY},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@dataclass(frozen=True)
class Repository:
    """A repository, and the work tree from which commits come into it."""

    url: str
    path: Path
    work: Path

    def commit(self, message: str = "change", /, **files: str) -> str:
        """Commit *files* by their content, and push; return the commit's id."""
        for name, text in files.items():
            (self.work / name).write_text(text, encoding="utf-8")
        return self.commit_all(message)

    def commit_all(self, message: str = "change") -> str:
        """Commit all that is in the work tree, and push; return the commit's id."""
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--allow-empty", "--message", message)
        self.push()
        return git(self.work, "rev-parse", "HEAD")

    def push(self) -> None:
        """Bring all branches and tags where the mirror looks for them."""
        if self.work != self.path:
            argv = ["push", "--quiet", "--force", str(self.path)]
            git(
                self.work, *argv, "refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*"
            )

    def delete_branch(self, name: str) -> None:
        """Delete the branch *name* where the mirror looks for it."""
        git(self.path, "update-ref", "-d", f"refs/heads/{name}")


def make_repository(folder: Path, *options: str, bare: bool = False) -> Repository:
    """Make a repository with one commit of a file ``f``."""
    work = folder / ("work" if bare else "repository")
    path = folder / "repository.git" if bare else work
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch=main", *options, str(work))
    if bare:
        git(folder, "init", "--quiet", "--bare", *options, str(path))
    repository = Repository(url=str(path), path=path, work=work)
    repository.commit("first", f="1\n")
    return repository


def mirror_of(repository: Repository, state: Path, branch: str = "main") -> Mirror:
    return Mirror(RepositorySettings(url=repository.url, branch=branch), state=state)


def contents(folder: Path) -> dict[str, str]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): file.read_text() for file in files}


def checked_out(repository: Repository, state: Path) -> Path:
    mirror = mirror_of(repository, state)
    return mirror.checkout(mirror.fetch())


def add_submodule(repository: Repository, url: str, path: str = "sub") -> None:
    argv = ["submodule", "--quiet", "add", "--", url, path]
    git(repository.work, "-c", "protocol.file.allow=always", *argv)
    repository.commit_all("add a submodule")
