"""
Take up an attempt whose process is gone, and see it to its end.

What the host says of it decides, not the record: see `reconciler.apply.guardian`.
"""

import functools
from dataclasses import dataclass

from reconciler.apply.guardian import Decision, Guarded, Result
from reconciler.attempt.carried import AbandonedError, Carried
from reconciler.attempt.guarded_switch import (
    OutOfSightError,
    RolledBackError,
    StuckError,
)
from reconciler.attempt.reach import note_confirmed
from reconciler.attempt.reboot import note_not_rebooted
from reconciler.attempt.run import AttemptRun
from reconciler.attempt.unreached import explained
from reconciler.errors import ActivationError
from reconciler.model import Phase, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """One attempt that was left."""

    run: AttemptRun

    def to_its_end(self) -> Carried:
        """
        See to the end of it.

        Raises OutOfSightError and what looking raises: then it has yet to be followed.
        """
        found = self.run.guarded.state()
        return self.run.to_its_end(functools.partial(self._take_up, found))

    def _take_up(self, found: Guarded) -> None:
        try:
            self._see_to_its_end(found)
        except StuckError:
            raise
        except (ActivationError, AbandonedError):
            self._give_turn_on()
            raise

    def _give_turn_on(self) -> None:
        """
        Let other hosts be rebooted where this one was to be, and was not.

        Whoever asked for that had no time to say so.
        """
        run, turn = self.run, self.run.world.history.turns.reboot()
        if turn is not None and turn.boot_id == run.seen.observed.boot_id:
            note_not_rebooted(run.world, run.desired.host)

    def _see_to_its_end(self, found: Guarded) -> None:
        guarded = self.run.guarded
        if not found.known:
            self._conclude()
            return
        guarded.started = True
        if found.decision is Decision.CONFIRM and found.result is None:
            guarded.confirm()
            self._note_way()
        elif found.result is Result.CONFIRMED:
            self._note_way()
        elif found.result is not None:
            raise guarded.error(found, self._said())
        elif found.phase in ("", "armed"):
            guarded.decide(Decision.ROLL_BACK)
            raise AbandonedError
        else:
            self._resume()

    def _note_way(self) -> None:
        run = self.run
        note_confirmed(run.world, run.desired, run.attempt.target)

    def _said(self) -> str:
        """Return why the steps failed of those who left it, and what explains that."""
        run = self.run
        steps = run.world.history.attempt(run.attempt.id).steps
        said = next((step.error for step in reversed(steps) if step.error), "")
        return explained(said, run.desired, run.seen.known.former) if said else ""

    def _resume(self) -> None:
        """Go on with what was switched to, or is just now."""
        run = self.run
        if run.desired.toplevel == run.attempt.target:
            run.under_guard(self._judge)
        else:
            self._take_back()

    def _judge(self) -> None:
        run = self.run
        run.step("follow", Phase.ACTIVATE, run.guarded.await_switch)
        run.become_healthy()

    def _take_back(self) -> None:
        found = self.run.guarded.decide(Decision.ROLL_BACK)
        back = found.result is Result.ROLLED_BACK or self.run.guarded.went_back(found)
        if not back:
            raise self.run.guarded.error(found)
        message = "the commit is not wanted any more; rolled back"
        raise RolledBackError(message, reason=Reason.ASKED)

    def _conclude(self) -> None:
        """
        Tell how it ended on a host that has nothing of it any more.

        It was booted, before or after its guardian had set the boot default; or it
        never heard of the attempt. Where it cannot be seen, that is told later.
        """
        run = self.run
        run.guarded.lose()
        run.look()
        if run.seen.observed.boot_id == run.baseline.boot_id:
            self._bury()
            return
        run.guarded.over = True
        # Not the profile: the power may have gone before the boot loader had it too.
        if run.attempt.target != run.seen.observed.running:
            message = f"{run.desired.host} was booted before anybody confirmed"
            raise RolledBackError(message, reason=Reason.REBOOTED)

    def _bury(self) -> None:
        run = self.run
        found = run.guarded.bury()
        if found.result is Result.NOT_STARTED:
            raise AbandonedError
        if not found.known:
            message = f"{run.desired.host} cannot be told not to begin"
            raise OutOfSightError(message)
        self._see_to_its_end(found)
