"""The daemon as a program: one per state directory, and an end in good order."""

import contextlib
import os
import pwd
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from reconciler.app import make_state
from reconciler.errors import StateError
from reconciler.history import History
from reconciler.model import CommitId, HostName, Outcome, StorePath, Verdict
from tests.support import warm
from tests.support.receiver import Receiver
from tests.support.rig import free_port, git
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0
LUFTA = HostName("lufta")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def settings(tmp_path: Path, port: int) -> Path:
    """Return settings with a repository that has no commit yet."""
    git("init", "-q", "--bare", "-b", "main", str(tmp_path / "git"))
    file = tmp_path / "reconciler.yaml"
    file.write_text(
        f"repository: {{url: {tmp_path / 'git'}, poll: 1s}}\n"
        f"http: {{listen: '127.0.0.1:{port}'}}\n"
        f"state: {tmp_path / 'state'}\n"
    )
    return file


@contextlib.contextmanager
def daemon(
    settings: Path, program: Sequence[str] = ("-m", "reconciler"), **environment: str
) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, *program, "-c", str(settings), "run"],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def healthy(port: int) -> bool:
    with (
        contextlib.suppress(OSError),
        urlopen(f"http://127.0.0.1:{port}/healthz") as it,
    ):
        return bool(it.status == 200)
    return False


def wait_healthy(process: subprocess.Popen[str], port: int) -> None:
    def ready() -> bool:
        assert process.poll() is None, process.communicate()
        with contextlib.suppress(HTTPError):
            return healthy(port)
        return False

    wait_until(ready, DEADLINE, "the daemon to serve")


def test_a_state_directory_that_others_could_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").touch()
    tmp_path.chmod(0o755)

    make_state(tmp_path)

    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_is_not_known_as_ours_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    make_state(tmp_path)

    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_metrics_are_pushed_where_the_settings_say(settings: Path) -> None:
    with Receiver() as gateway:
        push = f"{{url: 'http://127.0.0.1:{gateway.port}'}}"
        settings.write_text(f"{settings.read_text()}metrics: {{push: {push}}}\n")
        with daemon(settings):
            gateway.wait_for(1)

    assert b"reconciler_build_info" in gateway.deliveries[0].body


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_good_order(
    settings: Path, port: int, number: signal.Signals
) -> None:
    with daemon(settings) as process:
        wait_healthy(process, port)
        process.send_signal(number)
        out, err = process.communicate(timeout=DEADLINE)

    assert process.returncode == 0, err
    assert out == ""
    assert "Traceback" not in err
    assert '"stopping' in err


def test_a_second_daemon_is_refused(settings: Path, port: int) -> None:
    with daemon(settings) as first:
        wait_healthy(first, port)
        with daemon(settings) as second:
            _, err = second.communicate(timeout=DEADLINE)
        assert second.returncode == 1
        assert "another daemon runs with the state directory" in err
        assert f": process {first.pid} on " in err
        assert "Traceback" not in err
        assert healthy(port)
        first.terminate()
        assert first.wait(DEADLINE) == 0


def test_a_port_that_is_taken_is_said_so(settings: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)), daemon(settings) as process:
        _, err = process.communicate(timeout=DEADLINE)

    assert process.returncode == 1
    assert f"127.0.0.1:{port}" in err
    assert "Traceback" not in err


