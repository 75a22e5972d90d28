"""What the journal's answer about services that work in rounds says."""

import json

import pytest

from reconciler.model import UnitName
from reconciler.observed.rounds import END, ENDED_WELL, FAILED, LATE, parse

ROUND, CRASH, OTHER = map(UnitName, ("round.service", "crash.service", "o.service"))


def entry(unit: str, how: str) -> str:
    return json.dumps({"__CURSOR": "s=1", "UNIT": unit, "MESSAGE_ID": how})


def test_each_end_must_be_a_good_one() -> None:
    ends = [
        entry(ROUND, ENDED_WELL),
        entry(CRASH, ENDED_WELL),
        entry(ROUND, ENDED_WELL),
        entry(CRASH, FAILED),
        entry("nobody-asked.service", ENDED_WELL),
    ]

    assert parse("\n".join([*ends, END, ""]), [ROUND, CRASH, OTHER]) == {ROUND}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "cut off"),
        (entry(ROUND, ENDED_WELL), "cut off"),
        (f"{entry(ROUND, ENDED_WELL)}\n{LATE}\n", "not answer in time"),
        (f"{{}}\n{END}\n", "another form"),
        (f"7\n{END}\n", "another form"),
        (f"{entry(ROUND, ENDED_WELL)[:-3]}\n{END}\n", "another form"),
    ],
)
def test_an_answer_that_is_not_whole_is_none(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse(text, [ROUND])
