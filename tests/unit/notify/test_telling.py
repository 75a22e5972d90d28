"""What is told when, one case after the other."""

from dataclasses import dataclass, field, replace

import pytest

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
from reconciler.notify.telling import About, Flap, Teller
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


@dataclass
class Ear:
    """Hears what is told of one host, as time goes by."""

    now: float = NOW
    told: Told = field(default_factory=lambda: begin(NOW))

    def hear(
        self, *events: HostStatus | Attempt, problem: str = "", after: float = 1.0
    ) -> list[Message]:
        """Hear of one pass, its status last; return what is to be told."""
        last = events[-1]
        wanted = last.target
        self.now += after
        # As it is kept between two passes.
        kept = from_json(to_json(self.told))
        about = About(host="lufta", commit="a" * 40)
        teller = Teller(kept, about, flap=FLAP, now=self.now)
        for event in events:
            if isinstance(event, Attempt):
                teller.attempt(event, wanted)
            else:
                teller.status(event, problem)
        self.told = teller.told
        return teller.messages


@pytest.fixture
def ear() -> Ear:
    return Ear()


def kinds(messages: list[Message]) -> list[Kind]:
    return [message.kind for message in messages]


def test_a_host_in_sync_is_no_news(ear: Ear) -> None:
    assert ear.hear(status()) == []


def test_a_deployment_is_told_once(ear: Ear) -> None:
    (message,) = ear.hear(attempt(1), status())

    assert message.kind is Kind.DEPLOYED
    assert message.attempt == attempt(1).id
    assert ear.hear(status()) == []


@pytest.mark.parametrize(
    ("bad", "kind", "end"),
    [
        (away(), Kind.UNREACHABLE, Kind.BACK),
        (status(None, error="error: no"), Kind.EVALUATION_FAILED, Kind.RECOVERED),
        (to_deploy("activation failed"), Kind.FAILED, Kind.RECOVERED),
        (
            status(Verdict.REPORTED, drifts=stopped(BOT)),
            Kind.DRIFT,
            Kind.HEALED,
        ),
        (
            status(Verdict.HEAL, drifts=stopped(BOT), error="it died again"),
            Kind.DRIFT,
            Kind.HEALED,
        ),
        (held(status()), Kind.HELD, Kind.RELEASED),
        (
            quarantined(status(Verdict.QUARANTINED, error="failed", running=OLD)),
            Kind.QUARANTINED,
            Kind.RECOVERED,
        ),
        (
            status(Verdict.BLOCKED, error="another machine"),
            Kind.BLOCKED,
            Kind.RECOVERED,
        ),
    ],
    ids=lambda value: value.value if isinstance(value, Kind) else "",
)
def test_a_bad_state_is_told_once_and_so_is_its_end(
    ear: Ear, bad: HostStatus, kind: Kind, end: Kind
) -> None:
    ear.hear(status())

    assert kinds(ear.hear(bad)) == [kind]
    assert ear.hear(bad) == []
    (message,) = ear.hear(status())
    assert (message.kind, message.about) == (end, (kind,))
    assert ear.hear(status()) == []


def test_the_reason_is_told(ear: Ear) -> None:
    (message,) = ear.hear(to_deploy("lufta: the unit\nfailed"))

    assert message.text == "lufta: the unit failed"


def test_what_a_commit_causes_is_no_drift(ear: Ear) -> None:
    """In report mode a new commit waits for a person; nothing has drifted."""
    ear.hear(status(target=OLD, running=OLD))
    system = (Drift(kind=DriftKind.SYSTEM),)

    assert ear.hear(status(Verdict.REPORTED, drifts=system, running=OLD)) == []


def test_a_system_that_somebody_switched_by_hand_is_drift(ear: Ear) -> None:
    ear.hear(status())
    system = (Drift(kind=DriftKind.SYSTEM),)

    told = ear.hear(status(Verdict.REPORTED, drifts=system, running=OLD))

    assert kinds(told) == [Kind.DRIFT]


