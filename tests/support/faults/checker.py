"""
What is promised after any fault, checked on the host and in history.

    before = Before.of(rig)
    …                                   # push, strike, end the fault
    check_settled(rig, before, ends=Ends.NEW)

`Complaint` says what is broken. Nothing here believes what the reconciler says of the
host: see `survey`.
"""

import contextlib
import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from reconciler.attempt.limits import ARM_SECONDS
from reconciler.model import Attempt, Outcome
from tests.support.extra import attempts
from tests.support.faults.releases import HOST
from tests.support.faults.survey import Survey, survey
from tests.support.rig import Rig
from tests.support.wait import wait_until

PAUSE = 0.3  # seconds: to look at a host takes many processes
SETTLED = 120.0  # seconds within which everything is to be over, backoff included
ALONE = ARM_SECONDS + SETTLED  # seconds: nobody may come to tell a guardian to go on
QUARANTINED = "quarantined"  # the verdict


Look = tuple[list[str], list[Attempt], Survey]
"""What is wrong, the attempts since, and the host."""


class Ends(enum.Enum):
    """Which system a host is to end on."""

    NEW = "what the newest commit says, which ran never before"
    BACK = "what the newest commit says, which is what ran before"
    OLD = "what ran before, since the newest commit is bad"
    EITHER = "one of both: it is good, and may have taken too long"
    KEPT = "what ran before, since the newest commit refuses, and is asked again"


class Complaint(AssertionError):  # noqa: N818 # what the checker says, not an error
    """A promise is broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """A sound host, before a trial."""

    running: str
    attempts: frozenset[str]
    activations: int

    @classmethod
    def of(cls, rig: Rig) -> Self:
        """Take note of the host as it is, once what heals it has ended."""
        wait_until(lambda: not survey(rig.host(HOST)).whole(), SETTLED, "a sound host")
        found = survey(rig.host(HOST))
        return cls(
            running=found.running,
            attempts=frozenset(one.id for one in attempts(rig, HOST)),
            activations=len(found.activations()),
        )

    def trial(self, rig: Rig) -> list[Attempt]:
        """Return the attempts since, oldest first."""
        made = attempts(rig, HOST)[::-1]
        return [one for one in made if one.id not in self.attempts]


def check_settled(
    rig: Rig, before: Before, ends: Ends, *, within: float = SETTLED
) -> list[Attempt]:
    """
    Wait until all is over, and check every promise; return the attempts there were.

    Raises Complaint, after *within* seconds.
    """

    def look() -> Look:
        made = before.trial(rig)
        found = survey(rig.host(HOST))
        wrong = [*_unsettled(rig, made, ends), *_wrong(before, made, found)]
        if not _is_where_it_should(before, found, ends, _verdict(rig)):
            wrong.append(f"it runs {found.running} instead of {ends.value}")
        return wrong, made, found

    def is_given_up() -> bool:
        """Whether the reconciler will not try again by itself what should run."""
        status = rig.status().get(HOST, {})
        # Of the release before, which may well be in quarantine, it says nothing.
        is_new = status.get("commit") == rig.repository.head
        return ends is Ends.NEW and is_new and status.get("verdict") == QUARANTINED

    made, _ = _patiently(look, within, is_given_up)
    return made


def check_alone(rig: Rig, before: Before, *, within: float = ALONE) -> Survey:
    """
    Check a host whose reconciler stays away, once its guardian is done.

    Raises Complaint, after *within* seconds.
    """

    def look() -> Look:
        made = before.trial(rig)
        found = survey(rig.host(HOST))
        wrong = ["a guardian is at work"] if found.guarded else []
        wrong += [*_wrong_boot(before, made, found), *found.whole()]
        if found.running != found.boots[1]:
            wrong.append("it runs what is neither confirmed nor rolled back")
        return wrong, made, found

    _, found = _patiently(look, within)
    return found


def check_boot_default(rig: Rig, before: Before) -> None:
    """Check, at any moment, that the host would boot a confirmed system."""
    # In this order: what is confirmed meanwhile is no reason to complain.
    found = survey(rig.host(HOST))
    made = before.trial(rig)
    if wrong := _wrong_boot(before, made, found):
        _complain(wrong, made, found)


def _patiently(
    look: Callable[[], Look],
    within: float,
    is_given_up: Callable[[], bool] = lambda: False,
) -> tuple[list[Attempt], Survey]:
    """Look until nothing is wrong; complain if something is after *within* seconds."""
    last = look()

    def is_right() -> bool:
        nonlocal last
        hopeless = is_given_up()
        last = look()
        return hopeless or not last[0]

    with contextlib.suppress(AssertionError):
        wait_until(is_right, within, "every promise to be kept", pause_s=PAUSE)
    wrong, made, found = last
    if wrong:
        _complain(wrong, made, found)
    return made, found


# --- promises --------------------------------------------------------------------


def _unsettled(rig: Rig, made: Sequence[Attempt], ends: Ends) -> list[str]:
    """Return what says that it is not over for the reconciler."""
    wrong = [f"attempt {one.id} has no outcome" for one in made if not one.outcome]
    status = rig.status().get(HOST, {})
    if status.get("commit") != rig.repository.head:
        wrong.append("the newest commit was not looked at")
    verdict = status.get("verdict")
    quarantined = verdict == QUARANTINED
    wanted = {Ends.OLD: QUARANTINED, Ends.KEPT: "deploy"}.get(ends, verdict)
    if verdict != wanted:
        wrong.append(f"{verdict} instead of {wanted}")
    may_be_old = ends in (Ends.OLD, Ends.KEPT) or (ends is Ends.EITHER and quarantined)
    if not may_be_old and not status.get("in_sync"):
        wrong.append(f"it does not converge: {status.get('error')}")
    return wrong


def _verdict(rig: Rig) -> str:
    return str(rig.status().get(HOST, {}).get("verdict"))


def _is_where_it_should(
    before: Before, found: Survey, ends: Ends, verdict: str
) -> bool:
    """Whether the host runs what it is to end on; *verdict* is the reconciler's."""
    if ends is Ends.EITHER:
        ends = Ends.OLD if verdict == QUARANTINED else Ends.NEW
    return (found.running != before.running) is (ends is Ends.NEW)


