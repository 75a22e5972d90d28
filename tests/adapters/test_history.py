"""What history keeps and tells again, also after it was closed and opened."""

from collections.abc import Iterator

import pytest

from reconciler.errors import UnknownAttemptError
from reconciler.history import Event, History, Retention, Sighting
from reconciler.history.repository import AWAY, WELL
from reconciler.model import (
    Attempt,
    Commit,
    CommitId,
    Drift,
    DriftKind,
    Effect,
    HostName,
    HostStatus,
    Outcome,
    StepRecord,
    StorePath,
    UnitName,
    Verdict,
)
from tests.support.places import Place

KEANU, LUFTA = HostName("keanu"), HostName("lufta")
OLD, NEW = StorePath("/nix/store/old-system"), StorePath("/nix/store/new-system")
NOON = 1795521600.0  # 2026-11-24 12:00:00 UTC


@pytest.fixture
def history(place: Place) -> Iterator[History]:
    with place.opened() as history:
        yield history


def begin(
    history: History,
    host: HostName = KEANU,
    *,
    target: StorePath = NEW,
    now: float = NOON,
) -> Attempt:
    return history.begin(
        host=host,
        commit=CommitId("c0ffee"),
        verdict=Verdict.DEPLOY,
        source=OLD,
        target=target,
        now=now,
    )


def carried_out(history: History, outcome: Outcome, **kwargs: object) -> Attempt:
    attempt = begin(history, **kwargs)  # type: ignore[arg-type]
    return history.end(attempt.id, outcome, message="", now=NOON + 1)


def commit(name: str) -> Commit:
    return Commit(
        id=CommitId(name),
        tree=f"tree of {name}",
        branch="main",
        subject="Teach the bot a fact",
        author="Cadey <cadey@example.org>",
        committed_at=NOON,
    )


def test_an_attempt_is_told_again_whole(history: History, place: Place) -> None:
    began = begin(history)
    step = StepRecord(name="activate", began_at=NOON, seconds=1.5)
    failed = StepRecord(
        name="start withinbot.service", began_at=NOON + 2, seconds=0.5, error="exit 1"
    )
    history.step(began.id, step)
    history.step(began.id, failed)
    history.log(began.id, ["activating", "starting"], now=NOON)
    ended = history.end(began.id, Outcome.FAILED, message="exit 1", now=NOON + 3)
    history.close()

    reopened = place.open()
    told = reopened.attempt(began.id)
    log = reopened.attempt_log(began.id)
    reopened.close()

    assert told == ended
    assert log == ["activating", "starting"]
    assert told == Attempt(
        id=began.id,
        host=KEANU,
        commit=CommitId("c0ffee"),
        verdict=Verdict.DEPLOY,
        source=OLD,
        target=NEW,
        began_at=NOON,
        ended_at=NOON + 3,
        outcome=Outcome.FAILED,
        message="exit 1",
        steps=(step, failed),
    )


def test_ids_are_short_and_sort_by_time(history: History) -> None:
    first, second = begin(history, now=NOON), begin(history, now=NOON + 1)

    assert first.id.startswith("20261124T120000-")
    assert len(first.id) == 20
    assert first.id < second.id


def test_ids_are_unique_in_one_second(history: History) -> None:
    assert len({begin(history).id for _ in range(700)}) == 700


def test_attempts_come_newest_first_also_after_the_clock_was_set_back(
    history: History,
) -> None:
    earlier = begin(history, now=NOON)
    other = begin(history, LUFTA, now=NOON)
    later = begin(history, now=NOON - 86400)

    assert history.attempts() == [later, other, earlier]
    assert history.attempts(host=KEANU) == [later, earlier]
    assert history.attempts(limit=1) == [later]


def test_each_of_several_attempts_has_its_own_steps(history: History) -> None:
    steps = [StepRecord(name=f"{n}", began_at=NOON, seconds=0) for n in range(3)]
    attempts = [begin(history) for _ in steps]
    for attempt, step in zip(attempts, steps, strict=True):
        history.step(attempt.id, step)

    told = history.attempts()

    assert [attempt.steps for attempt in told] == [(step,) for step in reversed(steps)]


def test_the_first_outcome_stays(history: History) -> None:
    attempt = begin(history)
    history.end(attempt.id, Outcome.ROLLED_BACK, message="unhealthy", now=NOON + 1)

    second = history.end(attempt.id, Outcome.SUCCEEDED, message="", now=NOON + 2)

    assert (second.outcome, second.message) == (Outcome.ROLLED_BACK, "unhealthy")
    assert second == history.attempt(attempt.id)


def test_an_attempt_that_is_not_there_is_named(history: History) -> None:
    for call in (
        lambda: history.attempt("nonsense"),
        lambda: history.attempt_log("nonsense"),
        lambda: history.log("nonsense", ["x"], now=NOON),
        lambda: history.step(
            "nonsense", StepRecord(name="x", began_at=NOON, seconds=0)
        ),
        lambda: history.end("nonsense", Outcome.FAILED, message="", now=NOON),
    ):
        with pytest.raises(UnknownAttemptError, match="nonsense"):
            call()


