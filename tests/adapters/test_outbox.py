"""The outbox in a real database: nothing told that is not on its way."""

import dataclasses
from collections.abc import Iterator

import pytest

from reconciler.history import History
from reconciler.history.letters import KEEP_ENDED, MOST
from reconciler.history.outbox import AT_ONCE, Outbox
from reconciler.messages import Kind, Letter, Mark, MarkState, Message, Telling
from reconciler.model import CommitId, HostName
from tests.support.places import Place

SELDOM_POSTGRESQL = True

COMMIT, OTHER = CommitId("a" * 40), CommitId("b" * 40)
FORGE = "github me/x reconciler"


@pytest.fixture
def history(place: Place) -> Iterator[History]:
    with place.opened() as history:
        yield history


@pytest.fixture
def outbox(history: History) -> Outbox:
    return history.outbox


def letter(key: str, *, target: str = "phone", at: float = 0.0) -> Letter:
    message = Message(
        key=key,
        kind=Kind.HEALED,
        at=at,
        host="lufta",
        text="naïve \udcff\0",
        about=(Kind.DRIFT,),
        tags=("home",),
    )
    return Letter(target=target, message=message)


def put(outbox: Outbox, *letters: Letter, told: str = "{}") -> None:
    outbox.tell("lufta", lambda _before: Telling(told=told, letters=letters))


def keys(outbox: Outbox, target: str = "phone") -> list[str]:
    return [waiting.message.key for waiting in outbox.waiting(target)]


def test_what_was_told_and_its_letters_are_kept_together(outbox: Outbox) -> None:
    put(outbox, letter("1"), letter("2"), letter("1", target="mail"), told="this")

    assert outbox.told() == {"lufta": "this"}
    assert outbox.told_of("lufta") == "this"
    assert keys(outbox) == ["1", "2"]
    assert outbox.targets() == {"phone", "mail"}


def test_a_letter_comes_back_as_it_was_put(outbox: Outbox) -> None:
    put(outbox, letter("1"))

    (found,) = outbox.waiting("phone")
    expected = dataclasses.replace(letter("1").message, text=found.message.text)
    assert found.message == expected
    assert found.message.text.startswith("naïve")


def test_a_step_that_fails_keeps_neither(outbox: Outbox) -> None:
    put(outbox, told="before")
    calls = 0

    def step(_before: str | None) -> Telling:
        nonlocal calls
        calls += 1
        if calls > 1:  # with the database locked
            raise ZeroDivisionError
        return Telling(told="after", letters=(letter("1"),))

    with pytest.raises(ZeroDivisionError):
        outbox.tell("lufta", step)

    assert outbox.told() == {"lufta": "before"}
    assert keys(outbox) == []


def test_a_step_sees_what_another_process_told_meanwhile(
    outbox: Outbox, place: Place
) -> None:
    seen: list[str | None] = []
    other = place.open()

    def step(before: str | None) -> Telling:
        seen.append(before)
        if len(seen) == 1:
            put(other.outbox, told="theirs")
        return Telling(told="ours")

    outbox.tell("lufta", step)
    other.close()

    assert seen == [None, "theirs"]


def test_nothing_new_writes_nothing(outbox: Outbox) -> None:
    assert not outbox.tell("lufta", lambda _before: None)
    assert outbox.told() == {}


def test_a_message_goes_to_a_target_once(outbox: Outbox) -> None:
    put(outbox, letter("1"))
    put(outbox, letter("1"))
    assert keys(outbox) == ["1"]

    outbox.accepted([outbox.waiting("phone")[0].seq], now=1.0)
    put(outbox, letter("1"))

    assert keys(outbox) == []


def test_a_failure_is_kept_with_its_reason_until_the_next_try(outbox: Outbox) -> None:
    put(outbox, letter("1"))
    (waiting,) = outbox.waiting("phone")

    outbox.failed([waiting.seq], error="refused", next_at=70.0)

    (again,) = outbox.waiting("phone")
    assert (again.tries, again.next_at, again.error) == (1, 70.0, "refused")
    left = outbox.backlog("phone")
    assert (left.waiting, left.error) == (1, "refused")


