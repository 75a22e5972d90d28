"""The command line as a program: exit statuses, pipes, terminals, signals."""

import contextlib
import json
import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from reconciler.history import History
from reconciler.model import CommitId, HostName, HostStatus, Verdict
from tests.support import warm
from tests.support.processes import is_gone
from tests.support.wait import let_pass, patience, wait_until

ROOT = Path(__file__).parents[2]
PROGRAM = (str(Path(sys.executable).with_name("reconciler")),)
DEADLINE = 60.0


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Return a settings file whose state has two hosts."""
    state = tmp_path / "state"
    state.mkdir()
    with contextlib.closing(History.open(state / "history.sqlite")) as history:
        for name in ("keanu", "lufta"):
            history.save_status(
                HostStatus(
                    host=HostName(name),
                    commit=CommitId("c" * 40),
                    updated_at=1_700_000_000.0,
                    verdict=Verdict.CONVERGED,
                    reachable=True,
                    tags=("home", "lab"),
                )
            )
    file = tmp_path / "reconciler.yaml"
    file.write_text(f"repository: {{url: {tmp_path / 'git'}}}\nstate: {state}\n")
    return file


def forked(
    *words: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run what does not depend on how the program is imported."""
    argv = [sys.executable, "-m", "reconciler", *words]
    return warm.run(argv, timeout=patience(DEADLINE), env={**os.environ, **(env or {})})


def run(
    *words: str, env: Mapping[str, str] | None = None, **options: int
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=patience(DEADLINE),
        **options,
    )


def no_traceback(done: subprocess.CompletedProcess[str]) -> bool:
    return "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "words", [("status",), ("plan",), ("check",), ("run",), ("status", "lufta")]
)
def test_wrong_settings_are_a_known_error(tmp_path: Path, words: tuple[str]) -> None:
    file = tmp_path / "reconciler.yaml"
    file.write_text("repository:\n  url: /srv/git\n  pol: 60s\npolicy:\n  mode: yes\n")

    done = forked("-c", str(file), *words)

    assert done.returncode == 1
    assert no_traceback(done)
    said = done.stdout + done.stderr
    assert f"{file}:3: repository.pol" in said
    assert f"{file}:5: policy.mode" in said


def test_missing_settings_say_how_to_name_them(tmp_path: Path) -> None:
    done = forked("status", env={"RECONCILER_CONFIG": str(tmp_path / "none.yaml")})

    assert (done.returncode, done.stdout) == (1, "")
    assert f"{tmp_path / 'none.yaml'}: there is no such file" in done.stderr
    assert "-c FILE" in done.stderr
    assert no_traceback(done)


def test_a_misuse_exits_with_2() -> None:
    done = forked("plan", "--no-such-option")

    assert done.returncode == 2
    assert "No such option" in done.stderr
    assert no_traceback(done)


def test_the_environment_names_the_settings_too(settings: Path) -> None:
    done = forked("status", env={"RECONCILER_CONFIG": str(settings)})

    assert done.returncode == 0
    assert "2 hosts: 2 in sync" in done.stdout


def test_version_names_all_three() -> None:
    done = run("version", "--json")

    assert done.returncode == 0
    assert set(json.loads(done.stdout)) == {"reconciler", "python", "nix"}


def test_a_reader_that_has_had_enough_is_no_error(settings: Path) -> None:
    """``reconciler status | head -0``."""
    reading, writing = os.pipe()
    os.close(reading)
    argv = [*PROGRAM, "-c", str(settings), "status"]
    with subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.PIPE
    ) as process:
        os.close(writing)
        _, said = process.communicate(timeout=patience(DEADLINE))

    assert said == b""
    assert process.returncode in (1, 141)


