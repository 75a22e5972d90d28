"""Repositories over a real sshd and over HTTP: keys, logins, and what stands still."""

import http.server
import os
import pty
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner
from typing_extensions import override

from reconciler.cli import app
from reconciler.errors import SourceError
from reconciler.settings import RepositorySettings
from reconciler.source import Mirror, network
from tests.support.repository import Repository, contents, make_repository
from tests.support.sshd import Sshd, running
from tests.support.wait import patience

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running(tmp_path_factory.mktemp("sshd")) as sshd:
        yield sshd


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path)


@pytest.fixture(autouse=True)
def ssh(sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Have git use an ssh that knows our identity and no host at all."""
    config = tmp_path / "ssh_config"
    config.write_text(
        f"Host forge\nHostName {sshd.address}\nPort {sshd.port}\n"
        f"Host *\nIdentityFile {sshd.identity}\nUserKnownHostsFile /dev/null\n"
    )
    monkeypatch.setenv("GIT_SSH_COMMAND", f"ssh -F {shlex.quote(str(config))}")
    network._ssh_command.cache_clear()  # noqa: SLF001 -- it is asked once in a life
    yield
    network._ssh_command.cache_clear()  # noqa: SLF001


def url_of(sshd: Sshd, repository: Repository) -> str:
    return f"ssh://{sshd.target.user}@{sshd.address}:{sshd.port}{repository.path}"


def mirror_at(url: str, state: Path, known_hosts: Path | None) -> Mirror:
    return Mirror(RepositorySettings(url=url), state=state, known_hosts=known_hosts)


# --- keys ------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["state", "a folder"])
def test_our_own_known_hosts_count_for_git_too(
    sshd: Sshd, repository: Repository, tmp_path: Path, folder: str
) -> None:
    known_hosts = tmp_path / folder / "known_hosts"
    known_hosts.parent.mkdir()
    known_hosts.write_text(sshd.known_hosts.read_text())
    mirror = mirror_at(url_of(sshd, repository), tmp_path / "state", known_hosts)

    assert contents(mirror.checkout(mirror.fetch())) == {"f": "1\n"}


def test_a_forge_whose_key_nobody_knows_is_told_with_what_to_do(
    sshd: Sshd, repository: Repository, tmp_path: Path
) -> None:
    url = url_of(sshd, repository)
    settings = tmp_path / "reconciler.yaml"
    settings.write_text(f"repository:\n  url: {url}\nstate: {tmp_path / 'state'}\n")
    known_hosts = tmp_path / "state/known_hosts"
    mirror = mirror_at(url, tmp_path / "state", known_hosts)
    with pytest.raises(SourceError, match=r"record it: reconciler trust --forge 127"):
        mirror.fetch()

    done = RUNNER.invoke(app, ["-c", str(settings), "trust", "--forge"])

    assert done.exit_code == 0, done.output
    assert "127.0.0.1 ssh-ed25519 SHA256:" in done.output
    assert mirror.fetch().subject == "first"


@pytest.mark.parametrize(
    ("answer", "words", "recorded"),
    [("n", [], False), ("y", [], True), ("", ["--yes"], True)],
)
def test_a_person_at_a_terminal_is_asked_first(
    sshd: Sshd,
    repository: Repository,
    tmp_path: Path,
    answer: str,
    words: list[str],
    *,
    recorded: bool,
) -> None:
    settings, state = tmp_path / "reconciler.yaml", tmp_path / "state"
    url = url_of(sshd, repository)
    settings.write_text(f"repository:\n  url: {url}\nstate: {state}\n")
    command = [sys.executable, "-m", "reconciler", "-c", str(settings)]
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            [*command, "trust", "--forge", *words],
            stdin=theirs,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(ours)
        os.close(theirs)

    assert "127.0.0.1 ssh-ed25519 SHA256:" in done.stdout
    assert ("Are these the keys" in done.stderr) == (not words)
    assert done.returncode == (0 if recorded else 1), done.stderr
    assert (state / "known_hosts").exists() == recorded


def test_a_forge_by_its_name_in_ssh_config(
    sshd: Sshd, repository: Repository, tmp_path: Path
) -> None:
    settings = tmp_path / "reconciler.yaml"
    state = tmp_path / "state"
    settings.write_text(f"repository:\n  url: https://x/y\nstate: {state}\n")

    done = RUNNER.invoke(app, ["-c", str(settings), "trust", "--forge", "forge"])

    assert done.exit_code == 0, done.output
    url = f"{sshd.target.user}@forge:{repository.path}"
    assert mirror_at(url, state, state / "known_hosts").fetch().subject == "first"


@pytest.mark.parametrize("host", ["", "-oProxyCommand=x"])
def test_what_is_no_forge_over_ssh_is_refused(tmp_path: Path, host: str) -> None:
    settings = tmp_path / "reconciler.yaml"
    settings.write_text(f"repository:\n  url: /x\nstate: {tmp_path / 'state'}\n")

    argv = ["-c", str(settings), "trust", "--forge", *(["--", host] if host else [])]
    done = RUNNER.invoke(app, argv)

    assert done.exit_code == 2, done.output


# --- what stands still -----------------------------------------------------------

STALLING = """#!/bin/sh
export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
export GIT_CONFIG_KEY_1=uploadpack.packObjectsHook GIT_CONFIG_VALUE_1={hook}
exec sh -c "$SSH_ORIGINAL_COMMAND"
"""


def serve_with(sshd: Sshd, hook: Path, body: str) -> None:
    """Have the sshd's git run *body* in place of what makes packs."""
    hook.write_text(f"#!/bin/sh\n{body}\n")
    hook.chmod(0o755)
    server = hook.with_name("serve")
    server.write_text(STALLING.format(hook=shlex.quote(str(hook))))
    server.chmod(0o755)
    key = (sshd.directory / "identity.pub").read_text()
    (sshd.directory / "authorized_keys").write_text(f'command="{server}" {key}')


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "SILENCE", 2.0)