def test_too_old_and_too_many_letters_are_given_up_oldest_first(
    outbox: Outbox,
) -> None:
    put(outbox, *(letter(str(n), at=float(n)) for n in range(MOST + 5)))

    old = outbox.give_up("phone", before=3.0, now=10.0)
    many = outbox.give_up("phone", before=3.0, now=10.0)

    # Five too many, three of those too old as well.
    assert [one.message.key for one in old] == ["0", "1", "2", "3", "4"]
    assert many == []
    assert outbox.backlog("phone").waiting == MOST
    assert len(outbox.waiting("phone")) == AT_ONCE


def test_what_is_done_with_is_forgotten_in_the_end(outbox: Outbox) -> None:
    put(outbox, letter("1"))
    outbox.accepted([outbox.waiting("phone")[0].seq], now=1.0)
    assert outbox.backlog("phone").accepted_at == 1.0

    outbox.accepted([], now=KEEP_ENDED + 2.0)

    assert outbox.backlog("phone").accepted_at == 0.0


def test_forgetting_a_subject_says_so_at_the_same_time(outbox: Outbox) -> None:
    put(outbox)

    outbox.forget("lufta", [letter("last")])

    assert outbox.told() == {}
    assert keys(outbox) == ["last"]


# --- marks -----------------------------------------------------------------------


def mark(state: MarkState, commit: CommitId = COMMIT) -> Mark:
    return Mark(commit=commit, state=state, text="text", hosts=(HostName("lufta"),))


def save(outbox: Outbox, new: Mark, now: float = 0.0) -> None:
    assert outbox.mark(FORGE, new.commit, lambda _before: new, now)


def test_the_newest_mark_of_a_commit_is_the_one_that_is_sent(outbox: Outbox) -> None:
    save(outbox, mark(MarkState.PENDING))
    save(outbox, mark(MarkState.SUCCESS))

    (waiting,) = outbox.waiting_marks(FORGE)
    assert waiting.mark == mark(MarkState.SUCCESS)


def test_a_mark_that_changed_while_it_was_sent_is_sent_again(outbox: Outbox) -> None:
    save(outbox, mark(MarkState.PENDING))
    (sent,) = outbox.waiting_marks(FORGE)
    save(outbox, mark(MarkState.FAILURE))

    outbox.mark_ended(FORGE, sent, now=1.0)

    (waiting,) = outbox.waiting_marks(FORGE)
    assert waiting.mark.state is MarkState.FAILURE
    outbox.mark_ended(FORGE, waiting, now=2.0)
    assert outbox.waiting_marks(FORGE) == []


def test_a_refused_mark_is_shown_with_the_reason(outbox: Outbox) -> None:
    save(outbox, mark(MarkState.PENDING))

    outbox.mark_ended(FORGE, outbox.waiting_marks(FORGE)[0], now=1.0, error="401")

    left = outbox.mark_backlog(FORGE)
    assert (left.waiting, left.error, left.accepted_at) == (0, "401", 0.0)


def test_only_what_was_on_its_way_is_superseded(outbox: Outbox) -> None:
    done = CommitId("c" * 40)
    save(outbox, mark(MarkState.PENDING))
    save(outbox, mark(MarkState.PENDING, OTHER), now=1.0)
    save(outbox, mark(MarkState.SUCCESS, done), now=2.0)

    outbox.supersede(FORGE, OTHER, "superseded by bbbbbbbb", 3.0)

    states = {one.mark.commit: one.mark.state for one in outbox.waiting_marks(FORGE)}
    assert states == {
        COMMIT: MarkState.SUPERSEDED,
        OTHER: MarkState.PENDING,
        done: MarkState.SUCCESS,
    }
