"""The way out of the cage of an evaluation: real curl, git, ssh and bubblewrap."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from reconciler import process
from reconciler.desired.cage import NixCage
from reconciler.errors import CommandError, FetchRefusedError
from reconciler.settings import (
    HttpSettings,
    NixSettings,
    RepositorySettings,
    Settings,
)
from tests.support import sshd
from tests.support.forge import Forge, forge
from tests.support.rig import git
from tests.support.wait import wait_until

pytestmark = [
    pytest.mark.nix,
    pytest.mark.skipif(not shutil.which("bwrap"), reason="there is no bubblewrap"),
]

Ask = Callable[..., str]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bare repository with one commit."""
    folder = tmp_path_factory.mktemp("forge")
    git("init", "-q", "-b", "main", str(folder / "work"))
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    git("-C", str(folder / "work"), *who, "commit", "-q", "--allow-empty", "-m", "x")
    git("clone", "-q", "--bare", str(folder / "work"), str(folder / "bare.git"))
    return folder / "bare.git"


def cage(
    folder: Path,
    *,
    allowed: str | None = None,
    listen: str = "127.0.0.1:9876",
) -> NixCage:
    """Return the cage of evaluations of what was merged."""
    settings = Settings(
        repository=RepositorySettings(url="/srv/x.git"),
        nix=NixSettings.model_validate({"allowed_uris": allowed}),
        http=HttpSettings(listen=listen),
        state=folder / "state",
    )
    return NixCage(settings, trusted=True)


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Return what runs a command where evaluations fetch, and gives its output."""
    home, checkout = tmp_path / "home", tmp_path / "checkout"
    (home / ".ssh").mkdir(parents=True)
    checkout.mkdir()
    monkeypatch.setenv("HOME", str(home))

    def run(*argv: str, **how: str) -> str:
        caged = cage(tmp_path, **how)
        with caged.around(argv, checkout, fetches=True, pure=True) as (words, _):
            return process.run(words, deadline=60, told_as=argv).stdout

    return run


def ls_remote(url: str) -> tuple[str, ...]:
    return ("git", "ls-remote", url)


@pytest.fixture(scope="module")
def served(bare: Path) -> Iterator[Forge]:
    with forge(bare) as one:
        yield one


def test_git_gets_to_where_it_may(ask: Ask, served: Forge) -> None:
    assert "refs/heads/main" in ask(*ls_remote(served.url), allowed=served.url)


def test_git_gets_to_nowhere_else(ask: Ask, served: Forge) -> None:
    before = len(served.asked)
    port = served.url.rpartition(":")[2].strip("/")

    with pytest.raises(FetchRefusedError, match="an address of this machine"):
        ask(*ls_remote(served.url))
    with pytest.raises(FetchRefusedError, match=rf"allowed_uris.*:{port}"):
        ask(*ls_remote(served.url), allowed="github:")

    assert len(served.asked) == before


def test_git_gets_to_where_it_may_over_ssh(
    ask: Ask, bare: Path, tmp_path: Path
) -> None:
    with sshd.running(tmp_path / "sshd") as server:
        of_home = Path(os.environ["HOME"], ".ssh")
        shutil.copy(server.identity, of_home)
        shutil.copy(server.known_hosts, of_home)
        place = f"ssh://{server.target.user}@127.0.0.1:{server.port}"
        # ssh itself looks for these where /etc/passwd says.
        known = f"-o UserKnownHostsFile={of_home}/known_hosts"
        ssh = f"core.sshCommand=ssh -i {of_home}/identity {known}"
        argv = ("git", "-c", ssh, *ls_remote(f"{place}{bare}")[1:])

        said = ask(*argv, allowed=place)
        with pytest.raises(FetchRefusedError, match="an address of this machine"):
            ask(*argv)

    assert "refs/heads/main" in said


def test_git_gets_to_where_it_may_by_its_own_protocol(ask: Ask, bare: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}"]
    argv = ["git", "daemon", *words, f"--base-path={bare.parent}"]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL, process_group=0) as daemon:
        try:
            wait_until(lambda: _answers(port), 20, "git's daemon")
            place = f"git://127.0.0.1:{port}"

            assert "refs/heads/main" in ask(
                *ls_remote(f"{place}/{bare.name}"), allowed=place
            )
        finally:
            os.killpg(daemon.pid, 15)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


# --- who is sent elsewhere, or goes by himself -----------------------------------


class _Page(BaseHTTPRequestHandler):
    asked: list[str]
    places: Mapping[str, str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(302 if self.path in self.places else 200)
        if self.path in self.places:
            self.send_header("Location", self.places[self.path])
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"hi")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""


@pytest.fixture(scope="module")
def page() -> Iterator[tuple[str, list[str]]]:
    """Serve a page; give where, and what it was asked for."""
    asked: list[str] = []
    places = {"/cloud": "http://169.254.169.254/latest", "/here": "/there"}
    handler = type("Page", (_Page,), {"asked": asked, "places": places})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


CURL = ("curl", "-sSLf", "-m", "20")


def test_redirects_lead_to_where_it_may(ask: Ask, page: tuple[str, list[str]]) -> None:
    url, _ = page

    assert ask(*CURL, f"{url}/here", allowed=url) == "hi"
    with pytest.raises(FetchRefusedError, match=r"to 169\.254.*hand out credentials"):
        ask(*CURL, f"{url}/cloud", allowed=url)


def test_our_own_port_is_refused_though_it_is_listed(
    ask: Ask, page: tuple[str, list[str]]
) -> None:
    url, asked = page
    before = len(asked)

    with pytest.raises(FetchRefusedError, match="the reconciler itself listens there"):
        ask(*CURL, url, allowed=url, listen=url.removeprefix("http://"))

    assert len(asked) == before


def test_there_is_no_other_way_out(ask: Ask, page: tuple[str, list[str]]) -> None:
    url, asked = page
    before = len(asked)

    with pytest.raises(CommandError) as caught:
        ask("env", "-u", "all_proxy", *CURL, url, allowed=url)

    assert not isinstance(caught.value, FetchRefusedError)
    assert len(asked) == before


def test_a_host_that_does_not_answer_is_told(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    with pytest.raises(CommandError) as caught:
        ask(*CURL, url, allowed=url)

    assert "cannot connect to 127.0.0.1, port " in caught.value.stderr
    assert "Connection refused" in caught.value.stderr


def test_nothing_goes_on_when_it_has_ended(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        ThreadPoolExecutor(1) as pool,
    ):
        silent.settimeout(60)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        caged = cage(tmp_path, allowed=url)
        with caged.around(("curl", url), tmp_path, fetches=True) as (words, _):
            curl = pool.submit(process.run, words, deadline=60, check=False)
            connection, _ = silent.accept()
        with connection:
            connection.settimeout(60)
            while connection.recv(1 << 16):
                pass
        assert curl.result(60).status != 0
