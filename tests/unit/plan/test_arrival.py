"""How far a commit has come, by the last statuses of hosts."""

from dataclasses import replace

import pytest

from reconciler.model import (
    CommitId,
    Drift,
    DriftKind,
    Hold,
    HostName,
    HostStatus,
    Quarantine,
    StorePath,
    Verdict,
)
from reconciler.plan import Arrival, Standing, arrival

ONE, TWO, OTHER = (CommitId(c * 40) for c in "123")
LUFTA, KEANU = HostName("lufta"), HostName("keanu")
NEW = StorePath("/nix/store/new")

WELL = HostStatus(
    host=LUFTA,
    commit=ONE,
    updated_at=0.0,
    verdict=Verdict.CONVERGED,
    reachable=True,
    target=NEW,
    running=NEW,
)
BAD = Quarantine(
    host=LUFTA, toplevel=NEW, reason="bot died", since=0.0, attempt="a", failures=1
)
HOLD = Hold(host=LUFTA, reason="not now", actor="", since=0.0)
STOPPED = (Drift(kind=DriftKind.UNIT_STOPPED, subject="bot.service"),)


def far(*statuses: HostStatus, commit: CommitId = ONE, problem: str = "") -> Arrival:
    contained = {ONE: {ONE, TWO}, TWO: {TWO}}
    return arrival(
        commit,
        [LUFTA],
        {status.host: status for status in statuses},
        contains=contained[commit].__contains__,
        problems={LUFTA: problem},
    )


@pytest.mark.parametrize(
    ("status", "standing"),
    [
        (WELL, Standing.ARRIVED),
        (replace(WELL, commit=TWO), Standing.ARRIVED),
        (replace(WELL, commit=OTHER), Standing.WAITING),
        (replace(WELL, verdict=Verdict.DEPLOY), Standing.WAITING),
        (replace(WELL, verdict=Verdict.HEAL, drifts=STOPPED), Standing.WAITING),
        (
            replace(WELL, verdict=Verdict.BLOCKED, reachable=False, error="timed out"),
            Standing.WAITING,
        ),
        (replace(WELL, verdict=Verdict.HELD, hold=HOLD), Standing.ASKED),
        (replace(WELL, verdict=Verdict.HELD), Standing.WAITING),
        (replace(WELL, verdict=Verdict.QUARANTINED, error="died"), Standing.WAITING),
        (replace(WELL, verdict=Verdict.REPORTED), Standing.ASKED),
        (replace(WELL, verdict=Verdict.BLOCKED, error="takes away"), Standing.ASKED),
        (replace(WELL, verdict=Verdict.QUARANTINED, quarantine=BAD), Standing.FAILED),
        (replace(WELL, verdict=Verdict.DEPLOY, error="no room"), Standing.FAILED),
        (replace(WELL, verdict=None, error="syntax error"), Standing.FAILED),
    ],
)
def test_a_status_tells_how_far_a_commit_has_come(
    status: HostStatus, standing: Standing
) -> None:
    found = far(status)

    assert found.standing is standing
    assert [one.host for one in found.hosts] == [LUFTA]


def test_a_host_that_was_not_looked_at_is_waited_for() -> None:
    assert far().standing is Standing.WAITING


def test_a_commit_that_does_not_evaluate_has_failed_though_the_host_is_well() -> None:
    assert far(WELL, problem="syntax error").standing is Standing.FAILED


def test_a_host_without_an_address_is_not_waited_for() -> None:
    found = far(replace(WELL, verdict=Verdict.NO_ADDRESS, reachable=False))

    assert found.hosts == ()
    assert found.standing is Standing.ARRIVED


def test_a_host_that_deploys_itself_and_sleeps_is_not_waited_for() -> None:
    """What is known of it is of a commit from before it went to sleep."""
    asleep = replace(
        WELL, verdict=Verdict.SILENT, reachable=False, commit=CommitId("0" * 40)
    )

    found = far(asleep)

    assert found.hosts == ()
    assert found.standing is Standing.ARRIVED


def test_while_one_is_under_way_the_others_failure_does_not_end_the_wait() -> None:
    failed = replace(WELL, verdict=Verdict.DEPLOY, error="no room")
    slow = replace(WELL, host=KEANU, verdict=Verdict.DEPLOY)
    found = arrival(
        ONE,
        [LUFTA, KEANU],
        {LUFTA: failed, KEANU: slow},
        contains=lambda _: True,
        problems={},
    )

    assert found.standing is Standing.WAITING
    assert [one.standing for one in found.hosts] == [Standing.WAITING, Standing.FAILED]