@pytest.mark.usefixtures("quick")
def test_a_fetch_that_stands_still_is_given_up(
    sshd: Sshd, repository: Repository, tmp_path: Path
) -> None:
    serve_with(sshd, tmp_path / "hook", "exec sleep 1000")
    mirror = mirror_at(url_of(sshd, repository), tmp_path / "state", sshd.known_hosts)

    with pytest.raises(SourceError, match=r"git made no progress for 2 s"):
        mirror.fetch()


@pytest.mark.usefixtures("quick")
def test_a_fetch_that_gets_on_slowly_is_not(
    sshd: Sshd, repository: Repository, tmp_path: Path
) -> None:
    slowly = 'for n in 1 2 3 4 5 6; do echo "step: $n" >&2; sleep 0.7; done; exec "$@"'
    serve_with(sshd, tmp_path / "hook", slowly)
    mirror = mirror_at(url_of(sshd, repository), tmp_path / "state", sshd.known_hosts)

    assert mirror.fetch().subject == "first"


def test_whether_the_network_leads_to_the_repository(
    sshd: Sshd, repository: Repository, tmp_path: Path
) -> None:
    """What is on this machine says nothing of that."""

    def unanswered(url: str, *fallbacks: str) -> str:
        settings = RepositorySettings(url=url, fallbacks=fallbacks)
        mirror = Mirror(settings, state=tmp_path, known_hosts=sshd.known_hosts)
        return mirror.unanswered(patience(10))

    here, nobody = url_of(sshd, repository), "http://127.0.0.1:1/a.git"
    assert unanswered(here) == ""
    assert unanswered(str(tmp_path)) == ""
    assert nobody in unanswered(nobody, str(tmp_path))
    assert unanswered(nobody, here) == ""
    assert unanswered(str(tmp_path), nobody) == ""


# --- logins ----------------------------------------------------------------------

HELPER = """#!/bin/sh
echo "{name} $1" >>{asked}
sed 's/^/  /' >>{asked}
[ "$1" != get ] || printf 'username=ann\\npassword=secret\\n'
"""


class Guarded(http.server.SimpleHTTPRequestHandler):
    """Serves a folder to whoever brings a login, while that counts."""

    folder = Path()
    refusing = False

    def __init__(self, *args: object, **_: object) -> None:
        super().__init__(*args, directory=str(self.folder))  # type: ignore[arg-type]

    @override
    def do_GET(self) -> None:
        """Answer with a file, or ask for a login."""
        if "Authorization" in self.headers and not self.refusing:
            super().do_GET()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    @override
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def web(repository: Repository) -> Iterator[str]:
    """Serve the repository over HTTP; give its URL."""
    git_dir = repository.path / ".git"
    subprocess.run(["git", "update-server-info"], cwd=git_dir, check=True)
    Guarded.folder, Guarded.refusing = repository.path, False
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/.git"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("section", ["credential", 'credential "{url}"'])
def test_a_refused_login_stays_with_the_helper_that_has_it(
    web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str
) -> None:
    """One refusal that passes would cost it: git has helpers erase what was refused."""
    asked, helper, config = (tmp_path / name for name in ("asked", "helper", "config"))
    helper.write_text(HELPER.format(name="helper", asked=shlex.quote(str(asked))))
    helper.chmod(0o755)
    config.write_text(f"[{section.format(url=web)}]\nhelper = {helper}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    mirror = mirror_at(web, tmp_path / "state", None)

    assert mirror.fetch().subject == "first"
    Guarded.refusing = True
    with pytest.raises(SourceError, match="Authentication failed"):
        mirror.fetch()
    Guarded.refusing = False
    assert mirror.fetch().subject == "first"

    verbs = [x for x in asked.read_text().splitlines() if x.startswith("helper")]
    assert set(verbs) == {"helper get", "helper store"}