def test_more_drift_is_told_and_less_is_not(ear: Ear) -> None:
    ear.hear(status(Verdict.REPORTED, drifts=stopped(BOT)))

    (message,) = ear.hear(status(Verdict.REPORTED, drifts=stopped(BOT, FACTS)))
    assert FACTS in message.text
    assert ear.hear(status(Verdict.REPORTED, drifts=stopped(FACTS))) == []
    assert kinds(ear.hear(status())) == [Kind.HEALED]


def test_a_host_that_is_away_says_nothing_of_its_drift(ear: Ear) -> None:
    drifting = status(Verdict.REPORTED, drifts=stopped(BOT))
    ear.hear(drifting)

    assert kinds(ear.hear(away())) == [Kind.UNREACHABLE]
    assert kinds(ear.hear(drifting)) == [Kind.BACK]
    assert kinds(ear.hear(status())) == [Kind.HEALED]


def test_a_host_that_deploys_itself_and_sleeps_is_no_news(ear: Ear) -> None:
    """Nor is that it wakes up; what was told of it before stays told."""
    asleep = replace(away(), verdict=Verdict.SILENT, drifts=(), error="silent")
    ear.hear(status(Verdict.REPORTED, drifts=stopped(BOT)))

    assert ear.hear(asleep) == []
    assert ear.hear(status(Verdict.REPORTED, drifts=stopped(BOT))) == []
    assert ear.hear(asleep) == []


def test_healing_is_told_also_where_nobody_was_told_of_the_drift(ear: Ear) -> None:
    ear.hear(status())

    (message,) = ear.hear(attempt(1, verdict=Verdict.HEAL), status())

    assert (message.kind, message.text) == (Kind.HEALED, f"start {BOT}")


def test_a_deployment_ends_what_it_mends(ear: Ear) -> None:
    ear.hear(to_deploy("no space left"))

    (message,) = ear.hear(attempt(2), status())

    assert (message.kind, message.about) == (Kind.DEPLOYED, (Kind.FAILED,))


def test_a_host_that_is_back_and_deployed_is_told_in_that_order(ear: Ear) -> None:
    ear.hear(away())

    told = ear.hear(attempt(2), status())

    assert kinds(told) == [Kind.BACK, Kind.DEPLOYED]


def test_the_same_system_failing_again_is_no_news_and_another_is(ear: Ear) -> None:
    ear.hear(to_deploy("unit failed"))

    assert ear.hear(to_deploy("unit failed in another way")) == []
    assert kinds(ear.hear(to_deploy("no", target=OLD))) == [Kind.FAILED]


def test_a_rollback_is_told_with_its_reason_and_not_again_as_a_failure(
    ear: Ear,
) -> None:
    rolled_back = attempt(1, outcome=Outcome.ROLLED_BACK, message="bot was not healthy")

    (message,) = ear.hear(rolled_back, to_deploy("bot was not healthy"))

    assert (message.kind, message.text) == (Kind.ROLLED_BACK, "bot was not healthy")
    assert ear.hear(to_deploy("bot was not healthy")) == []
    (message,) = ear.hear(status(target=OLD, running=OLD))
    assert (message.kind, message.about) == (Kind.RECOVERED, (Kind.ROLLED_BACK,))


def test_a_rollback_implies_the_quarantine_and_is_told_alone(ear: Ear) -> None:
    ear.hear(status(target=OLD, running=OLD))
    rolled_back = attempt(1, outcome=Outcome.ROLLED_BACK, reason=Reason.UNHEALTHY)
    after = quarantined(status(Verdict.QUARANTINED, error="failed", running=OLD))

    assert kinds(ear.hear(rolled_back, after)) == [Kind.ROLLED_BACK]
    assert ear.hear(after) == []
    # Meanwhile the former system is kept whole, which ends nothing.
    mended = attempt(2, target=OLD)
    assert kinds(ear.hear(mended, after)) == [Kind.HEALED]
    assert ear.hear(after) == []
    (message,) = ear.hear(attempt(3), status())
    assert (message.kind, message.about) == (Kind.DEPLOYED, (Kind.ROLLED_BACK,))


