"""
Talk to the guardian of an attempt, which lives on the host; see ``guardian.sh``.

Each function is one round trip. None of them retries: whoever calls knows how long it
pays to try, and that the same attempt may be asked again and again.
"""

import enum
from dataclasses import dataclass

from reconciler.apply.scripts import script
from reconciler.errors import ActivationError, FactError, RemoteError, quote
from reconciler.model import StorePath
from reconciler.remote import HostWriter

ANSWER_SECONDS = 20.0
"""Beyond the time that the host was asked to wait, for the answer to come."""

BUSY = 3  # what guard.sh exits with where somebody else is switching the host
REFUSED = 4  # … and where it cannot begin, and will not
SET_BOOT_SECONDS = 840.0
"""The sum of what `confirm` in guardian.sh allows, taking it back included."""

_SWITCHING = ("", "armed", "switching", "booting", "arriving")
_MARK = "guardian "
_GONE = "gone"
NOTHING_BEFORE = StorePath("none")
"""Gone back to where a host that is not NixOS had nothing of ours: see system.sh."""
# What systemd says of a unit; anything else, or nothing, is no answer.
_UP = ("active", "activating", "deactivating", "reloading", "refreshing", "maintenance")
_DOWN = ("inactive", "failed")
_WORDS = 6
_FIRST_BOOT = "first-boot"
_NOTHING = "-"


class Result(enum.Enum):
    """How a guardian ended, as it writes it."""

    CONFIRMED = "confirmed"
    BOOT_FAILED = "boot-failed"  # confirmed, and the boot default could not be set
    ROLLED_BACK = "rolled-back"
    ROLLBACK_FAILED = "rollback-failed"
    LOCKED = "locked"  # somebody else is switching; nothing was touched
    REFUSED = "refused"  # its own checks say no to a switch; nothing was touched
    REBOOT_FIRST = "reboot-first"  # cannot be switched to; nothing was touched
    NOT_STARTED = "not-started"  # the keys did not come; nothing was touched
    NOT_BOOTED = "not-booted"  # was not booted into it, and boots what it booted


class Decision(enum.Enum):
    """What becomes of a system that was switched to; the first one made holds."""

    CONFIRM = "confirmed"
    ROLL_BACK = "rollback"
    # What a guardian decides by itself; all of it means going back.
    FAILED = "failed"  # the switch did
    EXPIRED = "expired"  # nobody confirmed in time
    ENDED = "ended"  # the guardian was, by somebody or something


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long each part may take on the host, in seconds."""

    arm: float  # until the keys are in place
    switch: float  # and as much for the checks before it
    confirm: float  # from the end of the switch
    roll_back: float  # one try; all of them together may take twice as long

    @property
    def total(self) -> float:
        """The seconds after which a guardian has ended, whatever happened."""
        return self.arm + 2 * self.switch + self.confirm + 2 * self.roll_back


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a guardian is to do."""

    attempt: str
    new: StorePath
    old: StorePath
    limits: Limits
    specialisation: str = ""  # of the new system: to be switched to in its place
    keys: tuple[str, ...] = ()  # paths of those to keep aside, present or not


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """What a guardian says of itself."""

    known: bool  # False: the host has nothing of the attempt
    phase: str = ""
    status: int | None = None  # of switch-to-configuration
    decision: Decision | None = None
    result: Result | None = None
    alive: bool | None = None  # its unit is there; None: systemd cannot be asked now
    log: str = ""  # what is new of it
    boots: bool = (
        False  # the host is booted into its new system, and not switched to it
    )

    @property
    def waits(self) -> bool:
        """Whether the new system runs and nobody has decided."""
        there = self.alive is not False
        return there and self.phase == "waiting" and self.decision is None

    @property
    def switching(self) -> bool:
        """Whether the switch, or the boot, is not over."""
        if self.phase == "rebooting":
            return self.result is None
        return self.alive is not False and self.phase in _SWITCHING


def start(
    writer: HostWriter, order: Order, *, wait: float | None, known: int = 0
) -> Guarded:
    """
    Start the guardian, unless it is there.

    Without *wait* it first waits for `go`, because keys are to come: see it once the
    system has been asked whether it can be switched to, or after some seconds. Else see
    it once the switch is over, after *wait* seconds at most.

    *known* are the lines of the log that are not to be told again. Raises
    ActivationError where the host said that somebody else switches it, or that it
    cannot begin. After any other error, such as ConnectError, RemoteError and
    RemoteTimeoutError, it may have begun.
    """
    return _start(writer, "start", order, wait=wait, known=known)


