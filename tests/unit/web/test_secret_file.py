"""Files of secrets that are none."""

import os
from pathlib import Path

import pytest

from reconciler.errors import SettingsError
from reconciler.web.secret_file import SecretFiles

pytestmark = pytest.mark.timeout(20)


def test_a_pipe_is_no_secret(tmp_path: Path) -> None:
    """To open one waits for whoever writes to it; at each request, for all of HTTP."""
    os.mkfifo(tmp_path / "secret")

    with pytest.raises(SettingsError, match="cannot be read: is no file"):
        SecretFiles("http.tokens", [tmp_path / "secret"])


def test_a_secret_that_becomes_a_pipe(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("a secret of some length\n")
    secrets = SecretFiles("http.tokens", [file])
    assert secrets.current() == [b"a secret of some length"]

    file.unlink()
    os.mkfifo(file)

    assert secrets.current() == []
