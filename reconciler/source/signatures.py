"""
Signatures of commits, verified by git with keys that the settings name and no others.

Git knows three kinds of signature and asks gpg, gpgsm and ssh-keygen. Each time they
get a keyring of their own, made of copies of the files named: what the user of this
program trusts counts for nothing, and a file that vanishes meanwhile cannot be taken
for one that forbids nothing, as git does.
"""

import contextlib
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler import process
from reconciler.errors import CommandMissingError, ReconcilerError, quote
from reconciler.model import CommitId
from reconciler.settings import VerifySettings
from reconciler.source import command

AT_ONCE = 50
"""Commits that one git verifies."""

TOOL_DEADLINE = 60.0
"""Seconds for gpg to read keys."""

SSH_SINCE = (2, 35)
"""The git that judges by the date of a commit whether an SSH key was valid."""

# Git tells ssh-keygen to judge by the date of the commit, which whoever has an old key
# may choose. Without that word it judges by now.
_BY_NOW = """\
#!/bin/sh
for one; do
  shift
  case $one in -Overify-time=*) ;; *) set -- "$@" "$one" ;; esac
done
exec ssh-keygen "$@"
"""
# No agent, no key server, no web of trust: the keys that are there count.
_GPG_CONF = """\
batch
no-autostart
no-auto-key-retrieve
"""
_KEYRING = "keyring-"
_LEFT_BEHIND = 3600.0  # seconds after which one is that of a process that was killed
_IMPORTED = "[GNUPG:] IMPORT_OK "
_NEVER = "/nonexistent"  # a program that cannot vouch for anything
_VERSION = re.compile(r"(\d+)\.(\d+)")