def set_boot(
    writer: HostWriter, order: Order, *, wait: float, known: int = 0
) -> Guarded:
    """
    Have the host boot the new system of *order*, which it runs; see it after *wait*.

    Like a confirmation, without a switch before it. Raises the same as `start`.
    """
    return _start(writer, "boot", order, wait=wait, known=known)


def first_boot(
    writer: HostWriter, order: Order, boot_id: str, *, wait: float, known: int = 0
) -> Guarded:
    """
    Have the host boot into the new system of *order*; see it after *wait*.

    The guardian goes with it: after the boot it waits, as after a switch. Asked again
    in another boot than *boot_id*, it begins nothing. Raises the same as `start`.
    """
    return _start(writer, _FIRST_BOOT, order, boot_id, wait=wait, known=known)


def _start(
    writer: HostWriter,
    verb: str,
    order: Order,
    *first: str,
    wait: float | None,
    known: int,
) -> Guarded:
    limits = order.limits
    seconds = (limits.arm, limits.switch, limits.confirm, limits.roll_back)
    guardian = script("guardian")
    size = str(len(guardian.encode()))
    limit = (f"{one:.0f}" for one in seconds)
    variant = f"specialisation/{order.specialisation}" if order.specialisation else "."
    words = (*first, size, order.new, variant, order.old, *limit, *order.keys)
    try:
        return _ask(writer, verb, order.attempt, wait, known, *words, stdin=guardian)
    except RemoteError as error:
        if error.status not in (BUSY, REFUSED):
            raise  # no word of the host's: it may have begun
        said = quote(error.stderr)
        message = f"{writer.host}: {order.attempt} could not be started: {said}"
        if error.status == BUSY:
            message = f"{writer.host}: {said}; waiting"
        raise ActivationError(message, host=writer.host, status=error.status) from error


def go(writer: HostWriter, attempt: str, *, wait: float, known: int = 0) -> Guarded:
    """Let it switch, keys being in place; see it after *wait* seconds at most."""
    return _ask(writer, "go", attempt, wait, known)


def state(
    writer: HostWriter, attempt: str, *, wait: float = 0.0, known: int = 0
) -> Guarded:
    """Wait until the switch is over, at most *wait* seconds, and see how it stands."""
    return _ask(writer, "state", attempt, wait, known)


def bury(writer: HostWriter, attempt: str) -> Guarded:
    """
    See to it that an attempt does not begin any more, unless it has; see it then.

    The command to begin may still be under way, from a process that has died.
    """
    return _ask(writer, "bury", attempt, 0.0, 0)


def decide(
    writer: HostWriter,
    attempt: str,
    decision: Decision,
    *,
    wait: float,
    known: int = 0,
) -> Guarded:
    """Decide, unless somebody has, and wait at most *wait* seconds for the end."""
    return _ask(writer, decision.value, attempt, wait, known)


def _ask(
    writer: HostWriter,
    verb: str,
    attempt: str,
    wait: float | None,
    known: int,
    *words: str,
    stdin: str = "",
) -> Guarded:
    patience = "later" if wait is None else f"{max(0.0, wait):.0f}"
    ask = ("sh", "-c", script("guard"), "guard", verb, attempt, patience, f"{known}")
    result = writer.run(
        (*ask, *words),
        what=f"{verb} of {attempt}",
        deadline=(wait or 0.0) + ANSWER_SECONDS,
        stdin=stdin.encode(),
    )
    return read(result.stdout, writer=writer)


def read(text: str, *, writer: HostWriter) -> Guarded:
    """Read what guard.sh printed. Raises FactError."""
    log, _, last = text.removesuffix("\n").rpartition("\n")
    words = last.removeprefix(_MARK).split()
    if not last.startswith(_MARK) or len(words) != _WORDS:
        message = (
            f"{writer.host}: the guardian's answer is not understood: {last[:200]!r}"
        )
        raise FactError(message)
    phase, status, decision, result, unit, verb = words
    if phase == _GONE:
        return Guarded(known=False, alive=False)
    try:
        return Guarded(
            known=True,
            phase=_text(phase),
            status=int(status) if status != _NOTHING else None,
            decision=Decision(decision) if decision != _NOTHING else None,
            result=Result(result) if result != _NOTHING else None,
            alive=_whether_up(unit),
            log=log,
            boots=verb == _FIRST_BOOT,
        )
    except ValueError as error:
        message = (
            f"{writer.host}: the guardian's answer is not understood: {last[:200]!r}"
        )
        raise FactError(message) from error


def _whether_up(unit: str) -> bool | None:
    if unit in _UP:
        return True
    return False if unit in _DOWN else None


def _text(word: str) -> str:
    return "" if word == _NOTHING else word
