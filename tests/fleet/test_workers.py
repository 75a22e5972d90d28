"""Several workers share real hosts: who works on which, who takes over, who may not."""

import contextlib
import json
import signal
import time
from collections.abc import Iterator

import pytest

from tests.support import warm
from tests.support.fleet import FleetFactory
from tests.support.postgresql import cluster
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import busy, patience, wait_until
from tests.support.workers import Program, Workers

pytestmark = pytest.mark.matrix  # half a minute of a core

NAMES = ("chrysalis", "keanu")
TAKEN_OVER = 10.0  # seconds
NUMBER = "/var/lib/reconciler-fence/number"
_LUFTA = """\
  lufta = {
    imports = [ ./hosts/lufta/configuration.nix ];
    deployment.targetHost = "lufta";
    deployment.tags = [ "rented" ];
  };
"""
GUARDIAN_WAITS = """
cd /run/reconciler && for d in *; do
  [ ! -e "$d/result" ] && [ "$(cat "$d/phase")" = waiting ] && echo "$d"
done
true
"""


@pytest.fixture(scope="module")
def workers(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workers]:
    """Give two hosts that two workers have deployed."""
    policy = {"settle": "2s", "confirm_timeout": "60s"}
    folder = tmp_path_factory.mktemp("rig")
    with (
        cluster() as one,
        Rig(folder, module_fleet(*NAMES), policy=policy) as rig,
        Workers(rig, one.new()) as workers,
    ):
        rig.edit("network.nix", _LUFTA, "")
        rig.push("The services of two hosts")
        workers.divide(*NAMES)
        workers.wait_in_sync(*NAMES)
        yield workers


def owners(workers: Workers) -> dict[str, str]:
    """Return who made the last attempt on each host."""
    with contextlib.closing(workers.history()) as history:
        return {one.host: one.owner for one in reversed(history.attempts(limit=100))}


def add_service(rig: Rig, host: str, name: str) -> None:
    """Push a commit that gives a host one more service."""
    path = rig.repository.work / f"hosts/{host}/configuration.nix"
    body, brace, rest = path.read_text().rpartition("}")
    service = f"""
      systemd.services.{name} = {{
        wantedBy = [ "multi-user.target" ];
        script = "exec sleep infinity";
      }};
    """
    path.write_text(f"{body}{service}\n{brace}{rest}")
    rig.push(f"{name} on {host}")


def have(workers: Workers, one: Program, *names: str) -> None:
    """Wait until a worker has all these hosts, in the time that is promised."""
    began = time.monotonic()
    wait_until(
        lambda: workers.hosts(one) >= set(names),
        DEADLINE,
        f"{one.name} to have {names}",
    )
    assert time.monotonic() - began < TAKEN_OVER * max(1.0, busy())


def test_hosts_are_divided_and_each_is_deployed_by_whoever_has_it(
    workers: Workers,
) -> None:
    first, second = workers.programs
    both = workers.hosts(first), workers.hosts(second)

    assert sorted([*both[0], *both[1]]) == sorted(NAMES)
    made = owners(workers)
    for one, hosts in zip((first, second), both, strict=True):
        for host in hosts:
            assert f"(process {one.process.pid})" in made[host]
            assert workers.rig.host(host).exec("cat", NUMBER).strip().isdecimal()
    assert [one.leads for one in workers.all()] == [True, False]


def test_they_are_shown_with_their_hosts(workers: Workers) -> None:
    first, second = workers.programs
    argv = workers.rig.argv("workers", "--json")
    argv[argv.index(str(workers.rig.settings))] = str(first.settings)

    shown = json.loads(warm.run(argv, timeout=patience(60)).stdout)
    table = warm.run(argv[:-1], timeout=patience(60)).stdout

    assert [one["leads"] for one in shown] == [True, False]
    assert [one["live"] for one in shown] == [True, True]
    assert [one["process"] for one in shown] == [first.process.pid, second.process.pid]
    assert {host for one in shown for host in one["hosts"]} == set(NAMES)
    for word in ("WORKER", "leads", "works", *NAMES):
        assert word in table


def test_one_that_was_frozen_does_nothing_to_what_another_has_taken(
    workers: Workers,
) -> None:
    """In the midst of an attempt, which the other one sees to its end."""
    first, second = workers.programs
    host = min(workers.hosts(second))
    before = int(workers.rig.host(host).exec("cat", NUMBER))
    add_service(workers.rig, host, "thirteenth")
    wait_until(
        lambda: workers.rig.host(host).exec("sh", "-c", GUARDIAN_WAITS).strip(),
        DEADLINE,
        "a guardian to wait",
    )

    second.send(signal.SIGSTOP)
    have(workers, first, *NAMES)
    workers.wait_in_sync(host)
    taken = int(workers.rig.host(host).exec("cat", NUMBER))
    second.send(signal.SIGCONT)

    wait_until(
        lambda: "another worker has taken the host" in second.said,
        DEADLINE,
        "the frozen one to be refused",
    )
    assert taken > before
    with contextlib.closing(workers.history()) as history:
        (attempt,) = history.attempts(host=host, limit=1)  # type: ignore[arg-type]
    assert attempt.outcome is not None
    assert attempt.outcome.value == "succeeded"
    assert f"(process {second.process.pid})" in attempt.owner
    assert workers.rig.host(host).is_active("thirteenth.service")
    # It lives, and so gets back what is for it.
    wait_until(lambda: host in workers.hosts(second), 20, "it to work again")


def test_what_one_had_that_is_killed_another_takes_over(workers: Workers) -> None:
    first, second = workers.programs
    lost = workers.hosts(first)

    first.end(signal.SIGKILL)
    workers.programs.remove(first)
    have(workers, second, *NAMES)

    found = workers.of(second)
    assert found is not None
    assert found.leads
    host = min(lost)
    add_service(workers.rig, host, "fourteenth")
    workers.wait_in_sync(*NAMES)
    assert f"(process {second.process.pid})" in owners(workers)[host]
    assert workers.rig.host(host).is_active("fourteenth.service")
