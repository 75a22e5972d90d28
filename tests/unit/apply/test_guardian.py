"""What the guardian's answers mean."""

import pytest

from reconciler.apply.guardian import Decision, Limits, Order, Result, read, start
from reconciler.errors import (
    ActivationError,
    ConnectError,
    FactError,
    ReconcilerError,
    RemoteError,
    RemoteTimeoutError,
)
from reconciler.model import HostName, StorePath
from tests.support.host import FakeHost

HOST = FakeHost(host=HostName("lufta"))
ORDER = Order(
    attempt="a",
    new=StorePath("/nix/store/new"),
    old=StorePath("/nix/store/old"),
    limits=Limits(arm=1, switch=2, confirm=3, roll_back=4),
)


def test_a_guardian_that_waits() -> None:
    text = "activating\nstarting\nguardian waiting 4 - - active start\n"

    found = read(text, writer=HOST)

    assert (found.waits, found.switching, found.status) == (True, False, 4)
    assert (found.decision, found.result) == (None, None)
    assert found.log == "activating\nstarting"


def test_a_guardian_that_has_decided_waits_for_nobody() -> None:
    found = read("guardian waiting 0 rollback - active start\n", writer=HOST)

    assert found.decision is Decision.ROLL_BACK
    assert not found.waits


def test_a_guardian_that_was_ended_does_nothing_by_itself() -> None:
    for phase in ("switching", "waiting"):
        found = read(f"guardian {phase} 0 - - inactive start\n", writer=HOST)
        assert not found.waits
        assert not found.switching


def test_one_that_has_not_begun_is_switching() -> None:
    assert read("guardian - - - - activating start\n", writer=HOST).switching


def test_the_end_of_an_attempt() -> None:
    text = "guardian rolling-back 1 rollback rolled-back inactive start\n"

    assert read(text, writer=HOST).result is Result.ROLLED_BACK


def test_a_host_that_has_nothing_of_the_attempt() -> None:
    found = read("guardian gone - - - - start\n", writer=HOST)

    assert not found.known
    assert not found.switching, "it was booted meanwhile: nobody waits for that"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "guardian waiting 0 - start\n",
        "guardian waiting zero - - active start\n",
        "guardian waiting 0 perhaps - active start\n",
        "Welcome to lufta!\n",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(FactError, match="lufta: the guardian's answer"):
        read(text, writer=HOST)


@pytest.mark.parametrize("status", [3, 4])
def test_who_else_is_switching_is_told(status: int) -> None:
    error = RemoteError(
        "start", host="lufta", status=status, stderr="somebody runs nixos-rebuild\n"
    )
    host = FakeHost(host=HostName("lufta"), failure=error)

    with pytest.raises(ActivationError, match="somebody runs nixos-rebuild") as told:
        start(host, ORDER, wait=1.0)

    assert told.value.status == status


@pytest.mark.parametrize(
    "error",
    [
        RemoteTimeoutError("start", host="lufta", seconds=20),
        RemoteError("start", host="lufta", status=1, stderr="sudo: no tty\n"),
        RemoteError("start", host="lufta", status=255, stderr=""),
        ConnectError("lufta: the connection broke", host="lufta"),
    ],
    ids=["silent", "no sudo", "a status of another", "broken"],
)
def test_what_is_no_word_of_the_host_may_have_begun(error: ReconcilerError) -> None:
    """An attempt that has begun on the host, and is taken for failed, is lost."""
    host = FakeHost(host=HostName("lufta"), failure=error)

    with pytest.raises(type(error)) as told:
        start(host, ORDER, wait=1.0)

    assert told.value is error


@pytest.mark.parametrize("unit", ["-", "unknown", "Failed"])
def test_a_systemd_that_does_not_answer_says_nothing(unit: str) -> None:
    """As while it is executed anew: that is no dead guardian."""
    waiting = read(f"guardian waiting 0 - - {unit} start\n", writer=HOST)
    switching = read(f"guardian switching - - - {unit} start\n", writer=HOST)

    assert waiting.alive is None
    assert waiting.waits
    assert switching.switching


def test_no_limit_is_forgotten_in_the_total() -> None:
    assert ORDER.limits.total == 1 + 2 * 2 + 3 + 2 * 4