def test_a_state_directory_that_cannot_be_made_is_said_so(
    settings: Path, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file is in the way")

    with daemon(settings) as process:
        _, err = process.communicate(timeout=DEADLINE)

    assert process.returncode == 1
    assert f"cannot make the state directory {tmp_path / 'state'}" in err
    assert "Traceback" not in err


def test_an_empty_repository_is_waited_for(settings: Path, port: int) -> None:
    with daemon(settings) as process:
        wait_healthy(process, port)
        assert process.stderr
        told = (line for line in process.stderr if "cannot read the repository" in line)
        assert "is empty: it has no branch at all" in next(told)
        assert healthy(port)


def test_attempts_that_a_killed_daemon_left_open_are_ended(
    settings: Path, port: int, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "history.sqlite"
    with contextlib.closing(History.open(path)) as history:
        attempt = history.begin(
            host=LUFTA,
            commit=CommitId("c" * 40),
            verdict=Verdict.DEPLOY,
            source=None,
            target=StorePath("/nix/store/x"),
            now=1.0,
        )

    with daemon(settings) as process:
        wait_healthy(process, port)

    with contextlib.closing(History.open(path, read_only=True)) as history:
        assert history.attempt(attempt.id).outcome is Outcome.INTERRUPTED


@contextlib.contextmanager
def systemd(folder: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """Listen as systemd does; give what hears a service, and its environment."""
    path = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(DEADLINE)
        yield manager, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "300000"}


def test_systemd_is_told_when_it_serves_and_when_it_ends(
    settings: Path, port: int, tmp_path: Path
) -> None:
    with (
        systemd(tmp_path) as (manager, environment),
        daemon(settings, **environment) as process,
    ):
        first = manager.recv(4096)
        assert healthy(port), "ready means that it serves"
        assert first.startswith(b"READY=1\nWATCHDOG=1\nSTATUS=waiting for a commit")
        while manager.recv(4096) != b"WATCHDOG=1":
            pass
        process.terminate()
        while not manager.recv(4096).startswith(b"STOPPING=1\n"):
            pass
        assert process.wait(DEADLINE) == 0


ENDING_SERVER = """
import signal, sys, uvicorn
from reconciler.__main__ import main

class Server(uvicorn.Server):
    def __init__(self, config):
        super().__init__(config)
        signal.signal(signal.SIGUSR1, lambda *_: setattr(self, "should_exit", True))

uvicorn.Server = Server
sys.exit(main())
"""


def test_a_daemon_that_serves_no_longer_gives_no_signs_of_life(
    settings: Path, tmp_path: Path
) -> None:
    """So that systemd starts it anew; nobody could ask it how it is."""
    with systemd(tmp_path) as (manager, environment):
        argv = ["-c", ENDING_SERVER]
        with daemon(settings, argv, **environment) as process:
            assert manager.recv(4096).startswith(b"READY=1\n")
            process.send_signal(signal.SIGUSR1)
            told = b"STATUS=failing: the HTTP server has ended"
            while manager.recv(4096) != told:
                pass
            assert [manager.recv(4096) for _ in range(3)] == [told] * 3
            process.terminate()
            assert process.wait(DEADLINE) == 0


def test_a_daemon_that_the_watchdog_ends_says_what_its_threads_did(
    settings: Path,
) -> None:
    with daemon(settings) as process:
        assert process.stderr
        next(line for line in process.stderr if '"cannot read' in line)
        process.send_signal(signal.SIGABRT)
        _, err = process.communicate(timeout=DEADLINE)

    assert "Fatal Python error: Aborted" in err
    assert "repository_watch.py" in err


# --- root, and a state directory that is not root's ------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may do what is refused")
@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["check"],
        ["plan", "lufta"],
        ["apply", "lufta"],
        ["keys"],
        ["keys", "send"],
        ["reboot", "lufta"],
        ["rollback", "lufta", "--list"],
        ["rollback", "lufta", "--reason", "it's worse"],
        ["trust", "lufta"],
        ["logs", "lufta", "withinbot"],
        ["ssh", "lufta"],
        ["hold", "lufta", "--reason", "the disk"],
        ["release", "lufta"],
        ["retry", "lufta"],
        ["approve", "lufta"],
    ],
    ids=lambda words: words[0],
)
def test_root_leaves_no_file_in_the_state_of_another_user(
    settings: Path, tmp_path: Path, words: list[str]
) -> None:
    user = pwd.getpwnam("nobody")
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, user.pw_uid, user.pw_gid)

    done = warm.run(
        [sys.executable, "-m", "reconciler", *words],
        env=os.environ | {"RECONCILER_CONFIG": str(settings)},
        timeout=DEADLINE,
    )

    assert done.returncode == 1
    assert f"the state directory {state} belongs to nobody" in done.stderr
    command = f"{sys.executable} -m reconciler {shlex.join(words)}"
    variable = f"RECONCILER_CONFIG={settings}"
    assert f"run: sudo -H -u nobody env {variable} {command}" in done.stderr
    assert list(state.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may do what is refused")
def test_a_user_without_a_name_is_named_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/bin/reconciler", "status"])
    monkeypatch.delenv("RECONCILER_CONFIG", raising=False)
    os.chown(tmp_path, 54321, 54321)

    with pytest.raises(StateError) as refused:
        make_state(tmp_path)

    assert str(refused.value).endswith(
        "run: sudo -H -u '#54321' /opt/bin/reconciler status"
    )


# --- what every command opens ----------------------------------------------------

OPEN = """
import ctypes, resource, sys
from pathlib import Path
from reconciler.app import open_world
from reconciler.settings import load
with open_world(load(Path(sys.argv[1]))):
    dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
    print(resource.getrlimit(resource.RLIMIT_CORE), dumpable)
"""


def test_no_command_that_may_read_keys_leaves_a_core(settings: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(settings)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    )

    assert done.stdout == "(0, 0) 0\n"