def test_a_host_that_was_asked_to_go_back_did_not_fail(ear: Ear) -> None:
    asked = attempt(1, outcome=Outcome.ROLLED_BACK, reason=Reason.ASKED)

    assert ear.hear(asked, to_deploy()) == []


def test_a_hold_is_told_with_its_reason_also_while_the_host_is_away(ear: Ear) -> None:
    ear.hear(away())

    (message,) = ear.hear(held(away()))

    assert (message.kind, message.text) == (Kind.HELD, "mine (me@desk)")


def test_an_attempt_that_was_cut_short_is_not_told(ear: Ear) -> None:
    assert ear.hear(attempt(1, outcome=Outcome.INTERRUPTED), to_deploy()) == []


def test_what_does_not_evaluate_is_told_beside_what_is_healed(ear: Ear) -> None:
    """The host is looked after by what the last good commit said."""
    problem = "error: undefined variable at /x/" + "0" * 40 + "/a.nix"
    broken = status(Verdict.CONVERGED, error=problem)

    assert kinds(ear.hear(broken, problem=problem)) == [Kind.EVALUATION_FAILED]
    other = problem.replace("0" * 40, "1" * 40)
    assert ear.hear(status(error=other), problem=other) == []
    assert kinds(ear.hear(status())) == [Kind.RECOVERED]


def test_a_host_that_left_ends_everything(ear: Ear) -> None:
    ear.hear(away())
    teller = Teller(ear.told, About(host="lufta"), flap=FLAP, now=ear.now)

    teller.gone()

    (message,) = teller.messages
    assert (message.kind, message.about) == (Kind.RECOVERED, (Kind.UNREACHABLE,))


# --- flapping --------------------------------------------------------------------


def test_what_flaps_is_told_once_and_then_when_it_is_steady(ear: Ear) -> None:
    told = [
        kinds(ear.hear(each, after=60))
        for each in (away(), status(), away(), status(), away(), status())
    ]

    assert told == [
        [Kind.UNREACHABLE],
        [Kind.BACK],
        [Kind.UNREACHABLE],
        [Kind.FLAPPING],
        [],
        [],
    ]
    assert ear.hear(status(), after=500) == []
    (message,) = ear.hear(status(), after=101)
    assert (message.kind, message.text) == (Kind.STEADY, "no longer unreachable")
    assert kinds(ear.hear(away())) == [Kind.UNREACHABLE]


def test_what_stays_bad_after_flapping_is_said_to(ear: Ear) -> None:
    for each in (away(), status(), away(), status(), away()):
        ear.hear(each, after=60)

    (message,) = ear.hear(away(), after=601)
    assert (message.kind, message.text) == (Kind.STEADY, "still unreachable")
    assert kinds(ear.hear(status())) == [Kind.BACK]


def test_a_service_that_dies_again_and_again_flaps(ear: Ear) -> None:
    told = [
        kinds(ear.hear(attempt(number, verdict=Verdict.HEAL), status(), after=60))
        for number in range(6)
    ]

    assert told == [*[[Kind.HEALED]] * 3, [Kind.FLAPPING], [], []]


def test_changes_that_are_far_apart_are_all_told(ear: Ear) -> None:
    told = [kinds(ear.hear(each, after=400)) for each in [away(), status()] * 4]

    assert told == [[Kind.UNREACHABLE], [Kind.BACK]] * 4


def test_a_clock_that_was_set_back_does_not_silence_for_ever(ear: Ear) -> None:
    for each in (away(), status(), away(), status()):
        ear.hear(each, after=60)

    assert kinds(ear.hear(status(), after=-86400)) == [Kind.STEADY]


def test_each_message_has_a_key_of_its_own_also_after_the_host_was_forgotten() -> None:
    first, again = Ear(), Ear(now=NOW + 1000, told=begin(NOW + 1000))

    keys = [
        message.key
        for ear in (first, again)
        for each in (away(), status(), away())
        for message in ear.hear(each)
    ]

    assert len(keys) == len(set(keys)) == 6


def test_a_target_is_named_by_what_it_was(ear: Ear) -> None:
    assert NEW in str(ear.hear(attempt(1), status()) and ear.told.reached)
