"""The reconciler, as far as the protocol can tell: history, and a loop for one host."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.unit.protocol.host import Host
from tests.unit.protocol.parts import (
    Attempt,
    Decision,
    Folder,
    Outcome,
    Phase,
    Protocol,
    Result,
    Status,
    Steps,
    System,
    T,
)

SILENCES = 3  # ends in a row that no verdict asked for, until the toplevel is blamed
OUTCOMES = {
    Result.CONFIRMED: Outcome.SUCCEEDED,
    Result.ROLLED_BACK: Outcome.ROLLED_BACK,
    Result.NOT_STARTED: Outcome.INTERRUPTED,
    Result.LOCKED: Outcome.FAILED,
    Result.REBOOT_FIRST: Outcome.FAILED,
}


class LostError(Exception):
    """The connection is gone; whether the command was carried out is unknown."""


@dataclass(kw_only=True)
class History:
    """What survives the reconciler's death."""

    confirmed: list[System]  # oldest first
    attempts: list[Attempt] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    quarantine: set[System] = field(default_factory=set)
    refused: set[System] = field(default_factory=set)  # waits; here for ever
    silences: Counter[System] = field(default_factory=Counter)

    @property
    def unfinished(self) -> list[Attempt]:
        """Attempts without an outcome."""
        return [one for one in self.attempts if one.number not in self.outcomes]


@dataclass(kw_only=True)
class Connection:
    """One SSH connection; it outlives an sshd that takes no new ones."""

    boot: int
    alive: bool = True


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The answer to one probe: the host, and the attempt's folder if one was named."""

    running: System
    profile: System
    healthy: bool
    keys: str | None
    boot: int
    folder: Folder | None
    guarded: bool  # the guardian's unit is there


