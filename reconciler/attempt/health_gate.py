"""
The health gate: whether a host may keep the system that it was switched to.

What should be up comes up within ``policy.confirm_timeout``, stays so for
``policy.settle``, the declared checks pass, and a machine that deploys itself can read
the repository. What is judged is in
`reconciler.plan.health`; here is when it is looked at.
"""

import functools
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from reconciler.attempt import way_home
from reconciler.attempt.look import Look
from reconciler.attempt.recorded import Recorded
from reconciler.errors import ReconcilerError, StoppingError, TemporaryError, quote
from reconciler.model import (
    OF_SECRETS,
    CheckResult,
    Desired,
    DriftKind,
    HostName,
    Observed,
    Phase,
    Plan,
    UnitName,
)
from reconciler.observed import (
    checks_seconds,
    read_journal,
    rounds_end_well,
    run_checks,
)
from reconciler.plan import (
    Baseline,
    Problem,
    ProblemKind,
    in_restart,
    judge,
    still_broken,
    still_moving,
    to_ask_about,
)
from reconciler.world import HostWorld

PAUSE = 0.5  # seconds between two looks at what is still on its way
RESERVE = 0.25
"""The share of ``confirm_timeout`` that is left for looking, and to confirm."""

RESERVE_LIMIT = 10.0  # seconds
ROUNDS_DEADLINE = 20.0  # seconds
QUOTED_UNITS = 3  # journals that a verdict quotes
_OF_KEYS = (DriftKind.KEY_MISSING, DriftKind.KEY_CHANGED, DriftKind.KEY_PERMISSIONS)


Answer = TypeVar("Answer")


def patiently(
    world: HostWorld, host: HostName, ask: Callable[[], Answer], *, until: float
) -> Answer:
    """
    Ask a host until it answers; raises what asking raises once it is *until*.

    Each further time over a new connection.
    """
    while True:
        try:
            return ask()
        except StoppingError:
            raise
        except ReconcilerError:
            if world.monotonic() >= until:
                raise
        world.connections.reconnect(host)
        world.pause(PAUSE)


class _Units(Protocol):
    """Some of the units, by what a look at them tells."""

    def __call__(
        self, desired: Desired, observed: Observed, /, *, before: Baseline
    ) -> tuple[UnitName, ...]: ...


class UnhealthyError(TemporaryError):
    """Everything was carried out, and yet the host is not as it should be."""

    def __init__(self, host: HostName, wrong: Sequence[str], said: str = "") -> None:
        self.wrong = tuple(wrong)
        journal = f"\n{said}" if said else ""
        super().__init__(f"{host} is not healthy: {'; '.join(wrong)}{journal}")


