"""What goes together, and in which order."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.messages import Kind, Message, Waiting
from reconciler.notify.groups import next_group, opens_in

messages = st.builds(
    Message,
    key=st.just("key"),
    kind=st.sampled_from([Kind.UNREACHABLE, Kind.BACK, Kind.DEPLOYED]),
    at=st.just(0.0),
    host=st.sampled_from(["lufta", "keanu", "chrysalis"]),
    commit=st.sampled_from(["a", "b"]),
)
boxes = st.lists(messages, max_size=20).map(
    lambda found: [Waiting(seq=n, message=one) for n, one in enumerate(found)]
)


def waiting(seq: int, kind: Kind, host: str, at: float = 0.0) -> Waiting:
    message = Message(key=f"{host}/{seq}", kind=kind, at=at, host=host, commit="a")
    return Waiting(seq=seq, message=message)


def deliveries(box: list[Waiting]) -> list[tuple[Waiting, ...]]:
    done: list[tuple[Waiting, ...]] = []
    while group := next_group(box):
        done.append(group)
        box = [one for one in box if one not in group]
    return done


@given(boxes)
def test_every_letter_is_delivered_once(box: list[Waiting]) -> None:
    numbers = [letter.seq for group in deliveries(box) for letter in group]

    assert sorted(numbers) == [letter.seq for letter in box]


@given(boxes)
def test_what_is_told_of_one_host_stays_in_order(box: list[Waiting]) -> None:
    for host in ("lufta", "keanu", "chrysalis"):
        numbers = [
            letter.seq
            for group in deliveries(box)
            for letter in group
            if letter.message.host == host
        ]
        assert numbers == sorted(numbers)


@given(boxes)
def test_a_delivery_is_of_one_kind_and_commit(box: list[Waiting]) -> None:
    for group in deliveries(box):
        assert len({(one.message.kind, one.message.commit) for one in group}) == 1


def test_one_commit_on_many_hosts_is_one_delivery() -> None:
    hosts = [f"host{number}" for number in range(12)]
    box = [waiting(n, Kind.DEPLOYED, host) for n, host in enumerate(hosts)]

    assert deliveries(box) == [tuple(box)]


def test_a_group_opens_with_its_first_message() -> None:
    group = (waiting(1, Kind.BACK, "lufta", at=100.0),)

    assert opens_in(group, now=103.0, window=10.0) == 7.0
    assert opens_in(group, now=111.0, window=10.0) == 0.0


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    group = (
        Waiting(
            seq=1,
            message=waiting(1, Kind.BACK, "lufta", at=90_000.0).message,
            next_at=90_100.0,
        ),
    )

    assert opens_in(group, now=100.0, window=10.0) == 0.0
