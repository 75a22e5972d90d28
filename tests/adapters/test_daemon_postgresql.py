"""The daemon and its commands over a real PostgreSQL, without any host."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgresql import Cluster, cluster
from tests.support.program import DEADLINE, ROOT, Program
from tests.support.wait import patience, wait_until


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    with cluster() as one:
        yield one


@pytest.fixture(scope="module")
def program(
    own: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("program")
    state = {"path": str(folder / "state"), "database": own.new()}
    with Program(folder, state=state) as program:
        unused = program.run("status")
        assert "no host was looked at" in (unused.stdout + unused.stderr).lower()
        program.start()
        yield program


def test_it_keeps_no_file_of_its_own(program: Program) -> None:
    assert program.get("/healthz")[0] == 200
    assert not list(program.state.glob("*.sqlite*"))


def test_what_a_person_orders_reaches_the_daemon_and_others(program: Program) -> None:
    looks = program.metric("reconciler_fetches_total")

    program.run("approve", program.repository.head)

    wait_until(
        lambda: program.metric("reconciler_fetches_total") > looks,
        DEADLINE,
        "the daemon to see the order",
    )
    events = json.loads(program.run("events", "--json").stdout)
    assert "approve" in {event["kind"] for event in events}


def test_a_second_daemon_is_refused_wherever_it_is(
    program: Program, tmp_path: Path
) -> None:
    assert program.process is not None
    whole = json.loads(program.settings.read_text())
    whole["state"]["path"] = str(tmp_path / "state")
    whole["http"]["listen"] = "127.0.0.1:0"
    other = tmp_path / "other.yaml"
    other.write_text(json.dumps(whole))
    argv = [*program.argv()[:-1], str(other), "run"]

    second = subprocess.run(
        argv,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(DEADLINE),
        check=False,
    )

    assert second.returncode == 1
    assert f"process {program.process.pid} on " in second.stderr
    assert "Traceback" not in second.stderr
    assert program.get("/healthz")[0] == 200


def test_a_database_that_is_away_is_told_and_survived(
    program: Program, own: Cluster
) -> None:
    own.stop()
    refused = program.run("events", status=1)
    checked = program.run("check", status=1)
    own.start()

    assert "PostgreSQL cannot be reached" in refused.stderr
    assert "✗" in checked.stdout
    assert "Traceback" not in refused.stderr + checked.stderr
    program.run("approve", program.repository.head)
    head = program.repository.push("Pushed after it was away")
    program.run("approve", head)
    wait_until(lambda: head in program.said, DEADLINE, "the commit to be seen")
    assert program.get("/healthz")[0] == 200


def test_a_daemon_that_was_replaced_ends_and_says_by_whom(
    program: Program, own: Cluster, tmp_path: Path
) -> None:
    assert program.process is not None
    # Frozen for so long that PostgreSQL, or what is between, ends its sessions.
    program.process.send_signal(signal.SIGSTOP)
    own.stop()
    own.start()
    whole = json.loads(program.settings.read_text())
    whole["state"]["path"] = str(tmp_path / "state")
    with Program(tmp_path, state=whole["state"]) as other:
        other.start()
        program.process.send_signal(signal.SIGCONT)

        assert program.process.wait(patience(DEADLINE)) == 1

        assert other.process is not None
        assert f"process {other.process.pid} on " in program.said
        assert "another daemon has the database" in program.said
        assert other.get("/healthz")[0] == 200
    program.process = None