def test_what_was_applied_was_confirmed_and_only_tried_again_since(
    history: History,
) -> None:
    assert history.applied(KEANU) is None
    carried_out(history, Outcome.SUCCEEDED, target=OLD)
    carried_out(history, Outcome.SUCCEEDED, host=LUFTA)
    assert history.applied(KEANU) == OLD
    running = begin(history)
    assert history.applied(KEANU) is None
    history.end(running.id, Outcome.FAILED, message="", now=NOON)
    assert history.applied(KEANU) is None
    carried_out(history, Outcome.SUCCEEDED)
    assert history.applied(KEANU) == NEW
    carried_out(history, Outcome.ROLLED_BACK)
    assert history.applied(KEANU) == NEW
    carried_out(history, Outcome.FAILED, target=OLD)
    assert history.applied(KEANU) is None


def test_text_that_no_database_keeps_is_mended(history: History) -> None:
    attempt = begin(history)
    history.log(attempt.id, ["caf\udce9 \0 ok", "two\nlines"], now=NOON)
    ended = history.end(attempt.id, Outcome.FAILED, message="\udce9\0", now=NOON)

    assert history.attempt_log(attempt.id) == [r"caf\udce9 \x00 ok", "two", "lines"]
    assert ended.message == r"\udce9\x00"


def test_a_status_is_replaced_whole(history: History) -> None:
    drifting = HostStatus(
        host=KEANU,
        commit=CommitId("c0ffee"),
        updated_at=NOON,
        verdict=Verdict.HEAL,
        reachable=True,
        target=NEW,
        running=OLD,
        drifts=(
            Drift(
                kind=DriftKind.UNIT_STOPPED,
                subject="withinbot.service",
                desired="active",
                observed="inactive",
                effect=Effect.START,
            ),
            Drift(
                kind=DriftKind.KEY_CHANGED,
                subject="withinbot",
                desired="root:root 0600",
                observed="holds something else",
                effect=Effect.DELIVER,
                restarts=(UnitName("withinbot.service"),),
            ),
            Drift(kind=DriftKind.SYSTEM, effect=Effect.NONE, lasting=True),
        ),
        drift_since=NOON - 5,
        units_desired=3,
        units_active=2,
        keys_desired=4,
        keys_present=3,
        address="127.0.80.1",
        tags=("web", "home"),
        error="no",
    )
    in_sync = HostStatus(host=KEANU, commit=CommitId("beef"), updated_at=NOON + 1)
    other = HostStatus(host=HostName("chrysalis"), commit=CommitId("b"), updated_at=0)

    history.save_status(drifting)
    assert history.statuses() == [drifting]
    history.save_status(in_sync)
    history.save_status(other)
    assert history.statuses() == [other, in_sync]


def meet(history: History, host: HostName, machine_id: str) -> None:
    seen = Sighting(machine_id=machine_id, boot_id="b", began_at=NOON, ended_at=NOON)
    history.machines.meet(host, seen)


def test_a_host_that_leaves_keeps_its_attempts_and_its_machine(
    history: History,
) -> None:
    attempt = begin(history)
    meet(history, KEANU, "0123")
    history.save_status(HostStatus(host=KEANU, commit=CommitId("c"), updated_at=NOON))

    history.forget_host(KEANU)

    assert history.statuses() == []
    assert history.attempts(host=KEANU) == [attempt]
    assert history.machines.id_of(KEANU) == "0123"


def test_delivered_keys_are_known_until_they_are_removed(history: History) -> None:
    bot, wifi = "/run/keys/withinbot", "/run/keys/wi fi"
    assert history.delivered(KEANU) == frozenset()

    history.note_delivered(KEANU, [bot])
    history.note_delivered(KEANU, [wifi, bot, wifi])
    history.note_delivered(HostName("lufta"), [bot])
    assert history.delivered(KEANU) == {bot, wifi}
    history.forget_host(KEANU)
    assert history.delivered(KEANU) == {bot, wifi}, "they are still there"
    history.note_removed(KEANU, [bot, "/run/keys/never"])

    assert history.delivered(KEANU) == {wifi}
    assert history.delivered(HostName("lufta")) == {bot}


def test_the_last_commit_is_the_one_seen_last_also_if_it_is_older(
    history: History,
) -> None:
    assert history.last_commit() is None
    history.save_commit(commit("a"))
    history.save_commit(commit("b"))
    assert history.last_commit() == commit("b")
    history.save_commit(commit("a"))
    assert history.last_commit() == commit("a")


def test_an_evaluation_is_found_by_its_key(history: History) -> None:
    assert history.evaluation("tree keanu") is None
    history.save_evaluation("tree keanu", "one", now=NOON)
    history.save_evaluation("tree lufta", "other", now=NOON)
    history.save_evaluation("tree keanu", "two", now=NOON)
    assert history.evaluation("tree keanu") == "two"