@pytest.mark.parametrize(
    ("words", "where", "why"),
    [
        (("status",), ">/dev/full", "No space left on device"),
        (("status", "--json"), ">&-", "Bad file descriptor"),
        (("version",), ">/dev/full", "No space left on device"),
    ],
)
def test_what_cannot_be_printed_is_said_in_one_sentence(
    settings: Path, words: tuple[str, ...], where: str, why: str
) -> None:
    argv = shlex.join([*PROGRAM, "-c", str(settings), *words])
    done = subprocess.run(
        ["sh", "-c", f"{argv} {where}"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=DEADLINE,
    )

    assert done.stderr == f"error: cannot write to standard output: {why}\n"
    assert done.returncode == 1


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
def test_that_nobody_hears_comments_changes_nothing(settings: Path, where: str) -> None:
    argv = shlex.join([*PROGRAM, "-c", str(settings), "events", "nowhere"])
    done = subprocess.run(
        ["sh", "-c", f"{argv} {where}"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
        timeout=DEADLINE,
    )

    assert (done.returncode, done.stdout) == (1, b"")


def test_a_terminal_without_our_letters_is_no_bug(settings: Path) -> None:
    for encoding in ("latin-1", "ascii"):
        done = run("-c", str(settings), "status", env={"PYTHONIOENCODING": encoding})

        assert done.returncode == 0
        assert "2 hosts: 2 in sync" in done.stdout
        assert done.stderr == ""


BUG = """
import sys
from reconciler.history import History
History.statuses = lambda self, **_: 1 // 0
from reconciler.cli import main
sys.argv[0] = "reconciler"
main()
"""


def test_an_unexpected_exception_is_called_a_bug(settings: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUG, "-c", str(settings), "status"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=patience(DEADLINE),
    )

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: this is a bug in reconciler; please report:")
    assert "ZeroDivisionError" in done.stderr


def test_host_names_are_completed(settings: Path) -> None:
    words = f"reconciler -c {settings} status lu"
    done = run(
        env={
            "_RECONCILER_COMPLETE": "complete_bash",
            "_TYPER_COMPLETE_ARGS": words,
            "COMP_WORDS": words,
            "COMP_CWORD": "4",
        }
    )

    assert done.stdout.split() == ["lufta"]
    assert no_traceback(done)


@pytest.mark.parametrize(
    ("word", "offered"), [("lu", ["lufta"]), ("@", ["@home", "@lab"]), ("@x", [])]
)
def test_orders_complete_hosts_and_tags(
    settings: Path, word: str, offered: list[str]
) -> None:
    words = f"reconciler -c {settings} hold {word}"
    done = run(
        env={
            "_RECONCILER_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": "4",
        }
    )

    assert done.stdout.split() == offered


def test_subcommands_are_completed() -> None:
    words = "reconciler st"
    done = run(
        env={
            "_RECONCILER_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": "1",
        }
    )

    assert done.stdout.split() == ["status"]


def test_what_only_reads_history_loads_nothing_else(settings: Path) -> None:
    """It starts fast: SSH, git, the web server and metrics are not for it."""
    code = (
        "import sys; sys.argv = ['reconciler', '-c', sys.argv[1], 'status']\n"
        "from reconciler.cli import app\n"
        "try: app()\n"
        "except SystemExit: print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(settings)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=patience(DEADLINE),
    )

    loaded = set(done.stderr.split())
    assert "sqlalchemy" in loaded
    assert not loaded & {
        "fabric",
        "paramiko",
        "git",
        "watchfiles",
        "fastapi",
        "uvicorn",
        "prometheus_client",
        "alembic",
    }


# --- on a terminal ---------------------------------------------------------------


@contextlib.contextmanager
def terminal(
    *words: str, env: Mapping[str, str] | None = None, columns: int = 80
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a command whose three streams are a terminal; yield it and our end."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    without = {"NO_COLOR", "COLUMNS", "FORCE_COLOR"}
    inherited = {key: one for key, one in os.environ.items() if key not in without}
    process = subprocess.Popen(
        [*PROGRAM, *words],
        cwd=ROOT,
        env={**inherited, "TERM": "xterm-256color", **(env or {})},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_all(process: subprocess.Popen[bytes], ours: int) -> str:
    said, end = b"", time.monotonic() + patience(DEADLINE)
    while time.monotonic() < end:
        if not select.select([ours], [], [], 0.1)[0]:
            continue
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        said += part
    assert process.wait(patience(DEADLINE)) is not None
    return said.decode()


def test_colours_on_a_terminal(settings: Path) -> None:
    with terminal("-c", str(settings), "status") as (process, ours):
        said = read_all(process, ours)

    assert process.returncode == 0
    assert "\x1b[32min sync" in said


@pytest.mark.parametrize(
    ("words", "env"), [(("--no-color",), {}), ((), {"NO_COLOR": "1"})]
)
def test_no_colours_where_nobody_wants_them(
    settings: Path, words: tuple[str], env: Mapping[str, str]
) -> None:
    argv = ("-c", str(settings), *words, "status")
    with terminal(*argv, env=env) as (process, ours):
        said = read_all(process, ours)

    assert process.returncode == 0
    assert "in sync" in said
    assert "\x1b[3" not in said


@pytest.mark.parametrize(
    ("option", "human"), [((), True), (("--log-format", "json"), False)]
)
def test_logs_on_a_terminal_are_for_people(
    settings: Path,
    option: tuple[str, ...],
    human: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    argv = ("-c", str(settings), "-v", *option, "version")
    with terminal(*argv, env={"NO_COLOR": "1"}) as (process, ours):
        said = read_all(process, ours)

    (line,) = (one for one in said.splitlines() if "nix-instantiate" in one)
    assert line.lstrip().startswith("{") is not human


def test_logs_in_a_pipe_are_json(settings: Path) -> None:
    done = run("-c", str(settings), "-v", "version")

    (line,) = (one for one in done.stderr.splitlines() if "nix-instantiate" in one)
    assert json.loads(line)["event"] == "command"


HANGING_GIT = """\
#!/bin/sh
test "$1" = version && exec {git} version
{trap}
echo $$ > {mark}
exec sleep 600
"""


@pytest.mark.parametrize(
    ("number", "trap", "times"),
    [
        pytest.param(signal.SIGINT, "", 1, id="once"),
        pytest.param(signal.SIGINT, "trap '' TERM", 2, id="twice, git is slow to end"),
        pytest.param(signal.SIGTERM, "", 1, id="by kill"),
        pytest.param(signal.SIGHUP, "", 1, id="by the end of the terminal"),
    ],
)
def test_an_interruption_leaves_nothing_running(
    settings: Path, tmp_path: Path, number: signal.Signals, trap: str, times: int
) -> None:
    """While git hangs, as with a repository that does not answer."""
    folder, mark = tmp_path / "bin", tmp_path / "pid"
    folder.mkdir()
    git = folder / "git"
    real = shutil.which("git")
    git.write_text(HANGING_GIT.format(git=real, mark=mark, trap=trap))
    git.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    argv = ("-c", str(settings), "plan")
    with terminal(*argv, env={"PATH": path}) as (process, ours):
        wait_until(lambda: mark.exists() and mark.read_text(), DEADLINE, "git to hang")
        child = int(mark.read_text())
        try:
            for _ in range(times):
                os.kill(process.pid, number)
                let_pass(0.5)  # two at once would count as one
            said = read_all(process, ours)
            wait_until(lambda: is_gone(child), DEADLINE, "git to end")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert "Traceback" not in said
