"""What evaluations get at of this machine, with real Nix, git and bubblewrap."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from reconciler import process
from reconciler.cli.check import caging
from reconciler.desired import Evaluator, cage, nix_conf
from reconciler.errors import CageError, CommandError, EvaluationError, FetchError
from reconciler.model import HostName
from reconciler.process import Box, box_problem
from reconciler.process import box as boxes
from reconciler.settings import Cage, OverlaySettings, Settings
from tests.adapters.desired_nix import PLAIN, host, settings
from tests.support.wait import wait_until

pytestmark = [
    pytest.mark.nix,
    pytest.mark.skipif(not shutil.which("bwrap"), reason="there is no bubblewrap"),
]

KEANU = HostName("keanu")
SECRET = "of-nobody-else"  # noqa: S105


class Machine:
    """A folder with a checkout in it, and with what no evaluation is to see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "ssh/id_ed25519"
        self.key.parent.mkdir()
        self.key.write_text(SECRET)
        self.state = folder / "state"
        self.checkout = self.state / "checkouts/abc/source"
        self.checkout.mkdir(parents=True)
        (self.state / "history.sqlite").write_text(SECRET)
        git = ("git", "-C", str(self.key.parent), "-c", "user.name=x")
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
            argv = [*git, "-c", "user.email=x@example.org", *words]
            subprocess.run(argv, check=True, timeout=20)

    def settings(self, **nix: object) -> Settings:
        """Return settings with fields of the section ``nix``."""
        base, overlay = settings(**nix), self.folder / "overlay"
        repository = base.repository.model_copy(
            update={"secrets": {"secrets": OverlaySettings(path=overlay)}}
        )
        return Settings(repository=repository, nix=base.nix, state=self.state)

    def evaluator(self, *, trusted: bool = True, **nix: object) -> Evaluator:
        """Return what evaluates the checkout."""
        return Evaluator(self.settings(**nix), trusted=trusted)

    def try_to(self, attack: str, **how: object) -> str:
        """Evaluate a host that needs *attack*; return what is said of its failure."""
        host(
            self.checkout, "keanu", f"{{ ... }}: builtins.seq ({attack}) {{ {PLAIN} }}"
        )
        with pytest.raises(EvaluationError) as caught:
            self.evaluator(**how).evaluate(self.checkout, KEANU)  # type: ignore[arg-type]
        assert caught.value.host == KEANU
        assert SECRET not in str(caught.value)
        return str(caught.value)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(tmp_path_factory.mktemp("machine"))


@pytest.mark.parametrize(
    "attack",
    [
        "builtins.readFile {key}",
        "builtins.hashFile ''sha256'' {key}",
        "import {key}",
        "builtins.path {{ path = {key}; }}",
        "builtins.filterSource (_: _: true) {folder}/ssh",
        "builtins.readDir {folder}/ssh",
        '"${{{key}}}"',
        'builtins.fetchurl "file://{key}"',
        'builtins.fetchTarball "file://{folder}/ssh"',
        'builtins.fetchGit {{ url = "file://{folder}/ssh"; ref = "master"; }}',
        'builtins.fetchGit {{ url = "{folder}/ssh"; ref = "master"; }}',
        "builtins.readFile {state}/history.sqlite",
        "builtins.readFile ./link",
        "builtins.readFile /etc/shadow",
        "builtins.readFile /proc/{pid}/environ",
        "builtins.readFile /proc/{pid}/mem",
        "builtins.readFile /proc/{pid}/root{key}",
    ],
)
def test_what_it_may_not_read_is_told(machine: Machine, attack: str) -> None:
    link = machine.checkout / "hosts/keanu/link"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(machine.key)
    names = {name: getattr(machine, name) for name in ("folder", "state", "key")}

    said = machine.try_to(attack.format(**names, pid=os.getpid()))

    assert "the evaluation may not read /" in said
    assert "nix.cage" in said


def test_the_next_commit_is_served(machine: Machine) -> None:
    machine.try_to(f"builtins.readFile {machine.key}")
    host(machine.checkout, "keanu", f"{{ ... }}: {{ {PLAIN} }}")

    desired = machine.evaluator().evaluate(machine.checkout, KEANU)

    assert Path(desired.derivation).is_file()


