"""Commands against the real thing: processes, pipes and signals."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler import process
from reconciler.errors import (
    CommandError,
    CommandMissingError,
    CommandOutputError,
    CommandTimeoutError,
    PermanentError,
)
from reconciler.process import output, run, running
from tests.support.processes import is_gone


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def shell(code: str) -> list[str]:
    return ["sh", "-c", code]


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "nothing happened in time"
        threading.Event().wait(0.005)


def read_pid(file: Path) -> int:
    wait_for(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text())


def test_output_status_and_time_come_back() -> None:
    done = run(shell("echo out; echo err >&2"), deadline=60)

    assert (done.status, done.stdout, done.stderr) == (0, "out\n", "err\n")
    assert done.argv[0] == "sh"
    assert 0 < done.seconds < 10


def test_arguments_are_never_a_shell_s_business() -> None:
    done = run(["printf", "%s", "$(id) `id`; *\n'\""], deadline=60)

    assert done.stdout == "$(id) `id`; *\n'\""


def test_a_status_is_an_error_with_the_last_line_of_stderr() -> None:
    with pytest.raises(CommandError, match="status 3: broken") as caught:
        run(shell("echo broken >&2; exit 3"), deadline=60)

    assert (caught.value.status, caught.value.stderr) == (3, "broken\n")


def test_an_unchecked_status_comes_back() -> None:
    assert run(shell("exit 3"), deadline=60, check=False).status == 3


def test_a_signal_is_a_negative_status() -> None:
    done = run(shell("kill -SEGV $$"), deadline=60, check=False)

    assert done.status == -signal.SIGSEGV


def test_input_longer_than_a_pipe_is_passed_on_while_output_is_read() -> None:
    data = os.urandom(1 << 20).hex().encode()

    assert run(["cat"], deadline=30, stdin=data).stdout.encode() == data


def test_a_command_may_leave_its_input_unread() -> None:
    assert run(["true"], deadline=60, stdin=b"x" * (1 << 20)).status == 0


def test_without_input_a_command_reads_nothing() -> None:
    assert run(["cat"], deadline=60).stdout == ""


def test_a_command_has_no_terminal_to_ask_on() -> None:
    done = run(shell(": </dev/tty"), deadline=60, check=False)

    assert done.status != 0


def test_environment_is_added_and_folder_is_used(tmp_path: Path) -> None:
    done = run(
        shell('echo "$ADDED"; pwd; echo "$PATH"'),
        deadline=60,
        cwd=tmp_path,
        env={"ADDED": "yes"},
    )

    assert done.stdout.splitlines() == ["yes", str(tmp_path), os.environ["PATH"]]


def test_lines_of_stderr_come_while_the_command_runs(tmp_path: Path) -> None:
    """The command goes on only once its first line has arrived."""
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        (tmp_path / "heard").touch()

    script = "printf 'one\\r\\n' >&2; while ! [ -e heard ]; do :; done; printf two >&2"
    run(shell(script), deadline=60, cwd=tmp_path, on_line=on_line)

    assert lines == ["one", "two"]


def test_a_line_without_end_comes_in_pieces() -> None:
    lines: list[str] = []
    code = "import sys; sys.stderr.write('x' * 1_000_000)"

    run(python(code), deadline=60, on_line=lines.append)

    assert len(lines) > 1
    assert sum(map(len, lines)) == 1_000_000


def test_an_error_in_the_callback_ends_the_command(tmp_path: Path) -> None:
    def on_line(line: str) -> None:
        raise ZeroDivisionError(line)

    with pytest.raises(ZeroDivisionError):
        run(
            shell("echo $$ > pid; echo x >&2; sleep 100"),
            deadline=100,
            cwd=tmp_path,
            on_line=on_line,
        )

    assert is_gone(read_pid(tmp_path / "pid"))


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    done = run(shell(r"printf 'a\377b'; printf '\303' >&2"), deadline=60)

    assert (done.stdout, done.stderr) == ("a\ufffdb", "\ufffd")


def test_stderr_keeps_its_beginning_and_its_end() -> None:
    code = "import sys\nfor n in range(300_000): print('line', n, file=sys.stderr)"

    stderr = run(python(code), deadline=60).stderr

    assert stderr.startswith("line 0\n")
    assert stderr.endswith("line 299999\n")
    assert len(stderr) < process.STDERR_LIMIT + 100
    length = sum(len(f"line {n}\n") for n in range(300_000))
    assert f"[… {length - process.STDERR_LIMIT} bytes left out …]" in stderr


def test_too_much_stdout_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "STDOUT_LIMIT", 1 << 20)

    with pytest.raises(CommandOutputError, match="yes printed more than 1 MiB"):
        run(["yes"], deadline=60)


def test_stdout_up_to_the_limit_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "STDOUT_LIMIT", 1 << 20)

    done = run(["head", "-c", str(1 << 20), "/dev/zero"], deadline=60)

    assert len(done.stdout) == 1 << 20


# --- deadlines -------------------------------------------------------------------


def test_the_deadline_ends_a_command_and_its_children(tmp_path: Path) -> None:
    script = "sleep 100 & echo $! > child; echo waiting >&2; wait"

    with pytest.raises(CommandTimeoutError, match=r"within 0\.5 s") as caught:
        run(shell(script), deadline=0.5, cwd=tmp_path)

    assert caught.value.stderr == "waiting\n"
    wait_for(lambda: is_gone(read_pid(tmp_path / "child")))


def test_the_deadline_ends_what_ignores_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "GRACE", 0.2)
    script = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > child; sleep 100'; sleep 9"

    with pytest.raises(CommandTimeoutError):
        run(shell(script), deadline=1, cwd=tmp_path)

    wait_for(lambda: is_gone(read_pid(tmp_path / "child")))


def test_a_command_may_clean_up_at_the_deadline(tmp_path: Path) -> None:
    script = "trap 'touch cleaned; exit' TERM; touch up; while :; do sleep 0.01; done"

    with pytest.raises(CommandTimeoutError):
        run(shell(script), deadline=1, cwd=tmp_path)

    assert (tmp_path / "cleaned").exists()


def test_a_child_left_behind_delays_nobody_and_is_killed(tmp_path: Path) -> None:
    """A child in the background holds both pipes open for 100 s."""
    done = run(
        shell("sleep 100 & echo $! > child; echo out"), deadline=60, cwd=tmp_path
    )

    assert done.stdout == "out\n"
    assert done.seconds < 10
    wait_for(lambda: is_gone(read_pid(tmp_path / "child")))


def test_a_child_left_behind_that_goes_on_talking_delays_nobody() -> None:
    done = run(shell("yes >&2 & echo out"), deadline=60)

    assert done.stdout == "out\n"
    assert done.seconds < 30


def test_a_daemon_that_holds_the_pipes_delays_nobody(tmp_path: Path) -> None:
    script = "setsid sh -c 'echo $$ > child; exec sleep 100' & echo out"
    done = run(shell(script), deadline=60, cwd=tmp_path)
    os.kill(read_pid(tmp_path / "child"), signal.SIGKILL)

    assert done.stdout == "out\n"
    assert done.seconds < 10


def test_a_closed_output_does_not_end_a_command() -> None:
    done = run(shell("exec >&- 2>&-; sleep 0.3; exit 7"), deadline=30, check=False)

    assert done.status == 7


def test_no_descriptor_and_no_zombie_stays() -> None:
    run(["true"], deadline=60)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- pathlib opens one
    others = children()  # of the test run itself, such as what ends its hosts

    for _ in range(20):
        run(["cat"], deadline=60, stdin=b"x", check=False)

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert children() == others


def children() -> set[str]:
    """Return the processes that this one has started and that are not reaped."""
    found: set[str] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            found.update(task.read_text().split())
    return found


def test_many_threads_run_commands_at_once() -> None:
    def echo(number: int) -> str:
        return run(shell(f"echo {number}; exec sleep 0.01"), deadline=60).stdout

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(echo, range(100))) == [f"{n}\n" for n in range(100)]


# --- what cannot be started ------------------------------------------------------


def test_a_missing_command_is_named() -> None:
    with pytest.raises(CommandMissingError, match="no-such-command was not found"):
        run(["no-such-command"], deadline=60)


def test_a_missing_folder_is_named_rather_than_the_command(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no such directory") as caught:
        run(["true"], deadline=60, cwd=tmp_path / "absent")

    assert str(tmp_path / "absent") in str(caught.value)


def test_a_file_that_is_no_program_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "plain"
    file.write_text("")

    with pytest.raises(CommandError, match="cannot be executed: Permission denied"):
        run([str(file)], deadline=60)


def test_too_many_arguments_are_an_error() -> None:
    with pytest.raises(CommandError, match="Argument list too long"):
        run(["true", "x" * (1 << 20)], deadline=60)


@pytest.mark.parametrize("argument", ["a\0b", "\ud800"])
def test_an_argument_that_no_command_can_be_given_is_an_error(argument: str) -> None:
    with pytest.raises(PermanentError, match="'echo' cannot be run with"):
        run(["echo", argument], deadline=60)


# --- interruption ----------------------------------------------------------------


def test_ctrl_c_while_a_command_is_being_started_leaves_nothing() -> None:
    """It strikes when the command runs and nobody has heard of it yet."""
    started = []

    def start() -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        command = subprocess.Popen(
            ["sleep", "100"], stdout=pipe, stderr=pipe, start_new_session=True
        )
        started.append(command)
        signal.raise_signal(signal.SIGINT)
        return command

    try:
        with pytest.raises(KeyboardInterrupt):
            process.follow(["sleep"], start, deadline=100)

        assert started[0].returncode == -signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        started[0].kill()
        started[0].wait()


# --- shutdown --------------------------------------------------------------------

SHUTDOWN = """
import logging, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import structlog
from reconciler import process
from reconciler.errors import StoppingError
from reconciler.process import running