@dataclass(kw_only=True)
class Reconciler:
    """What a process of it knows; only `history` and `head` are on disk."""

    protocol: Protocol
    host: Host
    history: History
    head: System  # what the newest commit says
    cable: bool = True  # whether the network is up
    connection: Connection | None = None
    judged: set[System] = field(default_factory=set)  # healthy; only the checks read it

    def process(self) -> Steps[None]:
        """Look at the host again and again, as the daemon does."""
        while True:
            try:
                yield from self._pass()
            except LostError:
                yield

    def _pass(self) -> Steps[None]:
        for attempt in self.history.unfinished:
            yield from self._take_up(attempt)
        aim = self._aim()
        seen = yield from self._probe()
        if seen.running == seen.profile == aim:
            if seen.keys != aim.keys:
                yield from self._ask(self.host.heal_keys(aim))
        elif aim not in self.history.quarantine | self.history.refused:
            yield from self._attempt(aim, seen)
        yield

    def _aim(self) -> System:
        """Return the commit's system, or the last good one if that is in quarantine."""
        left = self.history.quarantine | self.history.refused
        if self.head in left and self.protocol.serves_last_good:
            return self.history.confirmed[-1]
        return self.head

    def _attempt(self, new: System, seen: Seen) -> Steps[None]:
        number = len(self.history.attempts)
        attempt = Attempt(number=number, old=seen.running, new=new, boot=seen.boot)
        self.history.attempts.append(attempt)
        yield
        # Here it builds and copies.
        if self._aim() != new:  # a newer commit, before anything was touched
            self.history.outcomes[number] = Outcome.INTERRUPTED
            return
        early = new.keys_first and seen.keys != new.keys
        yield from self._ask(self.host.start_guardian(attempt, go=not early))
        if early:
            yield from self._ask(self.host.give_keys(attempt))
            yield from self._ask(self.host.let_go(attempt))
        yield from self._follow(attempt)

    # --- an attempt, be it ours or that of a process that has died ---------------

    def _take_up(self, attempt: Attempt) -> Steps[None]:
        """Follow an attempt whose process, or connection, is gone."""
        seen = yield from self._probe(attempt)
        armed = seen.folder is not None and seen.folder.phase is Phase.ARMED
        if armed or self._aim() != attempt.new:
            yield from self._ask(self.host.decide(attempt, Decision.NOBODY_CAME))
        yield from self._follow(attempt)

    def _follow(self, attempt: Attempt) -> Steps[None]:
        """Follow the guardian to its end; judge when it waits."""
        while attempt.number not in self.history.outcomes:
            seen = yield from self._probe(attempt)
            folder = seen.folder
            if folder is None:
                self._end_without_folder(attempt, seen)
            elif folder.result is not None:
                self._end(attempt, folder, folder.result)
            elif not seen.guarded:
                yield from self._ask(self.host.decide(attempt, Decision.NOBODY_CAME))
            elif folder.phase is Phase.WAITING and folder.decision is None:
                yield from self._judge(attempt)
            yield

    def _judge(self, attempt: Attempt) -> Steps[None]:
        """Look twice, over a new connection, and make the decision."""
        healthy = True
        if self.protocol.health_first:
            if self.protocol.new_connection:
                self.connection = None
            seen = yield from self._probe()
            if seen.keys != attempt.new.keys:
                yield from self._ask(self.host.give_keys(attempt))
            for _ in ("at once", "after the time to settle"):
                seen = yield from self._probe()
                healthy = healthy and seen.running == attempt.new and seen.healthy
            if healthy:
                self.judged.add(attempt.new)
            elif not self.protocol.blames_its_own_decision:
                self.history.quarantine.add(attempt.new)
            yield
        word = Decision.CONFIRMED if healthy else Decision.UNHEALTHY
        yield from self._ask(self.host.decide(attempt, word))

    def _end(self, attempt: Attempt, folder: Folder, result: Result) -> None:
        """Record the outcome, and what follows from it, in one transaction."""
        new, history = attempt.new, self.history
        history.outcomes[attempt.number] = OUTCOMES[result]
        if result is Result.CONFIRMED:
            history.confirmed.append(new)
        if result is Result.ROLLED_BACK and folder.decision is not Decision.UNHEALTHY:
            history.silences[new] += 1
        silent = self.protocol.counts_silence and history.silences[new] >= SILENCES
        if folder.status is Status.REBOOT_FIRST:
            history.refused.add(new)
        failed = folder.status is Status.FAILED
        if failed or silent or folder.decision is Decision.UNHEALTHY:
            history.quarantine.add(new)

    def _end_without_folder(self, attempt: Attempt, seen: Seen) -> None:
        """Record how an attempt ended whose host has booted since, or never began."""
        by_running = self.protocol.outcome_by_what_runs
        found = seen.running if by_running else seen.profile
        if seen.boot != attempt.boot and found == attempt.new:
            self.history.outcomes[attempt.number] = Outcome.SUCCEEDED
            self.history.confirmed.append(attempt.new)
        else:
            self.history.outcomes[attempt.number] = Outcome.INTERRUPTED

    # --- the host, over SSH ------------------------------------------------------

    def _probe(self, attempt: Attempt | None = None) -> Steps[Seen]:
        """Look at the host; an *attempt* that has not begun there never will."""

        def look() -> Seen:
            host = self.host
            folder = host.find_or_bury(attempt) if attempt else None
            return Seen(
                running=host.running,
                profile=host.profile,
                healthy=host.healthy,
                keys=host.keys,
                boot=host.boot,
                folder=replace(folder) if folder else None,
                guarded=host.unit is not None,
            )

        return (yield from self._ask(at_once(look)))

    def _ask(self, command: Steps[T]) -> Steps[T]:
        """Send *command* and wait for its answer; raises LostError."""
        connection, answers = self._connected(), []

        def run() -> Steps[None]:
            answers.append((yield from command))

        self.host.inbox.append(run())
        yield
        while not answers and self._usable(connection):
            yield
        if not self._usable(connection):
            raise LostError
        return answers[0]

    def _connected(self) -> Connection:
        if self.connection is None or not self._usable(self.connection):
            if not (self.cable and self.host.answers):
                raise LostError
            self.connection = Connection(boot=self.host.boot)
        return self.connection

    def _usable(self, connection: Connection) -> bool:
        same_boot = self.host.on and self.host.boot == connection.boot
        return connection.alive and self.cable and same_boot


def at_once(act: Callable[[], T]) -> Steps[T]:
    """Do *act* in one step."""
    yield from ()
    return act()
