"""How far a commit has come, and what forges are told of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.messages import Mark, MarkState
from reconciler.model import HostName, HostStatus, Verdict
from reconciler.notify.commits import (
    Stand,
    late_mark,
    mark_of,
    next_mark,
    patient,
    stand_of,
)
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
        # Nobody but itself is to bring it there, once it is awake.
        (replace(away(), verdict=Verdict.SILENT), MarkState.SUCCESS),
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


# --- hosts that stay away --------------------------------------------------------

AWAY = Stand(why="is unreachable", away=True)
PATIENCE = 3600.0  # seconds


def told(stands: dict[HostName, Stand], before: Mark | None, now: float) -> Mark | None:
    """Return what is told next, as a mark that is kept says since when."""
    whole = (COMMIT, HOSTS, stands)
    due = patient(before, mark_of(*whole), late_mark(*whole), waited=PATIENCE, now=now)
    after = next_mark(before, due)
    return replace(after, since=now) if after else None


def test_a_commit_does_not_wait_for_ever_for_hosts_that_are_away() -> None:
    stands = {HOSTS[0]: SUCCESS, HOSTS[1]: AWAY, HOSTS[2]: AWAY}
    pending = told(stands, None, 0.0)
    assert pending is not None
    assert told(stands, pending, PATIENCE - 1) is None

    late = told(stands, pending, PATIENCE)

    assert late is not None
    assert (late.state, late.hosts) == (MarkState.ERROR, HOSTS[1:])
    assert late.text == "keanu, lufta cannot be reached; on 1 of 3 hosts"
    assert told(stands, late, PATIENCE * 2) is None


def test_what_comes_between_begins_the_wait_anew() -> None:
    first = told({HOSTS[1]: AWAY, HOSTS[2]: AWAY}, None, 0.0)
    stands = {HOSTS[0]: SUCCESS, HOSTS[1]: AWAY, HOSTS[2]: SUCCESS}
    second = told(stands, first, PATIENCE - 1)
    assert second is not None

    assert told(stands, second, PATIENCE + 1) is None
    assert told(stands, second, PATIENCE * 2) is not None


def test_a_host_that_comes_back_ends_the_error() -> None:
    gone = {HOSTS[0]: SUCCESS, HOSTS[1]: AWAY, HOSTS[2]: AWAY}
    late = told(gone, told(gone, None, 0.0), PATIENCE)
    one_back = told({**gone, HOSTS[2]: SUCCESS}, late, PATIENCE + 1)
    assert one_back is not None
    assert (one_back.state, one_back.hosts) == (MarkState.ERROR, (HOSTS[1],))

    on_its_way = told({**gone, HOSTS[1]: Stand(), HOSTS[2]: SUCCESS}, one_back, 4000.0)
    assert on_its_way is not None
    assert on_its_way.state is MarkState.PENDING

    done = told(dict.fromkeys(HOSTS, SUCCESS), one_back, 4000.0)
    assert done is not None
    assert done.state is MarkState.SUCCESS


def test_who_waits_for_a_person_is_not_given_up() -> None:
    held = {HOSTS[0]: SUCCESS, HOSTS[1]: Stand(why="is held"), HOSTS[2]: SUCCESS}

    assert told(held, told(held, None, 0.0), PATIENCE * 100) is None


def test_a_failure_says_more_than_a_host_that_is_away() -> None:
    failed = Stand(state=FAILURE, why="unit failed")
    stands = {HOSTS[0]: failed, HOSTS[1]: AWAY}
    before = told(stands, None, 0.0)
    assert before is not None
    assert before.state is FAILURE

    assert told(stands, before, PATIENCE * 2) is None
    assert told({HOSTS[1]: AWAY}, before, PATIENCE * 2) is None


# --- what is news ----------------------------------------------------------------


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
        again = replace(before, text="in other words")
        assert before.state is MarkState.SUPERSEDED or not next_mark(before, again)
