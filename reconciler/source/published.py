"""
A file behind a URL as a repository: each content that it had is a commit.

So all that is above knows commits, and nothing of this: what was deployed and what goes
back, what one brings, who may approve it.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from typing_extensions import override

from reconciler import process
from reconciler.errors import CommandError, CommandTimeoutError, SourceError
from reconciler.printable import on_one_line
from reconciler.settings import RepositorySettings
from reconciler.source import command, retry_after
from reconciler.source.file_signatures import FILE, SIGNATURE, FileSignatures
from reconciler.source.network import Remote

LIMITS = {FILE: 16 << 20, SIGNATURE: 64 << 10}
"""Bytes of the largest file that is taken."""

_MEMORY = 512 << 20
"""Bytes for the process that gets it: what is sent may be small, and grow."""

_OK, _UNCHANGED, _MISSING = 200, 304, 404
_NEWEST = "refs/newest/followed"  # of those that were not there before
_LINE = 200  # characters of what went wrong

_Job = dict[str, object]


@dataclass(frozen=True, slots=True)
class Published(Remote):
    """The file at *source*; *url* is the path of the repository that we make of it."""

    source: str = ""
    branch: str = "main"
    signatures: FileSignatures | None = None  # None: none is asked for
    etags: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    @override
    def shown(self) -> str:
        return self.source

    @property
    @override
    def path(self) -> Path | None:
        return None  # it is not on this machine, whatever we keep of it

    @override
    def ask(
        self, *patterns: str, deadline: float = command.ASK_DEADLINE
    ) -> dict[str, str]:
        with command.locked(self._folder / "lock"):
            self._look(deadline)
        return Remote.ask(self, *patterns)

    # --- looking -----------------------------------------------------------------

    @property
    def _repository(self) -> Path:
        return Path(self.url)

    @property
    def _folder(self) -> Path:
        return self._repository.parent

    def _look(self, deadline: float) -> None:
        """Have what is there now be the head. Raises SourceError, StateError."""
        if not (self._repository / "HEAD").exists():
            options = ("--quiet", "--bare", "--template=")
            branch = f"--initial-branch={self.branch}"
            command.local(self._repository, "init", *options, branch)
            self.etags.clear()
        jobs = [self._job(FILE, self.source)]
        if self.signatures is not None:
            jobs.append(self._job(SIGNATURE, _beside(self.source)))
        answers = _in_a_process(jobs, deadline)
        for job, answer in zip(jobs, answers, strict=True):
            self._heed(job, answer)
        is_news = any(answer["status"] != _UNCHANGED for answer in answers)
        if is_news or self._name(self._head) is None:
            self._take()
        for job, answer in zip(jobs, answers, strict=True):
            self.etags[str(job["url"])] = answer["headers"].get("etag", job["etag"])

    def _job(self, name: str, url: str) -> _Job:
        tag = self.etags.pop(url, "") if (self._folder / name).exists() else ""
        new = str(self._folder / f"{name}.new")
        return {"url": url, "to": new, "limit": LIMITS[name], "etag": tag}

    def _heed(self, job: _Job, answer: Mapping[str, Any]) -> None:
        """Have what was got in our folder. Raises SourceError, StateError."""
        status, new = answer.get("status"), Path(str(job["to"]))
        name = new.name.removesuffix(".new")
        with command.state_errors(self._folder):
            if status == _OK:
                new.rename(self._folder / name)
            elif status == _MISSING and name == SIGNATURE:
                # Which is told as of a commit that has none.
                (self._folder / name).unlink(missing_ok=True)
            elif status != _UNCHANGED:
                _refuse(str(job["url"]), answer)

    def _take(self) -> None:
        """Have what is in our folder be the head, if it is another."""
        content = self._add(FILE)
        if content == self._name(f"{self._head}:{FILE}") and not self._mends():
            return
        parts = {FILE: content}
        if self.signatures is not None and (self._folder / SIGNATURE).exists():
            parts[SIGNATURE] = self._add(SIGNATURE)
        tree = self._tree(parts)
        newest = self._name(_NEWEST)
        if newest and tree == self._name(f"{newest}^{{tree}}"):
            made = newest
        elif self._is_replayed(content, newest):
            made = self._commit(tree, content)
            self._update(f"refs/replayed/{made}", made)
        else:
            made = self._commit(tree, content, self._name(self._head), newest)
            self._update(_NEWEST, made)
        self._update(self._head, made)

    def _mends(self) -> bool:
        """Return whether a signature vouches for the head, whose own one does not."""
        if self.signatures is None or self.signatures.flaw(self._folder):
            return False
        return bool(self.signatures.flaw_of(self._repository, self.branch))

    def _is_replayed(self, content: str, newest: str | None) -> bool:
        """
        Return whether that file was there before, well signed, and is not the *newest*.

        An old one is as good as ever: whoever may write the file, and cannot sign, can
        bring back what was there once. So it is told by its content: a signature can be
        written in several ways. To those above it is a branch that was rewritten; what
        comes next has in it whatever was there.
        """
        if self.signatures is None or content == self._name(f"{newest}:{FILE}"):
            return False
        told = command.local(self._repository, "log", "--all", "--format=%T %s").stdout
        lines = [line.partition(" ") for line in told.splitlines()]
        # Each pair of file and signature once, however often it was there.
        trees = {tree for tree, _, name in lines if name.endswith(_short(content))}
        return any(
            self._name(f"{tree}:{FILE}") == content
            and not self.signatures.flaw_of(self._repository, tree)
            for tree in trees
        )

    # --- git ---------------------------------------------------------------------

    @property
    def _head(self) -> str:
        return f"refs/heads/{self.branch}"

    def _commit(self, tree: str, content: str, *parents: str | None) -> str:
        place = urlsplit(self.source)
        host = place.hostname or "?"
        subject = f"{place.path.rpartition('/')[2]} of {host}: {_short(content)}"
        known = dict.fromkeys(one for one in parents if one)
        before = [word for one in known for word in ("-p", one)]
        return command.local(
            self._repository,
            *("commit-tree", tree, *before, "-m", on_one_line(subject)),
            env={"GIT_AUTHOR_NAME": host, "GIT_AUTHOR_EMAIL": f"reconciler@{host}"},
        ).stdout.strip()

    def _update(self, ref: str, commit: str) -> None:
        command.local(self._repository, "update-ref", ref, commit)

    def _tree(self, parts: Mapping[str, str]) -> str:
        entries = (f"100644,{content},{name}" for name, content in parts.items())
        words = [word for entry in entries for word in ("--cacheinfo", entry)]
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            env = {"GIT_INDEX_FILE": f"{scratch}/index"}
            command.local(self._repository, "update-index", "--add", *words, env=env)
            return command.local(self._repository, "write-tree", env=env).stdout.strip()

    def _add(self, name: str) -> str:
        argv = ("hash-object", "-w", "--no-filters", "--", str(self._folder / name))
        return command.local(self._repository, *argv).stdout.strip()

    def _name(self, revision: str) -> str | None:
        argv = ("rev-parse", "--verify", "--quiet", "--end-of-options", revision)
        done = command.local(self._repository, *argv, check=False)
        return done.stdout.split()[-1] if done.status == 0 else None


def _short(content: str) -> str:
    """Return how a content is called, for people."""
    return content[:12]


def _beside(url: str) -> str:
    """Return where the signature of what is at *url* is."""
    place = urlsplit(url)
    return place._replace(path=f"{place.path}.sig").geturl()


def _refuse(url: str, answer: Mapping[str, Any]) -> None:
    status, headers = answer.get("status"), answer.get("headers", {})
    why = answer.get("error") or f"the answer is {status}"
    message = f"{url} cannot be read: {on_one_line(why)[:_LINE]}"
    raise SourceError(message, retry_after=retry_after.asked(str(status), headers))


def _in_a_process(jobs: Sequence[_Job], deadline: float) -> list[dict[str, Any]]:
    """Run `get` with *jobs*; return what it printed. Raises SourceError."""
    url = jobs[0]["url"]
    try:
        file = Path(__file__).with_name("get.py")
        answers: list[dict[str, Any]] = process.run_script(
            file, jobs, deadline=deadline, memory=_MEMORY
        )
    except CommandTimeoutError as error:
        message = f"{url} was not read within {deadline:.0f} s"
        raise SourceError(message) from error
    except CommandError as error:
        message = f"{url} cannot be read: {command.said(error)}"
        raise SourceError(message) from error
    return answers


def remote_of(
    settings: RepositorySettings, state: Path, known_hosts: Path | None
) -> Remote:
    """Return what *settings* name; what a file was is kept below *state*."""
    if not settings.is_file:
        return Remote(settings.url, known_hosts)
    verify = settings.verify
    return Published(
        str(state / "published/repository.git"),
        source=settings.url,
        branch=settings.branch,
        signatures=FileSignatures(verify, state) if verify.asked else None,
    )
