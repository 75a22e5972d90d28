"""How far a commit has come, and what forges are told of it."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.messages import Mark, MarkState
from reconciler.model import HostName, HostStatus, Verdict
from reconciler.notify.commits import Stand, mark_of, next_mark, stand_of
from tests.unit.notify.samples import (
    BOT,
    COMMIT,
    OLD,
    attempt,
    away,
    quarantined,
    status,
    stopped,
    to_deploy,
)

HOSTS = tuple(map(HostName, ("chrysalis", "keanu", "lufta")))
SUCCESS, FAILURE = Stand(state=MarkState.SUCCESS), MarkState.FAILURE


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (status(), MarkState.SUCCESS),
        # Nothing of this is the commit's doing: the host has it.
        (status(Verdict.HEAL, drifts=stopped(BOT), error="no"), MarkState.SUCCESS),
        (status(Verdict.REPORTED, drifts=stopped(BOT)), MarkState.SUCCESS),
        (status(Verdict.HELD, drifts=stopped(BOT), error="held"), MarkState.SUCCESS),
        (status(Verdict.HELD, error="held", running=OLD), MarkState.PENDING),
        (status(Verdict.REPORTED, running=OLD), MarkState.PENDING),
        (away(), MarkState.PENDING),
        (to_deploy(), MarkState.PENDING),
        (to_deploy("unit failed"), MarkState.FAILURE),
        (status(None, error="does not evaluate"), MarkState.FAILURE),
        (status(Verdict.BLOCKED, error="another machine"), MarkState.FAILURE),
        (
            quarantined(status(Verdict.QUARANTINED, error="x", running=OLD)),
            MarkState.FAILURE,
        ),
    ],
)
def test_how_far_it_is_on_one_host(of: HostStatus, expected: MarkState) -> None:
    assert stand_of(of, "", "1").state is expected


def test_a_host_that_runs_the_last_good_commit_does_not_have_the_newest() -> None:
    stand = stand_of(status(error="no such option"), "no such option", "")

    assert stand.state is MarkState.FAILURE
    assert "no such option" in stand.why


def test_a_commit_in_quarantine_says_why_and_in_which_attempt_it_failed() -> None:
    of = quarantined(status(Verdict.QUARANTINED, error="x", running=OLD))

    stand = stand_of(of, "", "another")

    assert (stand.why, stand.attempt) == ("bot was not healthy", attempt(1).id)


def test_from_pending_to_success() -> None:
    stands = {HOSTS[0]: SUCCESS}
    assert mark_of(COMMIT, HOSTS, stands).state is MarkState.PENDING

    mark = mark_of(COMMIT, HOSTS, dict.fromkeys(HOSTS, SUCCESS))

    assert (mark.state, mark.text) == (MarkState.SUCCESS, "on 3 hosts")


def test_a_failure_names_host_and_reason() -> None:
    failed = Stand(state=FAILURE, why="unit failed", attempt="20261123T104512-3f2a")

    mark = mark_of(COMMIT, HOSTS, {HOSTS[1]: failed, HOSTS[2]: SUCCESS})

    assert mark.state is MarkState.FAILURE
    assert mark.text == "keanu: unit failed"
    assert (mark.hosts, mark.attempt) == ((HOSTS[1],), failed.attempt)


def test_a_commit_that_waits_says_for_whom() -> None:
    waits = Stand(why="is unreachable")

    mark = mark_of(COMMIT, HOSTS, {HOSTS[1]: waits, HOSTS[2]: SUCCESS})

    assert mark.text == "on its way to 3 hosts; keanu is unreachable"


def mark(state: MarkState, *hosts: str) -> Mark:
    return Mark(
        commit=COMMIT, state=state, text="text", hosts=tuple(map(HostName, hosts))
    )


def test_what_comes_after_success_is_not_the_commits_doing() -> None:
    before = mark(MarkState.SUCCESS)

    assert next_mark(before, mark(MarkState.FAILURE, "keanu")) is None
    assert next_mark(before, mark(MarkState.PENDING)) is None


def test_a_failure_stands_until_the_hosts_have_it_after_all() -> None:
    before = mark(MarkState.FAILURE, "keanu")

    assert next_mark(before, mark(MarkState.PENDING)) is None
    assert next_mark(before, mark(MarkState.FAILURE, "keanu")) is None
    assert next_mark(before, mark(MarkState.FAILURE, "keanu", "lufta"))
    assert next_mark(before, mark(MarkState.SUCCESS))


def test_a_commit_that_comes_back_is_followed_again() -> None:
    assert next_mark(mark(MarkState.SUPERSEDED), mark(MarkState.PENDING))


@given(st.lists(st.sampled_from(MarkState), max_size=20))
def test_looking_again_tells_nothing_new(states: list[MarkState]) -> None:
    before: Mark | None = None
    for state in states:
        before = next_mark(before, mark(state)) or before

    if before is not None:
        again = dataclasses.replace(before, text="in other words")
        assert before.state is MarkState.SUPERSEDED or not next_mark(before, again)
