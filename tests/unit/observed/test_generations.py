"""What a host says of its generations, and which one is gone back to."""

import pytest

from reconciler.errors import FactError
from reconciler.model import HostName, StorePath
from reconciler.observed import Generation, previous
from reconciler.observed.generations import parse

HOST = HostName("lufta")
A, B, C = (StorePath(f"/nix/store/{name}-nixos-system-lufta") for name in "abc")

ANSWER = f"""\
10 1795521600 {B} 24.05.20240601.abcdef "a b"
9 1795521000 {A}\x20
is running {B}
is booted {A}
is default 10
end
"""


def test_an_answer_is_read_in_the_order_of_numbers() -> None:
    nine, ten = parse(ANSWER, host=HOST)

    assert nine == Generation(number=9, toplevel=A, made_at=1795521000.0, booted=True)
    assert ten == Generation(
        number=10,
        toplevel=B,
        made_at=1795521600.0,
        label='24.05.20240601.abcdef "a b"',
        running=True,
        default=True,
    )


def test_a_host_without_profiles_has_none() -> None:
    assert parse("", host=HOST) == []


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER.removesuffix("end\n"),
        ANSWER.replace("10 1795521600", "10 ?"),
        ANSWER.replace(str(B), "/elsewhere"),
        "sh: 1: stat: not found\n",
    ],
)
def test_an_answer_that_is_cut_or_odd_is_refused(answer: str) -> None:
    with pytest.raises(FactError, match="lufta: the list of its generations"):
        parse(answer, host=HOST)


def made(*systems: StorePath, running: StorePath, default: int) -> list[Generation]:
    return [
        Generation(
            number=number,
            toplevel=system,
            made_at=0,
            running=system == running,
            default=number == default,
        )
        for number, system in enumerate(systems, 1)
    ]


@pytest.mark.parametrize(
    ("found", "number"),
    [
        pytest.param(made(A, B, C, running=C, default=3), 2, id="the one before"),
        pytest.param(made(A, B, B, running=B, default=3), 1, id="of another system"),
        pytest.param(made(A, B, C, running=B, default=2), 1, id="not a newer one"),
        pytest.param(made(A, B, running=C, default=2), 2, id="runs by test only"),
        pytest.param(made(A, B, running=B, default=0), 1, id="no default"),
        pytest.param(made(A, running=A, default=1), None, id="the only one"),
        pytest.param([], None, id="none at all"),
    ],
)
def test_the_way_back_leads_to_the_last_other_system(
    found: list[Generation], number: int | None
) -> None:
    chosen = previous(found)

    assert (chosen.number if chosen else None) == number
