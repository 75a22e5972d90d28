"""
A switch under a guardian, seen from here: asked patiently, decided once.

Whatever becomes of us or of the connection, the guardian on the host ends the attempt:
see `reconciler.apply.guardian`. So nothing here ever gives an attempt up by itself. It
is confirmed, rolled back, or out of sight and followed later.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reconciler.apply import guardian
from reconciler.apply.guardian import Decision, Guarded, Order, Result
from reconciler.attempt.reboot import note_not_rebooted, note_reboot
from reconciler.attempt.result_words import MANAGED_REFUSED, QUOTED, TOLD
from reconciler.attempt.snippets import OF_SNIPPETS, failed_snippets
from reconciler.errors import (
    QUOTE_LIMIT,
    ActivationError,
    ReconcilerError,
    StoppingError,
    TemporaryError,
    quote,
)
from reconciler.model import Desired, Reason, Reboot, SystemKind, Target
from reconciler.remote import HostWriter
from reconciler.world import HostWorld

SLICE = 5.0  # seconds of waiting in one round trip: a frozen host shows, we can end
PAUSE = 0.5  # seconds between two tries to reach the host again
_SWITCHED = (0, 4)  # 4: some unit failed, which the health gate judges
_ACTIVATION_FAILED = 2
_OUT_OF_TIME = (124, 137)  # of timeout(1), after SIGTERM and SIGKILL
AWAY = 60.0  # seconds without an answer after which a worker has better to do
BOOT_SECONDS = 600.0  # the same of a host that is booted; servers take their time
GRACE = 30.0  # seconds beyond what the host needs, until we stop looking for it


class OutOfSightError(TemporaryError):
    """The host does not answer; its guardian goes on and is followed when it does."""


class StuckError(ActivationError):
    """A host could not be taken back to the system that it ran before."""

    reason = Reason.STUCK


class RebootFirstError(ActivationError):
    """A system refuses to be switched to, and may be booted into instead."""

    reason = Reason.REBOOT_FIRST


class RolledBackError(TemporaryError):
    """The host is back on the system that it ran before; the message says why."""

    def __init__(self, message: str, *, reason: Reason) -> None:
        self.reason = reason
        super().__init__(message)


_KINDS: Mapping[Result, type[ActivationError]] = {
    Result.ROLLBACK_FAILED: StuckError,
    Result.REFUSED: RebootFirstError,
    Result.REBOOT_FIRST: RebootFirstError,
}


@dataclass(slots=True, kw_only=True)
class GuardedSwitch:
    """The guardian of one attempt."""

    world: HostWorld
    desired: Desired
    order: Order
    log: Callable[[str], None]
    ill_before: frozenset[str] = frozenset()  # snippets that fail without us as well
    former: Target | None = None  # how the host was reached before, if in another way
    started: bool = False  # from then on something may go on without us
    over: bool = False  # and to here
    boots: bool = False  # the host is booted into the new system, not switched to it
    decided: Decision | None = None  # as we last heard
    _logged: int = 0  # lines of the guardian's log that we have
    _said: str = ""  # the end of them
    _snippets: str = ""  # those of them that `failed_snippets` reads

    @property
    def goes_on(self) -> bool:
        """Whether the host may yet do something by itself."""
        return self.started and not self.over

    def start(self) -> None:
        """
        Have it wait for keys that are about to be delivered.

        Raises ActivationError if the host is not to be switched to that system.
        """
        self.started = True
        found = self._patiently(
            lambda writer, _: guardian.start(
                writer, self.order, wait=None, known=self._logged
            ),
            until=lambda found: found.phase != "" or found.result is not None,
            seconds=self.order.limits.switch + GRACE,
        )
        if found.result is not None:
            raise self.error(found)

    def switch(self) -> None:
        """
        Switch, and wait until that is over.

        Raises RolledBackError, ActivationError if the host was not touched,
        OutOfSightError, StoppingError.
        """
        verb = self._go if self.started else self._begin
        self.started = True
        self._await_switch(verb)

    def await_switch(self) -> None:
        """Wait until a switch is over that is under way; raises the same."""
        attempt = self.order.attempt
        self._await_switch(
            lambda writer, wait: guardian.state(
                writer, attempt, wait=wait, known=self._logged
            )
        )

    def set_boot(self) -> None:
        """
        Have the host boot the system that it runs; nothing is switched.

        Raises ActivationError if that failed or could not begin, and OutOfSightError.
        """
        self.started = True
        found = self._patiently(
            lambda writer, wait: guardian.set_boot(
                writer, self.order, wait=wait, known=self._logged
            ),
            until=lambda found: found.result is not None or not found.known,
            seconds=guardian.SET_BOOT_SECONDS + GRACE,
        )
        if found.result is not Result.CONFIRMED:
            raise self.error(found)

    def boot_into(self, boot_id: str) -> None:
        """
        Boot into the new system, from the boot *boot_id*; wait until that is over.

        Raises the same as `switch`.
        """
        why = "the new system cannot be switched to, and the policy allows it"
        note_reboot(self.world, self.desired, boot_id=boot_id, why=why)
        self.world.tell(self.desired.host, "rebooting")
        self.started = self.boots = True
        try:
            self._await_switch(
                lambda writer, wait: guardian.first_boot(
                    writer, self.order, boot_id, wait=wait, known=self._logged
                )
            )
        except StuckError:
            raise
        except ActivationError:
            # It was not rebooted, so that this says nothing of the next host.
            note_not_rebooted(self.world, self.desired.host)
            raise

    def _await_switch(self, verb: Callable[[HostWriter, float], Guarded]) -> None:
        limit = self.order.limits
        found = self._patiently(
            verb,
            until=lambda found: not found.switching,
            seconds=limit.arm
            + 2 * limit.switch
            + 2 * limit.roll_back
            + 2 * BOOT_SECONDS
            + GRACE,
        )
        if found.waits and self._is_activated(found):
            return
        # It may be rolling back already, or have been ended.
        ended = found if found.result or not found.known else None
        raise self.error(ended or self.decide(Decision.ROLL_BACK))

    def _is_activated(self, found: Guarded) -> bool:
        """
        Return whether the switch did what it should, but for units.

        A snippet of the activation script that failed in the system from before too is
        not the new one's fault.
        """
        if found.status != _ACTIVATION_FAILED:
            return True
        failed = failed_snippets(self._snippets)[0]
        if not failed or not failed <= self.ill_before:
            return False
        names = ", ".join(sorted(failed))
        self.log(f"not judged: the activation of {names} fails, as it did before")
        return True

    def confirm(self) -> None:
        """
        Make the system that runs the one that the host boots.

        Raises RolledBackError if the guardian decided otherwise before,
        ActivationError if the boot default could not be set, and OutOfSightError; that
        also if the host was booted meanwhile: into which system, has yet to be seen.
        """
        found = self.decide(Decision.CONFIRM)
        if not found.known:
            self.lose()
            message = f"{self.desired.host} was booted while it was being confirmed"
            raise OutOfSightError(message)
        if found.result is not Result.CONFIRMED:
            raise self.error(found)

    def decide(self, decision: Decision) -> Guarded:
        """Decide, unless somebody has, and wait for the end. Raises OutOfSightError."""
        limit = self.order.limits
        attempt = self.order.attempt
        return self._patiently(
            lambda writer, wait: guardian.decide(
                writer, attempt, decision, wait=wait, known=self._logged
            ),
            until=lambda found: found.result is not None or not found.known,
            seconds=limit.switch
            + max(guardian.SET_BOOT_SECONDS, 2 * limit.roll_back)
            + GRACE,
            by_any_way=decision is not Decision.CONFIRM,
        )

    def went_back(self, found: Guarded) -> bool:
        """
        Return whether the host went back because we decided so.

        If it was going back by itself, it looked ill, and that proves nothing. After a
        boot into the new system, another boot takes all of the guardian away.
        """
        gone = self.boots and not found.known
        back = gone or found.result is Result.ROLLED_BACK
        return back and self.decided is Decision.ROLL_BACK

    def state(self) -> Guarded:
        """Look at it once."""
        return self._heard(
            guardian.state(self._writer(), self.order.attempt, known=self._logged)
        )

    def bury(self) -> Guarded:
        """Have an attempt that the host knows nothing of never begin; see it then."""
        return self._heard(guardian.bury(self._writer(), self.order.attempt))

    def lose(self) -> None:
        """Take it that something may go on, until the host has been looked at."""
        self.started, self.over = True, False

    def error(self, found: Guarded, seen: str = "") -> ReconcilerError:
        """Return the error that says how it ended; *seen* is what looking said last."""
        host = self.desired.host
        if not found.known:
            told = f"{host} was booted before its new system was confirmed"
            if self.boots:
                told = f"{host} did not boot its new system, or left it again"
            return RolledBackError(told, reason=Reason.REBOOTED)
        said = quote(self._said) or "it printed nothing"
        if found.result is not None and found.result in TOLD:
            told = f"{host}: {self._told(found.result)}"
            if found.result in QUOTED:
                told = f"{told}: {said}"
            kind = _KINDS.get(found.result, ActivationError)
            if kind is RebootFirstError and self._may_boot_into():
                told = f"{told}\nIf a commit brings it, the host is booted into it next"
            return kind(told, host=host, status=found.status)
        return self._rolled_back(found, said, seen)

    def _rolled_back(self, found: Guarded, said: str, seen: str) -> RolledBackError:
        host = self.desired.host
        if found.status not in (None, *_SWITCHED):
            ended = f"exited with status {found.status}"
            if found.status in _OUT_OF_TIME:
                ended = "did not end in time"
            told = f"{host}: {self._activation()} {ended}; rolled back: {said}"
            new, old = failed_snippets(self._snippets)
            if found.status == _ACTIVATION_FAILED and new and new <= old:
                names = ", ".join(sorted(new))
                told = (
                    f"{told}\nThe system from before fails in the same snippets of the"
                )
                told += (
                    f" activation script ({names}), so they will not count next time"
                )
                return RolledBackError(told, reason=Reason.UNCONFIRMED)
            return RolledBackError(told, reason=Reason.SWITCH_FAILED)
        if found.decision is Decision.ENDED:
            told = f"{host}: the guardian was ended; rolled back"
            return RolledBackError(told, reason=Reason.GUARDIAN)
        told = f"{host}: nobody could confirm the new system in time; rolled back"
        if seen:
            told = f"{told}; looking at it said last: {seen}"
        return RolledBackError(told, reason=Reason.UNCONFIRMED)

    def _told(self, result: Result) -> str:
        managed = self.desired.kind is SystemKind.SYSTEM_MANAGER
        return MANAGED_REFUSED if managed and result is Result.REFUSED else TOLD[result]

    def _may_boot_into(self) -> bool:
        nixos = self.desired.kind is SystemKind.NIXOS
        return nixos and self.world.policy.reboot is Reboot.ALLOWED

    def _activation(self) -> str:
        """Return what activates its systems."""
        if self.desired.kind is SystemKind.NIXOS:
            return "switch-to-configuration"
        return "system-manager's activation"

    # --- asking ------------------------------------------------------------------

    def _begin(self, writer: HostWriter, wait: float) -> Guarded:
        return guardian.start(writer, self.order, wait=wait, known=self._logged)

    def _go(self, writer: HostWriter, wait: float) -> Guarded:
        return guardian.go(writer, self.order.attempt, wait=wait, known=self._logged)

    def _writer(self) -> HostWriter:
        return self.world.connections.writer(self.desired.host, self.desired.target)

    def _patiently(
        self,
        ask: Callable[[HostWriter, float], Guarded],
        *,
        until: Callable[[Guarded], bool],
        seconds: float,
        by_any_way: bool = True,
    ) -> Guarded:
        """
        Ask until the answer is good, for as long as the host may need to give it.

        The new system may restart the network, sshd and sudo, or break them: every
        failure to ask counts as the host being away.
        """
        world, host = self.world, self.desired.host
        give_up = world.monotonic() + seconds
        heard = world.monotonic()
        while True:
            try:
                found = self._heard(ask(self._writer(), SLICE))
                heard = world.monotonic()
            except StoppingError:
                raise
            except ActivationError:
                self.over = True
                raise
            except ReconcilerError as error:
                self._reconnect(by_any_way=by_any_way)
                if world.monotonic() > heard + (BOOT_SECONDS if self.boots else AWAY):
                    raise OutOfSightError(self._out_of_sight(error)) from error
                world.pause(PAUSE)
                continue
            if until(found):
                return found
            if world.monotonic() > give_up:
                message = f"{host}: the guardian has not ended in time"
                raise OutOfSightError(message)
            # The guardian needs nobody who waits for it, and waits for us but for that.
            going_down = found.boots and found.decision is Decision.ROLL_BACK
            world.pause(PAUSE if going_down else 0.0)

    def _out_of_sight(self, error: ReconcilerError) -> str:
        host = self.desired.host
        if not self.boots:
            return f"{host} went out of sight during the switch: {error}"
        return (
            f"{host} was told to boot into its new system and has not come back for"
            f" {BOOT_SECONDS / 60:.0f} minutes; look at its console: {error}"
        )

    def _reconnect(self, *, by_any_way: bool) -> None:
        """
        Open a new connection for the next question, by the other way if there is one.

        The host may have left the way by which it was reached, or be back there. That
        it is to be kept proves only who comes by the new one.
        """
        connections, host = self.world.connections, self.desired.host
        connections.reconnect(host)
        if self.former is not None and by_any_way:
            gone = connections.way_to(host, self.desired.target) == self.former
            connections.go_by(host, None if gone else self.former)

    def _heard(self, found: Guarded) -> Guarded:
        if found.log:
            # At once: a switch may print much, and time is short until it is confirmed.
            self.log(found.log)
            # As the host counts them, which knows no other end of a line.
            self._logged += found.log.count("\n") + 1
            self._said = f"{self._said}\n{found.log}"[-2 * QUOTE_LIMIT :]
            told = (
                one for one in found.log.splitlines() if one.startswith(OF_SNIPPETS)
            )
            self._snippets = "\n".join([self._snippets, *told])
        if found.known:
            self.boots, self.decided = found.boots, found.decision
        if found.result is not None or not found.known:
            self.over = True
        return found
