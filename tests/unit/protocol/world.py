"""Host and reconciler together, the faults that can strike, and what is promised."""

from dataclasses import dataclass, field

from tests.unit.protocol.host import Host
from tests.unit.protocol.parts import (
    Attempt,
    Decision,
    Outcome,
    Protocol,
    Steps,
    System,
)
from tests.unit.protocol.reconciler import SILENCES, History, Reconciler

FIRST = System(name="first")
STILL_FOR = 12  # rounds without a change and a guardian, until all counts as settled
PATIENCE = 1000  # rounds until nothing counts as ever settling


@dataclass(kw_only=True)
class World:
    """One host that runs `FIRST`, one reconciler, one branch with one commit."""

    protocol: Protocol = field(default_factory=Protocol)
    host: Host = field(init=False)
    reconciler: Reconciler = field(init=False)
    process: Steps[None] | None = field(init=False)
    needs_us: bool = False  # the host cannot be expected to get by alone
    _activated: int = 0
    _recorded: int = 0
    _decisions: dict[tuple[int, int], Decision | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.host = Host(
            protocol=self.protocol,
            profile=FIRST,
            boots=FIRST,
            running=FIRST,
            active=FIRST,
            keys=FIRST.keys,
        )
        self.reconciler = Reconciler(
            protocol=self.protocol,
            host=self.host,
            history=History(confirmed=[FIRST]),
            head=FIRST,
            judged={FIRST},
        )
        self.process = self.reconciler.process()

    # --- going on ----------------------------------------------------------------

    def reconciler_goes_on(self) -> None:
        """Let the reconciler take one step, if it lives."""
        if self.process is not None:
            next(self.process)
            self.check()

    def guardian_goes_on(self) -> None:
        """Let the guardian take one step, if there is one."""
        if self.host.unit_goes_on():
            self.check()

    def command_goes_on(self) -> None:
        """Let the host carry out one step of a command that has arrived."""
        if self.host.take_command():
            self.check()

    def go_on(self, rounds: int = 1) -> None:
        """Let everybody take a step in turn, and time pass."""
        for _ in range(rounds):
            self.host.now += 1
            self.command_goes_on()
            self.guardian_goes_on()
            self.reconciler_goes_on()

    def settle(self) -> bool:
        """End all faults and go on until nothing changes; whether that came to be."""
        self.host.locked = self.host.frozen = False
        self.reconciler.cable = True
        self.delayed_commands_arrive()
        self.power_on()
        still, last = 0, self._state()
        for _ in range(PATIENCE):
            self.go_on()
            state = self._state()
            is_still = state == last and self.host.unit is None
            still, last = (still + 1 if is_still else 0), state
            if still >= STILL_FOR:
                return True
        return False

    def _state(self) -> tuple[object, ...]:
        host, history = self.host, self.reconciler.history
        told = (len(history.attempts), len(history.outcomes))
        return (host.running, host.active, host.boots, host.keys, *told)

    # --- faults ------------------------------------------------------------------

    def kill_reconciler(self) -> None:
        """End its process; commands that are under way still arrive."""
        self.process = self.reconciler.connection = None

    def start_reconciler(self) -> None:
        """Start it, if it does not run."""
        if self.process is None:
            self.process = self.reconciler.process()

    def restart_reconciler(self) -> None:
        """Kill it and start it at once."""
        self.kill_reconciler()
        self.start_reconciler()

    def cut_connection(self) -> None:
        """End the connection; commands that have arrived are carried out."""
        if self.reconciler.connection is not None:
            self.reconciler.connection.alive = False

    def drop_commands(self) -> None:
        """End the connection; nothing that was sent arrives."""
        self.cut_connection()
        self.host.inbox.clear()

    def delay_commands(self) -> None:
        """Let what was sent arrive later than what is sent from now on."""
        self.host.under_way += self.host.inbox
        self.host.inbox.clear()

    def delayed_commands_arrive(self) -> None:
        """Let it arrive now."""
        self.host.inbox += self.host.under_way
        self.host.under_way.clear()

    def cut_power(self) -> None:
        """End everything that the host has in memory."""
        self.host.lose_power()
        self.check()

    def power_on(self) -> None:
        """Boot the host, if it is off."""
        if not self.host.on:
            self.host.power_on()
            self.check()

    def reset(self) -> None:
        """Cut the power and start the host at once."""
        self.cut_power()
        self.power_on()

    def kill_guardian(self) -> None:
        """SIGKILL its main process."""
        self.host.main_dies()

    def kill_unit(self) -> None:
        """SIGKILL the guardian and what comes after it; only we can mend that."""
        if self.host.unit is not None and self.host.running.ssh_works:
            self.host.unit_dies()
            self.needs_us = True

    def let_time_pass(self, time: int = 100) -> None:
        """Let every deadline pass that runs now."""
        self.host.now += time

    def push(self, system: System) -> None:
        """Make *system* what the newest commit says; any push ends a retry's wait."""
        self.reconciler.head = system

    # --- promises ----------------------------------------------------------------

    def check(self) -> None:
        """Check what must hold at any moment."""
        host, history = self.host, self.reconciler.history
        assert host.boots in self.reconciler.judged, "boots what nobody judged"
        assert host.boots.good, "boots a system that does not work"
        for attempt in host.activated[self._activated :]:
            assert attempt not in host.activated[: self._activated], "activated twice"
            assert attempt.new not in history.quarantine, "activated in quarantine"
            assert attempt.number not in history.outcomes, "activated after its end"
            self._activated += 1
        for number, folder in host.folders.items():
            made = self._decisions.setdefault((host.boot, number), folder.decision)
            assert made in (None, folder.decision), "the decision changed"
            self._decisions[host.boot, number] = folder.decision
        for number in list(history.outcomes)[self._recorded :]:
            self._check_outcome(history.attempts[number], history.outcomes[number])
            self._recorded += 1

    def _check_outcome(self, attempt: Attempt, outcome: Outcome) -> None:
        host = self.host
        if outcome is Outcome.SUCCEEDED:
            assert host.boots == attempt.new, "succeeded, and another system boots"
            assert host.running == attempt.new or not host.on
        else:
            assert host.running == attempt.old or not host.on, f"{outcome}, and it runs"
            assert host.boots == attempt.old, f"{outcome}, and it boots"

    def check_left_alone(self) -> None:
        """Check a settled host whose reconciler never came back."""
        host = self.host
        if self.needs_us:
            return
        assert host.running.good, "left on a system that does not work"
        assert host.active == host.running, "left with units that do not run"
        assert host.keys in (None, host.running.keys), "left with another system's keys"

    def check_settled(self) -> None:
        """Check what holds once the faults are over and the reconciler is back."""
        host, history = self.host, self.reconciler.history
        assert not history.unfinished, "an attempt has no outcome"
        assert host.healthy, "units or keys are missing"
        assert host.running == host.boots == host.profile
        assert host.running == history.confirmed[-1], "history tells another system"
        head = self.reconciler.head
        left = history.quarantine | history.refused
        assert host.running == head or head in left, "did not converge"
        for system in history.quarantine:
            silent = history.silences[system] >= SILENCES
            assert not system.good or silent, "a good system is in quarantine"