def test_events_are_told_newest_first(history: History) -> None:
    history.event(now=NOON, kind="commit-unreadable", text="syntax error")
    history.event(now=NOON + 1, kind="trust", text="key", host=KEANU, actor="cadey")
    trust = Event(at=NOON + 1, kind="trust", host=KEANU, actor="cadey", text="key")
    unreadable = Event(
        at=NOON, kind="commit-unreadable", host=None, actor="", text="syntax error"
    )

    assert history.events() == [trust, unreadable]
    assert history.events(host=KEANU) == [trust]
    assert history.events(limit=1) == [trust]


def test_pruning_keeps_what_is_still_needed(history: History) -> None:
    applied = carried_out(history, Outcome.SUCCEEDED, now=0)
    for _ in range(3):
        carried_out(history, Outcome.FAILED, now=0)
    running = begin(history, now=0)
    last = carried_out(history, Outcome.FAILED, now=0)
    only = carried_out(history, Outcome.FAILED, host=LUFTA, now=0)

    history.prune(now=NOON)

    assert history.attempts() == [only, last, running, applied]


def test_pruning_keeps_so_many_of_each_host(history: History) -> None:
    kept = [carried_out(history, Outcome.SUCCEEDED) for _ in range(5)][2:]
    other = carried_out(history, Outcome.SUCCEEDED, host=LUFTA)

    history.prune(now=NOON, keep=Retention(attempts=3))

    assert history.attempts() == [other, *reversed(kept)]


def test_pruning_takes_steps_and_log_along_and_old_logs_before_their_attempts(
    history: History,
) -> None:
    old, young = begin(history), begin(history)
    for attempt, day in ((old, 1), (young, 2)):
        history.log(attempt.id, ["said"], now=NOON)
        history.end(attempt.id, Outcome.FAILED, message="", now=day * 86400)

    history.prune(
        now=10 * 86400, keep=Retention(log_seconds=8.5 * 86400, attempt_seconds=NOON)
    )

    assert history.attempt_log(old.id) == []
    assert history.attempt_log(young.id) == ["said"]


def test_a_pruned_attempt_leaves_nothing_behind(history: History, place: Place) -> None:
    for _ in range(3):
        attempt = begin(history)
        history.log(attempt.id, ["said"], now=NOON)
        step = StepRecord(name="copy", began_at=NOON, seconds=1)
        history.step(attempt.id, step)
        history.end(attempt.id, Outcome.SUCCEEDED, message="", now=NOON)

    history.prune(now=NOON, keep=Retention(attempts=1))

    for table in ("attempts", "steps", "log_lines"):
        assert place.run(f"SELECT count(*) FROM {table}") == [(1,)], table  # noqa: S608


def test_pruning_keeps_the_newest_evaluations_and_every_event(
    history: History,
) -> None:
    for key in "abc":
        history.save_evaluation(key, key, now=NOON)
    history.save_evaluation("a", "again", now=NOON)
    history.event(now=0, kind="trust", text="long ago")

    history.prune(now=NOON, keep=Retention(evaluations=2))

    assert [history.evaluation(key) for key in "abc"] == ["again", None, "c"]
    assert [event.text for event in history.events()] == ["long ago"]


def test_what_ails_the_repository_stays_known_whatever_else_happens(
    history: History, place: Place
) -> None:
    history.repository.note(AWAY, "Connection refused", now=NOON)
    for number in range(250):
        history.event(now=NOON + number, kind="hold", host=KEANU, text=str(number))
    history.close()

    reopened = place.open()
    try:
        assert reopened.repository.problem() == "Connection refused"
        reopened.repository.note(AWAY, "Connection refused", now=NOON + 300)
        assert [e.kind for e in reopened.events(limit=251)].count(AWAY) == 1
        reopened.repository.note(WELL, "", now=NOON + 301)
        assert reopened.repository.problem() == ""
    finally:
        reopened.close()


def test_what_is_read_at_once_is_of_one_state(history: History, place: Place) -> None:
    """A plan was made of what eight transactions said, one after another."""
    with history.at_once():
        assert not history.is_adopted(KEANU)
        with place.opened() as another:
            another.adopt(KEANU, now=NOON)
            another.adopt(LUFTA, now=NOON)
        with history.at_once():
            assert not history.is_adopted(KEANU)
        assert not history.is_adopted(LUFTA)

    assert history.is_adopted(KEANU)


def test_nothing_is_written_while_a_thread_reads_at_once(history: History) -> None:
    with history.at_once(), pytest.raises(RuntimeError, match="nothing is written"):
        history.adopt(KEANU, now=NOON)

    assert history.adopt(KEANU, now=NOON)


def test_who_could_not_read_at_once_can_go_on(history: History) -> None:
    with pytest.raises(UnknownAttemptError), history.at_once():
        history.attempt("20261124T120000-3f2a")

    assert history.adopt(KEANU, now=NOON)