def _wrong(before: Before, made: Sequence[Attempt], found: Survey) -> list[str]:
    wrong = [*found.whole(), *_wrong_boot(before, made, found)]
    if found.guarded:
        wrong.append("a guardian is at work")
    if len({found.running, *found.boots}) > 1:
        wrong.append("what runs, the profile and the boot loader differ")
    last = next((one.target for one in made[::-1] if _succeeded(one)), before.running)
    if found.running != last:
        wrong.append("history tells another system than the one that runs")
    wrong += [
        f"attempt {one.id} {one.outcome} without a reason"
        for one in made
        if one.outcome in (Outcome.FAILED, Outcome.ROLLED_BACK) and not one.message
    ]
    return [*wrong, *_wrong_activations(before, made, found)]


def _wrong_boot(before: Before, made: Sequence[Attempt], found: Survey) -> list[str]:
    """Return what is wrong with what the host would boot."""
    confirmed = {before.running, *(one.target for one in made if _may_have(one))}
    return [
        f"the {where} is {system}, which nobody confirmed"
        for where, system in zip(("profile", "boot default"), found.boots, strict=True)
        if system not in confirmed
    ]


def _wrong_activations(
    before: Before, made: Sequence[Attempt], found: Survey
) -> list[str]:
    """No attempt switches twice: once there, and once back if it did not succeed."""
    allowed = sum(1 if _succeeded(one) else 3 for one in made)
    happened = len(found.activations()) - before.activations
    if happened > allowed:
        return [f"{happened} activations in {len(made)} attempts"]
    return []


def _succeeded(one: Attempt) -> bool:
    return one.outcome is Outcome.SUCCEEDED and one.source != one.target


def _may_have(one: Attempt) -> bool:
    """Whether it was confirmed, or passed the health gate and is not on record yet."""
    if one.outcome is not None:
        return one.outcome is Outcome.SUCCEEDED
    return any(step.name == "settle" and not step.error for step in one.steps)


def _complain(wrong: list[str], made: Sequence[Attempt], found: Survey | None) -> None:
    told = [f"{o.id} {o.source} -> {o.target}: {o.outcome} {o.message}" for o in made]
    raise Complaint("\n".join([*wrong, *told, str(found)]))
