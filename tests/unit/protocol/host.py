"""A host and its guardian, as far as the protocol can tell."""

from dataclasses import dataclass, field

from tests.unit.protocol.parts import (
    Attempt,
    Decision,
    Folder,
    Phase,
    Protocol,
    Result,
    Status,
    Steps,
    Switch,
    System,
)

ARMED_FOR = 10  # units of time
SWITCH_LIMIT = 20
CONFIRM_LIMIT = 40


@dataclass(kw_only=True)
class Host:
    """One machine. What is in memory is gone when it loses power."""

    protocol: Protocol
    # On disk.
    profile: System
    boots: System  # what the boot loader starts
    # In memory.
    running: System
    active: System | None  # whose units run; None in the middle of a switch
    keys: str | None
    folders: dict[int, Folder] = field(default_factory=dict)
    unit: Steps[None] | None = None  # reconciler-activation: its current process
    unit_of: Attempt | None = None
    main_died: bool = False  # what runs of the unit is its ExecStopPost
    inbox: list[Steps[None]] = field(default_factory=list)
    under_way: list[Steps[None]] = field(default_factory=list)  # sent, not arrived
    # Around it.
    boot: int = 0
    on: bool = True
    frozen: bool = False
    locked: bool = False  # somebody else is switching
    now: int = 0
    activated: list[Attempt] = field(default_factory=list)  # only the checks read it

    @property
    def healthy(self) -> bool:
        """Whether the running system is whole: its units and its keys."""
        system = self.running
        return self.active == system and system.units_run and self.keys == system.keys

    @property
    def answers(self) -> bool:
        """Whether a new SSH connection can be opened."""
        return self.on and not self.frozen and self.running.ssh_works

    # --- what happens on it ------------------------------------------------------

    def take_command(self) -> bool:
        """Go on with the command that arrived first, if there is one."""
        if not self.inbox or not self.on or self.frozen:
            return False
        for _ in self.inbox[0]:
            return True
        self.inbox.pop(0)
        return True

    def unit_goes_on(self) -> bool:
        """Let the guardian take one step, if there is one."""
        if self.unit is None or self.frozen or not self.on:
            return False
        for _ in self.unit:
            return True
        if not self.main_died and self.protocol.stop_post:
            return self.main_dies()
        self.unit = self.unit_of = None
        return True

    def main_dies(self) -> bool:
        """Kill the guardian's main process, or see it end: systemd goes on."""
        if self.unit is None or self.unit_of is None or self.main_died:
            return False
        self.main_died = True
        self.unit = self.stop_post(self.unit_of) if self.protocol.stop_post else None
        return True

    def unit_dies(self) -> None:
        """Kill everything of the unit, its ExecStopPost as well."""
        self.unit = self.unit_of = None

    def lose_power(self) -> None:
        """Lose everything in memory."""
        self.on = self.frozen = self.locked = False
        self.folders, self.inbox, self.under_way = {}, [], []
        self.unit = self.unit_of = None
        self.keys, self.active = None, None

    def power_on(self) -> None:
        """Boot what the boot loader has."""
        self.on = True
        self.boot += 1
        self.running = self.active = self.boots

    # --- commands, which may arrive after their sender has died ------------------

    def start_guardian(self, attempt: Attempt, *, go: bool) -> Steps[None]:
        """``systemd-run``; refused while the unit is there. Waits for the folder."""
        if self.unit is None:
            self.unit, self.unit_of = self.guard(attempt, go=go), attempt
            self.main_died = False
            while self.unit_of == attempt and attempt.number not in self.folders:
                yield

    def find_or_bury(self, attempt: Attempt) -> Folder | None:
        """
        Return the attempt's folder.

        If it has none in the boot in which it was to begin, one is made that says so:
        a command to begin that is still under way then finds the place taken.
        """
        buries = self.protocol.buries and attempt.boot == self.boot
        if buries and attempt.number not in self.folders:
            self.folders[attempt.number] = Folder(result=Result.NOT_STARTED)
        return self.folders.get(attempt.number)

    def give_keys(self, attempt: Attempt) -> Steps[None]:
        """Take the keys of the new system while the guardian can put the old back."""
        yield from ()
        folder = self.folders.get(attempt.number)
        held = folder is not None and folder.phase in (Phase.ARMED, Phase.WAITING)
        if held or not self.protocol.keys_while_held:
            self.keys = attempt.new.keys

    def heal_keys(self, system: System) -> Steps[None]:
        """Take the keys of *system*, if that is what runs and nobody changes it."""
        yield from ()
        if (self.unit is None and self.running == system) or not (
            self.protocol.keys_while_held
        ):
            self.keys = system.keys

    def let_go(self, attempt: Attempt) -> Steps[None]:
        """Tell the armed guardian that the keys are there."""
        yield from ()
        if attempt.number in self.folders:
            self.folders[attempt.number].go = True

    def decide(self, attempt: Attempt, word: Decision) -> Steps[None]:
        """Make the decision, and see that somebody is there to carry it out."""
        yield from self._make_decision(attempt, word)
        folder = self.folders.get(attempt.number)
        lies_open = folder is not None and folder.result is None
        if lies_open and self.unit is None and self.protocol.raises_the_dead:
            self.unit, self.unit_of = self.stop_post(attempt), attempt
            self.main_died = True

    def _make_decision(self, attempt: Attempt, word: Decision) -> Steps[None]:
        """``ln -s``: in one step, unless it was made."""
        folder = self.folders.get(attempt.number)
        if folder is not None and folder.decision is None:
            if not self.protocol.atomic_decision:
                yield
            folder.decision = word

    # --- the guardian ------------------------------------------------------------

    def guard(self, attempt: Attempt, *, go: bool) -> Steps[None]:
        """Switch, wait for a decision, and carry it out: the unit's main process."""
        if attempt.number in self.folders:
            return  # given up for lost before it began
        folder = self.folders[attempt.number] = Folder(kept_keys=self.keys, go=go)
        folder.phase = Phase.ARMED
        yield
        until = self.now + ARMED_FOR
        while not folder.go:
            if self.now > until or folder.decision is not None:
                yield from self._leave_as_it_was(folder, Result.NOT_STARTED)
                return
            yield
        folder.phase = Phase.SWITCHING
        yield
        if not self.protocol.boot_default_last:
            yield from self.make_boot_default(attempt.new)
        folder.status = yield from self._switch_for(attempt)
        if folder.status is Status.LOCKED:
            yield from self._leave_as_it_was(folder, Result.LOCKED)
        elif folder.status is Status.REBOOT_FIRST:
            yield from self._leave_as_it_was(folder, Result.REBOOT_FIRST)
        elif folder.status in (Status.FAILED, Status.OUT_OF_TIME):
            yield from self._roll_back(attempt, folder)
        else:
            folder.phase = Phase.WAITING
            yield from self._wait(attempt, folder)

    def _wait(self, attempt: Attempt, folder: Folder) -> Steps[None]:
        until = self.now + CONFIRM_LIMIT
        while folder.decision is None:
            yield
            if self.now > until and self.protocol.deadline:
                yield from self._make_decision(attempt, Decision.NOBODY_CAME)
        yield
        yield from self._carry_out_decision(attempt, folder)

    def stop_post(self, attempt: Attempt) -> Steps[None]:
        """End what the main process left open: ``ExecStopPost=`` of the unit."""
        folder = self.folders.get(attempt.number)
        if folder is None or folder.result is not None:
            return
        if folder.phase is Phase.ARMED:
            yield from self._leave_as_it_was(folder, Result.NOT_STARTED)
            return
        yield from self._make_decision(attempt, Decision.NOBODY_CAME)
        yield
        yield from self._carry_out_decision(attempt, folder)

    def _carry_out_decision(self, attempt: Attempt, folder: Folder) -> Steps[None]:
        if folder.decision is Decision.CONFIRMED:
            folder.phase = Phase.CONFIRMING
            yield
            yield from self.make_boot_default(attempt.new)
            folder.result = Result.CONFIRMED
        else:
            yield from self._roll_back(attempt, folder)

    def _roll_back(self, attempt: Attempt, folder: Folder) -> Steps[None]:
        folder.phase = Phase.ROLLING_BACK
        yield
        self.keys = folder.kept_keys
        yield
        if not self.protocol.boot_default_last:
            yield from self.make_boot_default(attempt.old)
        while (yield from self.switch(attempt.old)) is Status.LOCKED:
            yield
        folder.result = Result.ROLLED_BACK

    def _leave_as_it_was(self, folder: Folder, result: Result) -> Steps[None]:
        folder.phase = Phase.ROLLING_BACK
        yield
        self.keys = folder.kept_keys
        yield
        folder.result = result

    def _switch_for(self, attempt: Attempt) -> Steps[Status]:
        """Run the switch under ``timeout``."""
        self.activated.append(attempt)
        until = self.now + SWITCH_LIMIT
        run = self.switch(attempt.new)
        while True:
            try:
                next(run)
            except StopIteration as ended:
                status: Status = ended.value
                return status
            if self.now > until:
                return Status.OUT_OF_TIME
            yield

    # --- NixOS -------------------------------------------------------------------

    def switch(self, system: System) -> Steps[Status]:
        """``switch-to-configuration test``: stop, activate, start."""
        if self.locked:
            return Status.LOCKED
        if system.switch is Switch.REBOOT_FIRST:
            return Status.REBOOT_FIRST
        self.active = None
        yield
        self.running = system
        yield
        while system.switch is Switch.HANGS:
            yield
        if system.switch is Switch.FAILS:
            return Status.FAILED
        self.active = system
        return Status.DONE

    def make_boot_default(self, system: System) -> Steps[None]:
        """``nix-env --set``, then ``switch-to-configuration boot``."""
        self.profile = system
        yield
        self.boots = system
        yield
