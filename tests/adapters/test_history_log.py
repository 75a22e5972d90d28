"""The log of an attempt, which is bounded, against the lines that went in."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.history import History, logs
from reconciler.model import CommitId, HostName, StorePath, Verdict
from tests.support.budget import examples
from tests.support.places import Place

SELDOM_POSTGRESQL = True

HEAD, TAIL = 60, 40  # bytes, so that small examples go over them

batches = st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=12)


@pytest.fixture
def history(place: Place) -> Iterator[History]:
    with place.opened() as history:
        yield history


def begin(history: History) -> str:
    return history.begin(
        host=HostName("keanu"),
        commit=CommitId("c0ffee"),
        verdict=Verdict.DEPLOY,
        source=None,
        target=StorePath("/nix/store/new-system"),
        now=0,
    ).id


def numbered(sizes: list[list[int]]) -> list[list[str]]:
    """Return batches of lines, each line different, of about the wanted lengths."""
    number = iter(range(1000))
    return [[f"{next(number):03}".ljust(size, "ü") for size in b] for b in sizes]


def size(lines: list[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)


@settings(
    deadline=None,
    max_examples=examples(25),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(batches)
def test_head_and_tail_are_kept_and_the_gap_is_counted(
    history: History, sizes: list[list[int]]
) -> None:
    attempt, script = begin(history), numbered(sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "HEAD", HEAD)
        patch.setattr(logs, "TAIL", TAIL)
        for batch in script:
            history.log(attempt, batch, now=0)
    lines = [line for batch in script for line in batch]

    told = history.attempt_log(attempt)

    gaps = [at for at, line in enumerate(told) if line.startswith("…")]
    if not gaps:
        assert told == lines
        return
    (gap,) = gaps
    head, tail = told[:gap], told[gap + 1 :]
    left_out = len(lines) - len(head) - len(tail)
    assert lines[: len(head)] == head
    assert lines[len(lines) - len(tail) :] == tail
    assert told[gap] == f"… {left_out} lines left out …"
    # Neither part could have kept one more line.
    assert size(head) <= HEAD < size(lines[: len(head) + 1])
    assert size(tail) <= TAIL < size(lines[len(lines) - len(tail) - 1 :])


def test_a_flood_stays_within_a_mebibyte(history: History) -> None:
    attempt = begin(history)
    for number in range(40):
        history.log(attempt, [f"{number:03} {'x' * 95}"] * 1000, now=0)

    told = history.attempt_log(attempt)

    assert 0.9 * 2**20 < size(told) <= logs.HEAD + logs.TAIL + 100
    assert told[0].startswith("000 ")
    assert told[-1].startswith("039 ")


def test_a_line_without_end_is_cut(history: History) -> None:
    attempt = begin(history)
    history.log(attempt, ["x" * (logs.LINE + 7)], now=0)

    (told,) = history.attempt_log(attempt)

    assert told == "x" * logs.LINE + "… (7 more characters)"


def test_logging_nothing_leaves_no_trace(history: History) -> None:
    attempt = begin(history)
    history.log(attempt, [], now=0)

    assert history.attempt_log(attempt) == []
