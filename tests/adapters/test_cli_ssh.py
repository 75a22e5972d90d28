"""The subcommands that give their place to ssh, seen from ssh's side."""

import contextlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.desired import to_json
from reconciler.history import Declared, History
from reconciler.model import CommitId, HostName
from tests.support import warm
from tests.support.wait import patience
from tests.support.world import desired_of

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "reconciler")
SSH = """\
#!/bin/sh
# Says how it was called, and ends as it was told.
exec python3 -c 'import json, sys; print(json.dumps(sys.argv[1:])); sys.exit(7)' "$@"
"""

JOURNAL = "journalctl --no-pager --quiet --output=short-iso"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return what runs a subcommand beside an ssh that tells how it was called."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(SSH)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    state = tmp_path / "state"
    state.mkdir()
    with contextlib.closing(History.open(state / "history.sqlite")) as history:
        desired = to_json(desired_of("lufta", {}, tmp_path / "lufta.drv"))
        last = Declared(commit=CommitId("c" * 40), desired=desired)
        history.systems.save_last_good(HostName("lufta"), last)
    settings = tmp_path / "reconciler.yaml"

    def run(*words: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        settings.write_text(
            f"repository: {{url: {tmp_path / 'git'}}}\nstate: {state}\n"
            f"ssh: {{identity: {tmp_path / 'key'}}}\n"
            f"hosts: {{lufta: {{port: 2222, user: {user}}}}}\n"
        )
        return warm.run(
            [*PROGRAM, "-c", str(settings), *words],
            env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
            timeout=patience(60),
        )

    return run


def told(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the arguments of ssh behind its options."""
    assert done.returncode == 7, done.stderr
    argv: list[str] = json.loads(done.stdout)
    return argv[argv.index("--") :]


def test_ssh_is_given_the_options_that_the_program_uses(
    run: Run, tmp_path: Path
) -> None:
    done = run("ssh", "lufta")

    option, config, *_ = json.loads(done.stdout)
    assert told(done) == ["--", "lufta.example"]
    assert option == "-F"
    lines = {line.strip() for line in Path(config).read_text().splitlines()}
    assert "StrictHostKeyChecking yes" in lines
    assert "Port 2222" in lines  # as the settings say now
    assert f'IdentityFile "{tmp_path / "key"}"' in lines
    assert f'UserKnownHostsFile "{tmp_path / "state" / "known_hosts"}"' in lines


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["uptime"], "uptime"),
        (["df -h | grep nix"], "df -h | grep nix"),
        (["echo", "a b", "$HOME"], "echo 'a b' '$HOME'"),
        (["systemctl", "status", "--full", "-n", "3"], "systemctl status --full -n 3"),
    ],
)
def test_a_command_arrives_as_it_is(run: Run, words: list[str], line: str) -> None:
    assert told(run("ssh", "lufta", "--", *words)) == ["--", "lufta.example", line]


@pytest.mark.parametrize(
    ("words", "user", "line"),
    [
        (
            ["withinbot"],
            "root",
            f"{JOURNAL} --unit=withinbot.service --lines=50",
        ),
        (
            ["x.timer", "-f", "-n", "5", "--since", "1 h ago"],
            "mara",
            f"sudo -H -- {JOURNAL} --unit=x.timer --lines=5 --follow '--since=1 h ago'",
        ),
    ],
)
def test_logs_asks_the_journal_of_a_unit(
    run: Run, words: list[str], user: str, line: str
) -> None:
    done = run("logs", "lufta", *words, user=user)

    assert told(done) == ["--", "lufta.example", line]


def test_a_host_of_which_nothing_is_known_is_asked_of_the_repository(run: Run) -> None:
    done = run("ssh", "keanu")

    assert done.returncode == 1
    assert "git" in done.stderr
