"""Signatures beside a file, as ``ssh-keygen -Y sign`` makes them."""

import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from reconciler import process
from reconciler.errors import CommandMissingError, quote
from reconciler.model import CommitId
from reconciler.settings import VerifySettings
from reconciler.source import command
from reconciler.source.signatures import Flaw, UnusableError

FILE = "paths.json"
SIGNATURE = "paths.json.sig"

NAMESPACE = "reconciler"
"""What it must be signed for: who signs commits or mails has not signed this."""

_DEADLINE = 60.0
_KEYGEN = "ssh-keygen"


@dataclass(frozen=True, slots=True)
class FileSignatures:
    """Whose signatures count."""

    settings: VerifySettings
    state: Path

    def check(self) -> None:
        """Raise UnusableError where nothing could be verified."""
        if shutil.which(_KEYGEN) is None:
            raise UnusableError(str(CommandMissingError(_KEYGEN)))
        for file in self._files():
            try:
                file.read_bytes()
            except OSError as error:
                message = f"{file} cannot be read: {error.strerror}"
                raise UnusableError(message) from error

    def first_flaw(self, git_dir: Path, commits: Iterable[CommitId]) -> Flaw | None:
        """Return the first of *commits* whose file nobody vouches for."""
        for commit in commits:
            if why := self.flaw_of(git_dir, commit):
                return Flaw(commit, why)
        return None

    def flaw_of(self, git_dir: Path, commit: str) -> str:
        """
        Return why the signature in a commit or tree does not count; empty if it does.

        Raises UnusableError, CommandError, StateError.
        """
        with tempfile.TemporaryDirectory(dir=self.state) as folder:
            packed = Path(folder, "tar")
            argv = ("archive", "--format=tar", f"--output={packed}", commit)
            command.local(git_dir, *argv)
            with command.state_errors(self.state), tarfile.open(packed) as tar:
                tar.extractall(folder, filter="data")
            return self.flaw(Path(folder))

    def flaw(self, folder: Path) -> str:
        """Return the same of the file in *folder*."""
        self.check()
        if not (folder / SIGNATURE).exists():
            return f"it has no signature: there is no {SIGNATURE}"
        said = self._ask(folder, "find-principals")
        if said.status != 0:
            return _words(said) or "no allowed signer has signed it"
        why = ""
        for principal in said.stdout.splitlines():
            done = self._ask(folder, "verify", f"-I{principal}", f"-n{NAMESPACE}")
            if done.status == 0:
                return ""
            why = _words(done)
        return why or "its signature does not verify"

    def _ask(self, folder: Path, verb: str, *words: str) -> process.Completed:
        allowed, *revoked = self._files()
        argv = [_KEYGEN, "-Y", verb, "-f", str(allowed), "-s", str(folder / SIGNATURE)]
        if verb == "verify":
            words = (*words, *(f"-r{file}" for file in revoked))
        return process.run(
            [*argv, *words],
            stdin=(folder / FILE).read_bytes(),
            deadline=_DEADLINE,
            check=False,
        )

    def _files(self) -> list[Path]:
        files = (self.settings.allowed_signers, self.settings.revoked)
        return [file for file in files if file is not None]


def _words(done: process.Completed) -> str:
    said = "; ".join(line.strip() for line in (done.stderr or done.stdout).splitlines())
    return quote(said, 300)
