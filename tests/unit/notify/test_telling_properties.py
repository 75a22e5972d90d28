"""The three promises of what is told, against whatever can happen to a host."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from reconciler.messages import Kind, Message
from reconciler.model import (
    Attempt,
    Drift,
    DriftKind,
    HostStatus,
    Outcome,
    Reason,
    Verdict,
)
from reconciler.notify.telling import ENDS, About, Flap, Teller
from reconciler.notify.told import Told, begin, from_json, to_json
from tests.unit.notify.samples import (
    BOT,
    FACTS,
    NEW,
    NOW,
    OLD,
    attempt,
    away,
    held,
    quarantined,
    status,
    stopped,
    to_deploy,
)

FLAP = Flap(changes=4, window=600.0)


@dataclass(frozen=True)
class Event:
    """One pass: what it found, and the attempt that it made, if any."""

    status: HostStatus
    problem: str = ""
    attempt: Attempt | None = None
    after: float = 1.0  # seconds since the pass before


statuses = st.one_of(
    st.sampled_from(
        [
            status(),
            status(target=OLD, running=OLD),
            away(),
            away("refused"),
            status(None, error="does not evaluate"),
            to_deploy(),
            to_deploy("it failed"),
            to_deploy("it failed", target=OLD),
            held(status(Verdict.HELD, error="held: mine", drifts=stopped(BOT))),
            held(status()),
            held(away()),
            quarantined(status(Verdict.QUARANTINED, error="failed", running=OLD)),
            status(Verdict.BLOCKED, error="another machine"),
        ]
    ),
    st.builds(
        status,
        st.sampled_from([Verdict.REPORTED, Verdict.HEAL]),
        error=st.sampled_from(["", "cannot"]),
        drifts=st.sampled_from(
            [
                stopped(BOT),
                stopped(FACTS),
                stopped(BOT, FACTS),
                (Drift(kind=DriftKind.SYSTEM),),
            ]
        ),
        running=st.sampled_from([OLD, NEW]),
    ),
)
attempts = st.builds(
    attempt,
    st.integers(0, 99),
    verdict=st.sampled_from([Verdict.DEPLOY, Verdict.HEAL]),
    outcome=st.sampled_from(Outcome),
    reason=st.sampled_from([None, Reason.UNHEALTHY, Reason.ASKED]),
    target=st.sampled_from([OLD, NEW]),
)
events = st.builds(
    Event,
    statuses,
    problem=st.sampled_from(["", "", "no such option"]),
    attempt=st.none() | attempts,
    after=st.sampled_from([0.0, 1.0, 100.0, 700.0]),
)
histories = st.lists(events, max_size=30)


def tell(told: Told, event: Event, now: float) -> tuple[Told, list[Message]]:
    teller = Teller(told, About(host="lufta"), flap=FLAP, now=now)
    if event.attempt is not None:
        teller.attempt(event.attempt, event.status.target)
    teller.status(event.status, event.problem)
    return teller.told, teller.messages


def tell_all(history: Sequence[Event]) -> tuple[Told, float, list[Message]]:
    told, now, messages = begin(NOW), NOW, []
    for event in history:
        now += event.after
        told, new = tell(told, event, now)
        messages += new
    return told, now, messages


@given(histories, events)
def test_nothing_is_told_that_did_not_change(
    history: list[Event], event: Event
) -> None:
    told, now, _ = tell_all([*history, event])
    again = Event(status=event.status, problem=event.problem)

    after, messages = tell(told, again, now)

    assert messages == []
    assert after == told


@given(histories)
def test_every_bad_state_that_was_told_is_followed_by_its_end(
    history: list[Event],
) -> None:
    # In the end all is well, and stays so.
    well = [Event(status=status(), after=700.0)] * 3
    _, _, messages = tell_all([*history, *well])

    open_ones: set[Kind] = set()
    for message in messages:
        still = message.kind is Kind.STEADY and message.text.startswith("still")
        if message.kind is Kind.FLAPPING or still:
            open_ones |= set(message.about)
        else:
            open_ones -= set(message.about)
        if message.kind in ENDS:
            open_ones.add(message.kind)
    assert open_ones == set()


@given(histories)
def test_while_something_flaps_nobody_hears_of_it(history: list[Event]) -> None:
    _, _, messages = tell_all(history)

    flapping: set[Kind] = set()
    for message in messages:
        concerned = {message.kind, *message.about}
        if message.kind is Kind.STEADY:
            assert concerned & flapping
            flapping -= concerned
        else:
            assert not concerned & flapping
        if message.kind is Kind.FLAPPING:
            flapping |= set(message.about)


@given(histories)
def test_no_two_messages_have_the_same_key(history: list[Event]) -> None:
    keys = [message.key for message in tell_all(history)[2]]

    assert len(keys) == len(set(keys))


@given(histories)
def test_what_is_kept_is_what_was_told(history: list[Event]) -> None:
    told, _, _ = tell_all(history)

    assert from_json(to_json(told)) == told
