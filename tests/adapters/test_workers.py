"""Workers as programs over a real PostgreSQL, without any host: who leads, who may."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hooks import all_routes, github
from tests.support.postgresql import Cluster, cluster
from tests.support.program import DEADLINE, Program
from tests.support.wait import patience, wait_until


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    with cluster() as one:
        yield one


@pytest.fixture(scope="module")
def first(own: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Give a worker that leads."""
    folder = tmp_path_factory.mktemp("first")
    state = {"path": str(folder / "state"), "database": own.new()}
    with Program(folder, state=state) as program:
        program.start("worker")
        yield program


@pytest.fixture(scope="module")
def second(
    first: Program, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """Give another one, of the same repository."""
    folder = tmp_path_factory.mktemp("second")
    with Program(folder, **beside(first, folder)) as program:
        program.start("worker")
        yield program


def beside(first: Program, folder: Path) -> dict[str, object]:
    """Return settings for one more process that shares repository and database."""
    state = json.loads(first.settings.read_text())["state"]
    return {
        "state": {**state, "path": str(folder / "state")},
        "repository": {"url": first.forge.url, "poll": "1h"},
        "webhooks": all_routes(folder),
    }


def heard(of: Program, process: int) -> float:
    """Return when a worker was heard last."""
    shown = json.loads(of.run("workers", "--json").stdout)
    return max(one["heard_at"] for one in shown if one["process"] == process)


def leader(of: Program) -> int:
    """Return the process that leads, 0 where none does."""
    shown = json.loads(of.run("workers", "--json").stdout)
    return next((one["process"] for one in shown if one["leads"]), 0)


def test_one_leads_and_the_other_takes_what_that_took_over(
    first: Program, second: Program
) -> None:
    assert first.process is not None
    assert leader(second) == first.process.pid

    head = first.repository.push("Pushed while two work")
    first.run("sync", "--wait")

    wait_until(lambda: head in second.said, DEADLINE, "the other one to take it over")


def test_what_the_other_one_is_told_reaches_the_one_that_leads(
    first: Program, second: Program
) -> None:
    head = first.repository.push("Told to the other one")

    assert second.post("/hooks/github", *github(b"{}"))[0] == 202

    wait_until(lambda: head in first.said, DEADLINE, "the leader to look")
    refused = second.run("sync", "--wait", status=1)
    assert first.process is not None
    assert f"process {first.process.pid} on " in refused.stderr


def test_a_daemon_that_shares_with_nobody_is_refused_beside_workers(
    first: Program, tmp_path: Path
) -> None:
    assert first.process is not None
    with Program(tmp_path, **beside(first, tmp_path)) as other:
        refused = other.run("run", status=1)

    assert f"process {first.process.pid} on " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_workers_are_refused_beside_such_a_daemon(
    own: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, beside_it = (tmp_path_factory.mktemp(name) for name in ("alone", "beside"))
    state = {"path": str(folder / "state"), "database": own.new()}
    with Program(folder, state=state) as alone:
        alone.start()
        with Program(beside_it, **beside(alone, beside_it)) as worker:
            refused = worker.run("worker", status=1)

        assert alone.process is not None
        assert f"process {alone.process.pid} on " in refused.stderr
        assert "stop `reconciler run`" in refused.stderr


def test_a_file_is_no_place_to_share(tmp_path: Path) -> None:
    with Program(tmp_path) as program:
        refused = program.run("worker", status=1)
        shown = program.run("workers")

    assert "`state.database` is not set" in refused.stderr
    assert "reconciler run" in refused.stderr
    assert "There are no workers" in shown.stdout


def test_postgresql_that_is_restarted_costs_no_worker(
    first: Program, second: Program, own: Cluster
) -> None:
    """Nor the lead, if the other one is the first to be back."""
    assert first.process is not None
    assert second.process is not None
    own.stop()
    first.process.send_signal(signal.SIGSTOP)
    own.start()
    began = time.time()  # noqa: TID251 -- PostgreSQL has the same clock
    wait_until(
        lambda: heard(second, second.process.pid) > began,  # type: ignore[union-attr]
        DEADLINE,
        "the other one to be back",
    )
    first.process.send_signal(signal.SIGCONT)

    head = first.repository.push("Pushed after it was away")
    first.run("approve", head)  # so that whoever leads looks

    for one in (first, second):
        wait_until(lambda one=one: head in one.said, DEADLINE, "it to be taken over")
        assert "is silent" not in one.said
        assert one.get("/healthz")[0] == 200
    assert leader(second) == first.process.pid


def test_a_leader_that_is_frozen_is_replaced_and_ends(
    first: Program, second: Program
) -> None:
    assert first.process is not None
    assert second.process is not None
    first.process.send_signal(signal.SIGSTOP)

    wait_until(
        lambda: leader(second) == second.process.pid,  # type: ignore[union-attr]
        DEADLINE,
        "the other one to lead",
    )
    head = first.repository.push("Pushed while it was frozen")
    second.run("sync", "--wait")
    first.process.send_signal(signal.SIGCONT)

    assert first.process.wait(patience(DEADLINE)) == 1
    first.process = None
    assert f"process {second.process.pid} on " in first.said
    assert head in second.said
    assert head not in first.said