def work(number):
    script = f"trap '' TERM; sleep 100 & echo $! > child{number}; wait; sleep 100"
    try:
        process.run(["sh", "-c", script], deadline=100)
    except StoppingError as error:
        return str(error)

quiet = structlog.make_filtering_bound_logger(logging.INFO)
structlog.configure(wrapper_class=quiet)
running.GRACE = 0.5
pool = ThreadPoolExecutor(2)
jobs = [pool.submit(work, number) for number in range(2)]
sys.stdin.readline()
process.kill_all()
for job in jobs:
    print(job.result(60))
try:
    process.run(["true"], deadline=1)
except StoppingError as error:
    print(error)
"""


def test_shutdown_ends_everything_and_starts_nothing_more(tmp_path: Path) -> None:
    with subprocess.Popen(
        python(SHUTDOWN),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        children = [read_pid(tmp_path / f"child{number}") for number in range(2)]
        output, _ = program.communicate("go\n", timeout=100)

    stopped = "was not run to its end: the program is stopping"
    assert output.splitlines() == [f"sh {stopped}", f"sh {stopped}", f"true {stopped}"]
    for child in children:
        wait_for(lambda child=child: is_gone(child))  # type: ignore[misc]


def test_what_a_killed_program_left_is_swept_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "reconciler-scratch-x").write_text("no folder")
    (tmp_path / "others").mkdir()
    code = (
        "import os, signal, tempfile; from reconciler import process\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "with process.scratch('trace') as folder:\n"
        "    (folder / 'of').write_text('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run(python(code), check=False).returncode == -signal.SIGKILL
    (left,) = tmp_path.glob("reconciler-scratch-trace-*")

    with process.scratch("trace") as held:
        process.sweep()
        assert held.is_dir()

    assert not left.exists()
    assert {path.name for path in tmp_path.iterdir()} == {
        "others",
        "reconciler-scratch-x",
    }