def require_mended(left: Plan, lost: Collection[str]) -> None:
    """
    Raise UnhealthyError if anything is *left* that healing should have closed.

    A key whose source is *lost* is told of; it is not for an attempt to mend.
    """
    excused = {(kind, name) for kind in _OF_KEYS for name in lost}
    left_alone = (DriftKind.BOOT, *OF_SECRETS)
    wrong = [
        f"{drift.kind.value} {drift.subject}".strip()
        for drift in left.drifts
        if drift.is_open
        and drift.kind not in left_alone
        and (drift.kind, drift.subject) not in excused
    ]
    if wrong:
        raise UnhealthyError(left.host, wrong)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthGate:
    """Judges one host after its switch; *look* looks at it again."""

    world: HostWorld
    desired: Desired
    baseline: Baseline
    checkout: Path
    recorded: Recorded
    look: Callable[[], Look]

    def give_up(self) -> float:
        """Return when what is not up by then is not healthy (`World.monotonic`)."""
        seconds = self.world.settings.policy.confirm_timeout
        return self.world.monotonic() + seconds - min(RESERVE_LIMIT, RESERVE * seconds)

    def last_call(self, give_up: float) -> float:
        """Return until when it pays to ask the host: then its guardian goes back."""
        settle = self.world.settings.policy.settle
        return give_up + 2 * settle + checks_seconds(self.desired)

    def patient_look(self, until: float) -> Look:
        """
        Look at the host as often as it takes, over new connections.

        The switch may have restarted sshd or the network a moment ago, and a connection
        that is lost says nothing of the host. Raises what looking raises once it is
        time to give up.
        """
        return patiently(self.world, self.desired.host, self.look, until=until)

    def judge(self, seen: Look, give_up: float) -> Look:
        """
        Judge the host, of which *seen* is the first look; return the last one.

        Raises UnhealthyError, what looking raises, and StoppingError.
        """
        early = self._arrived(seen, give_up)
        self._require(self._problems(early, early))
        now = self._settled(early, give_up)
        if any(one.what is ProblemKind.RESTARTED for one in self._problems(early, now)):
            # A person or a timer may have restarted it: once is no sign of illness.
            early, now = now, self._settled(now, give_up)
        self._require(self._problems(early, now, self._checks(give_up)))
        if way_home.matters(self.desired, now.known):
            ask = functools.partial(self._ask_repository, give_up)
            self.recorded.step("read the repository", Phase.SETTLE, ask)
        for told in still_broken(self.desired, self.baseline, now.observed):
            self.recorded.line(f"not judged: {told}")
        return now

    def _settled(self, early: Look, give_up: float) -> Look:
        """
        Let the host run on for a while, and look at it again.

        A new key has services start over some time after it was delivered; one that is
        met while it is down for that is looked at once more.
        """
        pause, settle = self.world.pause, self.world.settings.policy.settle
        self.recorded.step("settle", Phase.SETTLE, lambda: pause(settle))
        seen = self.patient_look(self.last_call(give_up))
        seen = self._until_not(in_restart, seen, give_up)
        return self._with_rounds(early, seen, give_up)

    def _with_rounds(self, early: Look, now: Look, give_up: float) -> Look:
        """Return *now*, and of what began anew whether it ends well each time."""
        observed, units = now.observed, to_ask_about(early.observed, now.observed)
        if not units:
            return now
        reader = self.world.connections.reader(self.desired.host, self.desired.target)
        well = patiently(
            self.world,
            self.desired.host,
            lambda: rounds_end_well(
                reader, units, since=early.observed.clock, deadline=ROUNDS_DEADLINE
            ),
            until=self.last_call(give_up),
        )
        calm = {name: replace(observed.units[name], ends_well=True) for name in well}
        for name in sorted(well):
            self.recorded.line(f"{name} works in rounds, and ends each of them well")
        return replace(
            now, observed=replace(observed, units={**observed.units, **calm})
        )

    def _arrived(self, seen: Look, give_up: float) -> Look:
        """Look until nothing is on its way up any more."""
        return self._until_not(still_moving, seen, give_up)

    def _until_not(self, units: _Units, seen: Look, give_up: float) -> Look:
        while (
            units(self.desired, seen.observed, before=self.baseline)
            and self.world.monotonic() < give_up
        ):
            self.world.pause(PAUSE)
            seen = self.patient_look(self.last_call(give_up))
        return seen

    def _checks(self, give_up: float) -> tuple[CheckResult, ...]:
        found: list[CheckResult] = []
        connections, desired = self.world.connections, self.desired

        def check() -> Iterable[CheckResult]:
            return run_checks(
                connections.reader(desired.host, desired.target),
                desired,
                deadline=checks_seconds(desired),
                folder=self.checkout,
                cage=self.world.cage,
            )

        def run() -> None:
            until = self.last_call(give_up)
            found.extend(patiently(self.world, desired.host, check, until=until))

        if self.desired.checks:
            self.recorded.step("check", Phase.SETTLE, run)
        for result in found:
            how = f"failed: {result.problem}" if not result.passed else "passed"
            self.recorded.line(f"check: {result.name}: {how}")
        return tuple(found)

    def _ask_repository(self, give_up: float) -> None:
        """Ask until it answers: the switch may have restarted the network."""
        world, desired, until = self.world, self.desired, self.last_call(give_up)
        ask = functools.partial(way_home.require_after, world, desired, until=until)
        patiently(world, desired.host, ask, until=until)

    def _problems(
        self, early: Look, now: Look, checks: Collection[CheckResult] = ()
    ) -> tuple[Problem, ...]:
        return judge(
            self.desired,
            before=self.baseline,
            early=early.observed,
            now=now.observed,
            checks=checks,
            lost_keys=now.digests.problems,
        )

    def _require(self, problems: Sequence[Problem]) -> None:
        if problems:
            wrong = [problem.text for problem in problems]
            raise UnhealthyError(self.desired.host, wrong, self._journals(problems))

    def _journals(self, problems: Sequence[Problem]) -> str:
        """Return the ends of the journals of the units that are to blame."""
        units = [UnitName(one.unit) for one in problems if one.unit]
        chosen = list(dict.fromkeys(units))[:QUOTED_UNITS]
        if not chosen:
            return ""
        reader = self.world.connections.reader(self.desired.host, self.desired.target)
        try:
            journal = read_journal(reader, chosen)
        except StoppingError:
            raise
        except ReconcilerError as error:
            return f"(its journal cannot be read: {error})"
        return "\n".join(
            f"{unit} said last:\n{quote(chr(10).join(lines))}"
            for unit, lines in journal.items()
            if lines
        )