class UnusableError(ReconcilerError):
    """Nothing can be verified: a program is missing, or a file of keys."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """A commit whose signature does not count."""

    commit: CommitId
    why: str


@dataclass(frozen=True, slots=True)
class Signatures:
    """Whose signatures count."""

    settings: VerifySettings
    scratch: Path  # a folder of ours for keyrings

    def check(self) -> None:
        """Raise UnusableError where nothing could be verified."""
        with self._options():
            pass

    def first_flaw(self, git_dir: Path, commits: Sequence[CommitId]) -> Flaw | None:
        """
        Return the first of *commits* whose signature does not count; None if all do.

        Raises UnusableError, CommandError, StateError.
        """
        with self._options() as ways:
            for start in range(0, len(commits), AT_ONCE):
                some = commits[start : start + AT_ONCE]
                if all(_are_good(git_dir, way, some) for way in ways):
                    continue
                for commit in some:
                    if why := _flaw(git_dir, ways, commit):
                        return Flaw(commit, why)
        return None

    def flaw_of_tag(self, git_dir: Path, tag: str) -> str:
        """
        Return why the signature of an annotated *tag* does not count, by its object id.

        Empty if it does. Raises UnusableError, CommandError, StateError.
        """
        with self._options() as ways:
            return _flaw(git_dir, ways, tag, verb="verify-tag")

    @contextlib.contextmanager
    def _options(self) -> Iterator[list["_Way"]]:
        """Give the ways in which each commit must pass; they end with the keyrings."""
        with command.state_errors(self.scratch):
            self.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sweep(self.scratch)
            folder = tempfile.TemporaryDirectory(prefix=_KEYRING, dir=self.scratch)
        with folder as name:
            with command.state_errors(self.scratch):
                ways = self._ways(Path(name))
            yield ways

    def _ways(self, folder: Path) -> list["_Way"]:
        options = {
            "gpg.x509.program": _NEVER,
            "gpg.program": _NEVER,
            "gpg.ssh.program": _NEVER,
            "gpg.minTrustLevel": "undefined",
        }
        if self.settings.openpgp:
            self._make_keyring(folder)
            options["gpg.program"] = "gpg"
        if self.settings.allowed_signers is None:
            return [_Way(folder, options)]
        options |= self._for_ssh(self.settings.allowed_signers, folder)
        by_now = folder / "ssh-keygen-by-now"
        by_now.write_text(_BY_NOW, encoding="ascii")
        by_now.chmod(0o700)
        return [
            _Way(folder, {**options, "gpg.ssh.program": program})
            for program in ("ssh-keygen", str(by_now))
        ]

    def _make_keyring(self, folder: Path) -> None:
        _require_program("gpg")
        (folder / "gpg.conf").write_text(_GPG_CONF, encoding="ascii")
        for file in self.settings.openpgp:
            copy = _copied(file, folder / "keys")
            argv = ["gpg", "--status-fd=1", "--import", str(copy)]
            env = _environment(folder)
            done = process.run(argv, deadline=TOOL_DEADLINE, env=env, check=False)
            # Its status says also that it found no agent, which it does not need.
            if _IMPORTED not in done.stdout:
                said = "; ".join(filter(None, map(str.strip, done.stderr.splitlines())))
                message = f"{file} holds no OpenPGP key: {quote(said, 500)}"
                raise UnusableError(message)

    def _for_ssh(self, allowed: Path, folder: Path) -> dict[str, str]:
        _require_program("ssh-keygen")
        _require_git()
        found = {"gpg.ssh.allowedSignersFile": _copied(allowed, folder / "allowed")}
        if (revoked := self.settings.revoked) is not None:
            found["gpg.ssh.revocationFile"] = _copied(revoked, folder / "revoked")
        return {name: str(file) for name, file in found.items()}


@dataclass(frozen=True, slots=True)
class _Way:
    """With which programs and keys git verifies."""

    home: Path  # of gpg
    options: dict[str, str]

    def verify(
        self, git_dir: Path, *names: str, verb: str = "verify-commit"
    ) -> process.Completed:
        """Have git verify commits, or tags; its status is 0 if all are well signed."""
        chosen = [x for pair in self.options.items() for x in ("-c", "=".join(pair))]
        argv = [*chosen, verb, *names]
        env = _environment(self.home)
        return command.local(git_dir, *argv, env=env, check=False)


def _sweep(scratch: Path) -> None:
    """Remove the keyrings of processes that were killed."""
    for left in scratch.glob(f"{_KEYRING}*"):
        with contextlib.suppress(FileNotFoundError):  # it was in use, and is over
            if left.stat().st_mtime < time.time() - _LEFT_BEHIND:  # noqa: TID251 -- that of files
                command.discard(left)


def _environment(home: Path) -> dict[str, str]:
    # A commit is what its name says, whatever a repository would put in its place.
    return {"GNUPGHOME": str(home), "GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C"}


def _are_good(git_dir: Path, way: _Way, commits: Sequence[CommitId]) -> bool:
    return way.verify(git_dir, *commits).status == 0


def _flaw(
    git_dir: Path, ways: Sequence[_Way], name: str, *, verb: str = "verify-commit"
) -> str:
    """Return why a commit, or a tag, does not count; empty if it does."""
    for way in ways:
        done = way.verify(git_dir, name, verb=verb)
        if done.status != 0:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            return "; ".join(lines) or "it has no signature"
    return ""


def _copied(file: Path, to: Path) -> Path:
    """Copy a file of keys. Raises UnusableError naming it."""
    try:
        shutil.copyfile(file, to)
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}"
        raise UnusableError(message) from error
    return to


def _require_program(name: str) -> None:
    if shutil.which(name) is None:
        raise UnusableError(str(CommandMissingError(name)))


def _require_git() -> None:
    argv = ["version"]
    said = command.git(argv, deadline=command.ASK_DEADLINE, env=command.STABLE).stdout
    found = _VERSION.search(said)
    if found is None or (int(found[1]), int(found[2])) < SSH_SINCE:
        needed = ".".join(map(str, SSH_SINCE))
        message = f"SSH signatures need git {needed} or newer; this is {said.strip()!r}"
        raise UnusableError(message)