@pytest.mark.parametrize(
    "attack",
    [
        'builtins.exec [ "cat" "{key}" ]',
        'builtins.fetchGit {{ url = "ext::cat {key}"; ref = "master"; }}',
        'builtins.fetchGit {{ url = "--upload-pack=cat {key}"; ref = "master"; }}',
    ],
)
def test_what_runs_nothing(machine: Machine, attack: str) -> None:
    assert machine.try_to(attack.format(key=machine.key))


IMPORTED = """builtins.readFile (derivation {{
  name = "stolen"; system = builtins.currentSystem; builder = "/bin/sh";
  args = [ "-c" "read -r x <{key} && echo $x >$out" ]; time = builtins.currentTime;
}})"""


def test_a_builder_is_in_the_sandbox_of_nix(machine: Machine) -> None:
    shell = {
        "sandbox-paths": "/bin /usr /lib /lib64"
    }  # what Nix was built with may lack
    options = {"build-users-group": "", "sandbox": "true", "substitute": "false"}
    attack = IMPORTED.format(key=machine.key)

    assert "stolen" in machine.try_to(attack, options={**options, **shell})


def test_without_a_sandbox_a_proposal_builds_nothing(machine: Machine) -> None:
    attack = IMPORTED.format(key=machine.key)

    said = machine.try_to(attack, trusted=False)

    assert "allow-import-from-derivation" in said


def test_secrets_that_are_laid_over_are_seen_once_merged(machine: Machine) -> None:
    overlay = machine.folder / "overlay"
    overlay.mkdir()
    (machine.folder / "elsewhere").write_text("secret")
    (overlay / "token").symlink_to(machine.folder / "elsewhere")
    (machine.checkout / "token").symlink_to(overlay / "token")
    text = f"deployment.tags = [ (builtins.readFile {machine.checkout}/token) ];"
    host(machine.checkout, "keanu", f"{{ ... }}: {{ {PLAIN} {text} }}")

    assert machine.evaluator().evaluate(machine.checkout, KEANU).tags == ("secret",)
    with pytest.raises(EvaluationError, match="may not read"):
        machine.evaluator(trusted=False).evaluate(machine.checkout, KEANU)


def test_paths_of_the_settings_are_seen_once_merged(machine: Machine) -> None:
    file = machine.folder / "named"
    file.write_text("named")
    text = f"deployment.tags = [ (builtins.readFile {file}) ];"
    host(machine.checkout, "keanu", f"{{ ... }}: {{ {PLAIN} {text} }}")
    named = machine.evaluator(cage_paths=(file,))

    assert named.evaluate(machine.checkout, KEANU).tags == ("named",)
    with pytest.raises(EvaluationError, match="may not read"):
        machine.evaluator(cage_paths=(file,), trusted=False).evaluate(
            machine.checkout, KEANU
        )


# --- the network -----------------------------------------------------------------


class _Page(BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"hi")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""


@pytest.fixture
def page() -> Iterator[tuple[int, list[str]]]:
    """Serve a page; give its port, and what it was asked for."""
    asked: list[str] = []
    handler = type("Page", (_Page,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_address[1], asked
        server.shutdown()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "2130706433", "[::1]"])
def test_it_does_not_reach_this_machine(
    machine: Machine, page: tuple[int, list[str]], name: str
) -> None:
    port, asked = page

    said = machine.try_to(f'builtins.fetchurl "http://{name}:{port}/metrics"')

    assert re.search(rf"may not connect to .*{port}.*an address of this machine", said)
    assert f"http://{name}:{port}" in said
    assert "nix.allowed_uris" in said
    assert asked == []


def test_it_fetches_from_where_it_may(
    machine: Machine, page: tuple[int, list[str]]
) -> None:
    """What was fetched is kept for later."""
    port, asked = page
    evaluator = machine.evaluator(allowed_uris=f"http://127.0.0.1:{port}")
    text = f"""deployment.tags = [
      (builtins.readFile (builtins.fetchurl "http://127.0.0.1:{port}/tag"))
    ];"""
    host(machine.checkout, "keanu", f"{{ ... }}: {{ {PLAIN} {text} }}")

    assert evaluator.evaluate(machine.checkout, KEANU).tags == ("hi",)
    assert evaluator.evaluate(machine.checkout, KEANU).tags == ("hi",)
    assert asked == ["/tag"]


