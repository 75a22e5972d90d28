"""Secrets in files: read at the start, and again when a file has changed."""

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from reconciler.errors import SettingsError
from reconciler.settings.named_files import read_file

log = structlog.get_logger(__name__)

SIZE_LIMIT = 4096
"""Bytes of the largest secret."""

Stamp = tuple[int, int, int]


def accept_any(_secret: bytes) -> str:
    """Find nothing wrong with a secret beyond what is checked of all."""
    return ""


class SecretFiles:
    """
    The secrets in some files, one in each; any thread may ask.

    An empty file, or one that cannot be read, is an error at the start. Later it is
    logged, and its secret no longer counts: whoever empties a file means that.
    """

    def __init__(
        self,
        setting: str,
        paths: Sequence[Path],
        check: Callable[[bytes], str] = accept_any,
    ) -> None:
        """
        Read the files that *setting* names.

        *check* says what is wrong with a secret, quoting nothing of it. Raises
        SettingsError that begins with *setting*.
        """
        self._files = [_File(setting, path, check) for path in paths]

    def current(self) -> list[bytes]:
        """Return the secrets as the files have them now."""
        return [secret for file in self._files if (secret := file.current())]


class _File:
    def __init__(self, setting: str, path: Path, check: Callable[[bytes], str]) -> None:
        self._setting = setting
        self._path = path
        self._check = check
        self._lock = threading.Lock()
        # Before reading: what is written meanwhile is then seen the next time.
        self._stamp = _stamp(path)
        self._secret = self._read()
        self._warn_of_mode()

    def current(self) -> bytes:
        """Return the secret; empty while there is none."""
        with self._lock:
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                self._stamp = stamp
                self._secret = self._read_again()
            return self._secret

    def _read_again(self) -> bytes:
        try:
            secret = self._read()
        except SettingsError as error:
            log.error("secret is gone; nobody is believed with it", reason=str(error))  # noqa: TRY400 -- no bug of ours
            return b""
        log.info("secret was read again", setting=self._setting, file=str(self._path))
        return secret

    def _read(self) -> bytes:
        content, problem = b"", ""
        try:
            content = read_file(self._path, SIZE_LIMIT + 1)
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        secret = content.rstrip(b"\r\n")
        if problem := problem or self._problem(secret):
            message = f"{self._setting}: {self._path} {problem}"
            raise SettingsError(message)
        return secret

    def _problem(self, secret: bytes) -> str:
        """Say what is wrong with *secret*, without quoting any of it."""
        if not secret.strip():
            return "is empty"
        if len(secret) > SIZE_LIMIT:
            return f"is larger than {SIZE_LIMIT} bytes"
        if b"\n" in secret or b"\0" in secret:
            return "has more than one line; write one secret into each file"
        return self._check(secret)

    def _warn_of_mode(self) -> None:
        with contextlib.suppress(OSError):
            if not self._path.stat().st_mode & stat.S_IROTH:
                return
            log.warning(
                "everybody on this machine can read a secret: chmod o-r",
                setting=self._setting,
                file=str(self._path),
            )


def _stamp(path: Path) -> Stamp | None:
    """Return what changes whenever the file does."""
    try:
        status = os.stat(path)  # noqa: PTH116 -- at each request
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
