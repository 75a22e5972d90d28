"""Answers that nobody can understand: always a FactError that names host and lack."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import FactError
from reconciler.model import HostName, UnitName
from reconciler.observed.answer import LIMIT
from reconciler.observed.probe import parse

GOOD = (
    Path(__file__).with_name("recordings") / "debian-12-systemd-252.txt"
).read_text()
LINES = GOOD.splitlines(keepends=True)
ASKED = (UnitName("steady.service"), UnitName("worker@.service"))


def refuse(text: str) -> str:
    with pytest.raises(FactError) as caught:
        parse(text, host=HostName("lufta"), asked=ASKED, now=0.0)
    return str(caught.value)


@pytest.mark.parametrize("text", ["", "\n", "bash: sh: command not found\n", "== host"])
def test_an_answer_without_sections(text: str) -> None:
    assert refuse(text).startswith("lufta: the answer to the probe is not understood")


@given(st.integers(min_value=0, max_value=GOOD.rindex("== end") + 5))
def test_a_truncated_answer(length: int) -> None:
    refuse(GOOD[:length])


def test_a_huge_answer() -> None:
    assert "longer than" in refuse(GOOD + "x" * LIMIT)


@pytest.mark.parametrize(
    ("old", "new", "lack"),
    [
        ("boot_id=", "boot=", "no boot_id"),
        ("clock=", "clock=late", "clock is 'late"),
        ("clock=", "clock=nan ", "clock is 'nan'"),
        ("uptime=", "uptime=- ", "uptime is '-'"),
        ("store_free=", "store_free=many ", "store_free is 'many "),
        ("systemctl=0", "systemctl=", "no systemctl"),
        ("systemctl=0", "systemctl=124", "did not end in time"),
        ("LoadState=loaded", "Load=", "has no LoadState"),
        ("NRestarts=0", "NRestarts=few", "NRestarts that is no number: 'few'"),
        ("== resolved\n", "== resolved\n/one/more\n", "paths"),
        ("FragmentPath=/", "FragmentPath=/else/", "where /else/"),
    ],
)
def test_what_is_missing_is_named(old: str, new: str, lack: str) -> None:
    assert lack in refuse(GOOD.replace(old, new, 1))


def test_busybox_knows_no_nanoseconds() -> None:
    text = GOOD.replace(GOOD[GOOD.index("clock=") :].splitlines()[0], "clock=17.%N")

    assert parse(text, host=HostName("lufta"), asked=(), now=0.0).clock == 17.0


def test_a_host_without_nixos() -> None:
    systems = 11  # links and parts, first in both lists
    paths, resolved = LINES.index("== paths\n") + 1, LINES.index("== resolved\n") + 1
    lines = list(LINES)
    del lines[resolved : resolved + systems], lines[paths : paths + systems]

    observed = parse("".join(lines), host=HostName("x"), asked=(), now=0.0)

    assert observed.running is None
    assert observed.booted is None
    assert observed.profile is None
    assert observed.running_parts.kernel == ""


@given(st.text())
def test_garbage(text: str) -> None:
    refuse(text)


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(LINES) - 1),
            st.one_of(st.just(""), st.text(max_size=40), st.sampled_from(LINES)),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_no_damage_to_an_answer_causes_another_error(
    damage: list[tuple[int, str]],
) -> None:
    lines = list(LINES)
    for index, line in damage:
        lines[index] = line
    with contextlib.suppress(FactError):
        parse("".join(lines), host=HostName("lufta"), asked=ASKED, now=0.0)