def test_why_there_is_no_connection_is_told(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"http://127.0.0.1:{free.getsockname()[1]}"
    text = f'(builtins.fetchGit {{ url = "{place}/x"; ref = "main"; }}).rev'
    host(machine.checkout, "keanu", f"{{ ... }}: builtins.seq {text} {{ {PLAIN} }}")

    with pytest.raises(FetchError, match=r"connect to 127.*: Connection refused"):
        machine.evaluator(allowed_uris=place).evaluate(machine.checkout, KEANU)


@pytest.mark.parametrize(
    ("trusted", "fetches", "pure"),
    [
        (True, True, True),
        (True, True, False),
        (True, False, True),
        (False, True, True),
    ],
)
def test_keys_are_there_to_fetch_where_no_evaluation_reads_them(
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    trusted: bool,
    fetches: bool,
    pure: bool,
) -> None:
    """What a flake is locked to may be fetched by git over ssh."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_ed25519").write_text("key")
    argv = ["cat", str(tmp_path / ".ssh/id_ed25519")]
    nix = cage.NixCage(machine.settings(), trusted=trusted)

    with nix.around(argv, machine.checkout, fetches=fetches, pure=pure) as (words, _):
        done = process.run(words, deadline=20, check=False)

    assert (done.stdout == "key") is (trusted and fetches and pure)


# --- the cage itself -------------------------------------------------------------


@pytest.mark.parametrize(
    "attack",
    [
        "cat {key}",
        "cat {state}/history.sqlite",
        "touch {state}/checkouts/abc/source/new",
        "touch /nix/store/new",
        "touch /usr/new",
        "touch /new",
        "kill -0 {pid}",
        "cat /proc/{pid}/environ",
        'test "$PASSWORD" != ""',
        "mount -t tmpfs none /usr",
        "dd if=/dev/zero of=/tmp/fill bs=1M count=2",
    ],
)
def test_what_a_program_in_it_cannot_do(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    monkeypatch.setenv("PASSWORD", "of the daemon")
    monkeypatch.setattr(boxes, "TEMPORARY_BYTES", 1 << 20)
    box = Box(seen=(Path("/nix"), machine.checkout))
    script = attack.format(key=machine.key, state=machine.state, pid=os.getpid())

    with pytest.raises(CommandError):
        process.run(box.around(["sh", "-c", script]), deadline=20)


def test_it_starts_so_many_processes_and_no_more() -> None:
    """Those of other programs of the same user do not count."""
    script = "for i in $(seq 64); do sleep 5 & done; echo all"
    whom = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")

    def started(most: int) -> str:
        argv = Box(processes=most).around(["sh", "-c", script])
        somebody = [*whom, *argv] if os.geteuid() == 0 else argv
        return process.run(somebody, deadline=20).stdout

    assert started(200) == "all\n"
    with pytest.raises(CommandError):
        started(20)


def test_it_takes_so_much_memory_and_no_more(machine: Machine) -> None:
    evaluator = machine.evaluator(memory="600M")
    times = "builtins.genList (x: x) 30"
    grow = f"builtins.stringLength (builtins.foldl' (a: _: a + a) ''x'' ({times}))"
    host(machine.checkout, "keanu", f"{{ ... }}: builtins.seq ({grow}) {{ {PLAIN} }}")

    told = r"keanu took more than the 0\.6 GiB that nix\.memory allows, also alone"
    with pytest.raises(EvaluationError, match=told):
        evaluator.evaluate(machine.checkout, KEANU)

    host(machine.checkout, "keanu", f"{{ ... }}: {{ {PLAIN} }}")
    assert evaluator.evaluate(machine.checkout, KEANU).units


def test_one_that_needs_more_than_its_part_is_made_alone_with_all(
    machine: Machine,
) -> None:
    evaluator = machine.evaluator(memory="2G", jobs=20)
    host(machine.checkout, "keanu", f"{{ ... }}: {{ {PLAIN} }}")
    evaluator.evaluate(machine.checkout, KEANU)  # so that there are parts
    times = "builtins.genList (x: x) 27"
    grow = f"builtins.stringLength (builtins.foldl' (a: _: a + a) ''x'' ({times}))"
    host(machine.checkout, "keanu", f"{{ ... }}: builtins.seq ({grow}) {{ {PLAIN} }}")

    assert evaluator.evaluate(machine.checkout, KEANU).units


def test_nix_needs_no_home_folder_in_the_environment(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a unit of root's."""
    monkeypatch.delenv("HOME")
    host(machine.checkout, "keanu", f"{{ ... }}: {{ {PLAIN} }}")

    assert machine.evaluator().evaluate(machine.checkout, KEANU).units


def test_one_that_crashes_has_ended_at_once(tmp_path: Path) -> None:
    """The kernel spares the first process of a cage what ends any other one."""
    crash = [sys.executable, "-c", "import os; os.abort()"]
    seen = Box(seen=(Path(sys.base_prefix), Path(sys.prefix)))
    with pytest.raises(CommandError) as caught:
        process.run(
            ["strace", "-f", "-o", str(tmp_path / "trace"), *seen.around(crash)],
            deadline=20,
        )
    assert caught.value.status == 128 + signal.SIGABRT


def test_where_all_programs_are_in_the_store_there_is_a_cage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NixOS."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("bwrap", "env", "true"):
        shutil.copy(shutil.which(name) or "", folder)
    argv = ("nix-store", "--add", str(folder))
    monkeypatch.setenv("PATH", process.run(argv, deadline=20).stdout.strip())
    box_problem.cache_clear()
    try:
        assert box_problem() == ""
    finally:
        box_problem.cache_clear()


def test_a_socket_of_the_machine_is_not_there(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as api:
        api.bind(str(tmp_path / "api.sock"))
        api.listen()
        argv = Box().around(["ls", str(tmp_path / "api.sock")])
        with pytest.raises(CommandError):
            process.run(argv, deadline=20)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Path]:
    """Start a daemon of Nix whose socket is not where it usually is."""
    path = tmp_path / "socket"
    env = {**os.environ, "NIX_REMOTE": "local", "NIX_DAEMON_SOCKET_PATH": str(path)}
    argv = ["nix-daemon", "--option", "build-users-group", ""]
    with subprocess.Popen(argv, env=env, stderr=subprocess.DEVNULL) as running:
        try:
            wait_until(path.is_socket, 20, "the daemon of Nix")
            yield path
        finally:
            running.terminate()


def test_the_daemon_of_nix_is_reached_wherever_it_is(
    machine: Machine, daemon: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host(machine.checkout, "keanu", f"{{ ... }}: {{ {PLAIN} }}")
    found = set()

    monkeypatch.setenv("NIX_REMOTE", "auto")
    found.add(machine.evaluator().evaluate(machine.checkout, KEANU).toplevel)
    monkeypatch.setenv("NIX_REMOTE", f"unix://{daemon}")
    found.add(machine.evaluator().evaluate(machine.checkout, KEANU).toplevel)
    monkeypatch.setenv("NIX_REMOTE", "daemon")
    monkeypatch.setenv("NIX_DAEMON_SOCKET_PATH", str(daemon))
    found.add(machine.evaluator().evaluate(machine.checkout, KEANU).toplevel)

    assert len(found) == 1


def test_it_can_be_required(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "nix-instantiate").symlink_to(shutil.which("true", path="/bin") or "")
    box_problem.cache_clear()
    try:
        with pytest.raises(CageError, match="install bubblewrap"):
            machine.evaluator(cage=Cage.REQUIRED).evaluate(machine.checkout, KEANU)
    finally:
        box_problem.cache_clear()


@pytest.mark.parametrize(
    ("allowed", "told"),
    [
        (None, "from anywhere but this machine and where clouds hand out credentials"),
        (["github:", "https://a.example.org"], "from github:, https://a.example.org"),
        ([], "from nowhere"),
    ],
)
def test_people_are_told_where_it_fetches_from(
    machine: Machine, allowed: object, told: str
) -> None:
    assert caging(machine.settings(allowed_uris=allowed)).endswith(told)


def test_it_can_be_off(machine: Machine) -> None:
    text = f"deployment.tags = [ (builtins.readFile {machine.key}) ];"
    host(machine.checkout, "keanu", f"{{ ... }}: {{ {PLAIN} {text} }}")

    off = machine.evaluator(cage=Cage.OFF)

    assert off.evaluate(machine.checkout, KEANU).tags == (SECRET,)


def test_tokens_in_the_configuration_of_nix_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nix.conf").write_text("cores = 3\n!include tokens.conf\n")
    (tmp_path / "tokens.conf").write_text("access-tokens = x=secret\nmax-jobs = 2\n")
    monkeypatch.setenv("NIX_CONF_DIR", str(tmp_path))
    monkeypatch.setenv("NIX_USER_CONF_FILES", str(tmp_path / "gone"))
    monkeypatch.setenv("NIX_CONFIG", "extra-access-tokens = y=secret\nsandbox = false")

    lines = nix_conf.without_secrets().splitlines()

    assert lines == ["cores = 3", "max-jobs = 2", "sandbox = false"]
    assert nix_conf.value_of("max-jobs") == "2"
