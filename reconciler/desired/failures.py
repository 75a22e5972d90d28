"""What a failed evaluation means: the commit is wrong, or this machine is unwell."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.desired import amiss, inputs
from reconciler.desired.messages import (
    Diagnosis,
    Position,
    as_in,
    diagnose,
    files_named_in,
    relative,
    shortened,
)
from reconciler.desired.reading import Reading
from reconciler.errors import (
    CommandError,
    CommandMemoryError,
    CommandTimeoutError,
    EvaluationError,
    FetchError,
    FetchRefusedError,
)
from reconciler.model import HostName

# The commit cannot help these: trying it again later can.
_MACHINE = re.compile(
    r"No space left on device|Read-only file system|database is (?:busy|locked)|"
    r"cannot connect to (?:socket|daemon)|Too many open files|Cannot allocate memory|"
    r"unable to (?:fork|load seccomp)|"
    r"big lock|Nix database|out of memory"
)

_HINTS = (  # what Nix says -> what else to say
    (
        r"file 'nixpkgs(?:/[^']*)?' was not found in the Nix search path",
        "set nix.path in the settings, for example [nixpkgs=/path/to/nixpkgs]",
    ),
    (
        r"was not found in the Nix search path",
        "add it to nix.path in the settings",
    ),
    (
        r"`deployment\.[^`']*' in .* is already declared in",
        "the deployment options are declared already: import no other tool's",
    ),
    (
        r"cannot update (?:unlocked )?flake input",
        "flake.lock is missing or older than flake.nix: run `nix flake lock`, commit",
    ),
    (
        r"lock file .* has unsupported version",
        "a newer Nix wrote flake.lock: bring a newer Nix to the reconciler",
    ),
    (
        r"requires version|too old to evaluate|minimum.* version .*Nix|Nix version",
        "bring a newer Nix to the reconciler",
    ),
    (
        r"unsupported input|input .* is unsupported",
        "flake.lock has an input of a kind that this Nix does not know: bring a newer",
    ),
    (
        r"in pure (?:evaluation )?mode",
        "the flake looks outside of itself: repository.pure: false lets it",
    ),
    (
        r"has unsupported parameter 'dir'",
        "this Nix reads flakes in folders from git only: bring a newer Nix",
    ),
    (
        r"experimental (?:Nix )?feature '[^']*' is disabled",
        "set nix.options: { extra-experimental-features: … } in the settings",
    ),
)

_NO_ARGUMENT = "called without required argument"
_ODD_ARGUMENT = "called with unexpected argument"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What was evaluated."""

    reading: Reading
    host: HostName | None = None  # None: the list of hosts

    @property
    def checkout(self) -> Path:
        """The files that people know."""
        return self.reading.checkout

    def diagnosed(self, stderr: str) -> Diagnosis:
        """Return what *stderr* says, with files named as those of the checkout."""
        lines = as_in(self.checkout, self.reading.copy, stderr.splitlines())
        return diagnose("\n".join(lines))


def explained(
    error: CommandError,
    subject: Subject,
    *,
    again: Callable[[], str],
    refused: Callable[[str], str] = lambda _said: "",
) -> CommandError | EvaluationError:
    """
    Return what to raise for *error*: itself if this machine is to blame.

    *again* evaluates once more with a full trace and returns its stderr; it is called
    only if Nix's first answer names no file of the repository. *refused* says what of
    an error is the cage's doing.
    """
    if isinstance(error, CommandTimeoutError):
        return _endless(error, subject)
    if isinstance(error, CommandMemoryError):
        return _too_large(error, subject)
    diagnosis = subject.diagnosed(error.stderr)
    if error.status < 0:
        return error
    refusal = _told(error) or refused(error.stderr)
    if not refusal:
        if inputs.is_unfetched(diagnosis.message):
            return _unfetched(error, diagnosis, subject)
        if _MACHINE.search(diagnosis.message):
            return error
    place = _place(diagnosis, subject)
    if place is None or place.line is None:
        place = _place(subject.diagnosed(again()), subject) or place
    return _evaluation_error(diagnosis, place, subject, refusal)


def _told(error: CommandError) -> str:
    """Return what the way out of a cage refused."""
    return error.refusal if isinstance(error, FetchRefusedError) else ""


def _unfetched(
    error: CommandError, diagnosis: Diagnosis, subject: Subject
) -> FetchError:
    told = inputs.told_unfetched(
        shortened(diagnosis.message, subject.checkout),
        error.stderr,
        subject.reading.lock,
    )
    return FetchError(told, cause=error)


def _endless(error: CommandTimeoutError, subject: Subject) -> EvaluationError:
    what = subject.host or "the list of hosts"
    message = (
        f"evaluating {what} did not end within {error.seconds:g} s and was stopped: "
        "look for an endless recursion, or raise nix.evaluate_timeout in the settings"
    )
    return EvaluationError(message, host=subject.host)


def _too_large(error: CommandMemoryError, subject: Subject) -> EvaluationError:
    what = subject.host or "the list of hosts"
    message = (
        f"evaluating {what} took more than the {error.limit / (1 << 30):.1f} GiB that"
        " nix.memory allows, also alone, and was stopped: look for an endless"
        " recursion, or raise nix.memory in the settings"
    )
    return EvaluationError(message, host=subject.host)


def _evaluation_error(
    diagnosis: Diagnosis, place: Position | None, subject: Subject, refusal: str
) -> EvaluationError:
    message = shortened(diagnosis.message, subject.checkout)
    if place is not None:
        line = f":{place.line}" if place.line is not None else ""
        message += f"\nat {place.file}{line}"
    unreadable = amiss.unreadable(subject.checkout / place.file) if place else ""
    if hint := refusal or unreadable or _hint(diagnosis.message, subject):
        message += f"\n({hint})"
    return EvaluationError(
        message,
        host=subject.host,
        file=place.file if place else None,
        line=place.line if place else None,
    )


def _hint(message: str, subject: Subject) -> str:
    if told := inputs.told_of_lock(message, subject.reading.lock):
        return told
    if subject.reading.is_network and _NO_ARGUMENT in message:
        return "hives are called without arguments: give each a default"
    if subject.reading.is_network and _ODD_ARGUMENT in message:
        return (
            "each file of a network gets all of repository.arguments, as from NixOps:"
            " have it take `...` too"
        )
    said = (hint for pattern, hint in _HINTS if re.search(pattern, message, re.DOTALL))
    return next(said, "")


def _place(diagnosis: Diagnosis, subject: Subject) -> Position | None:
    """
    Return the place in the repository that the error is about.

    The position of the error itself is best. Errors of the module system name in their
    text the files that define an option; the trace of such an error tells less.
    """
    own = _inside(diagnosis.own, subject.checkout) if diagnosis.own else None
    if own is not None:
        return own
    traced = [
        inside
        for place in diagnosis.positions
        if (inside := _inside(place, subject.checkout))
    ]
    named = next(files_named_in(diagnosis.message, subject.checkout), None)
    if named is not None:
        return _with_line(Position(file=named, line=None), traced)
    return _with_line(traced[0], traced) if traced else None


def _with_line(place: Position, others: Sequence[Position]) -> Position:
    """Return *place*, with the line of the first of *others* that knows one."""
    if place.line is not None:
        return place
    same = (other for other in others if other.file == place.file and other.line)
    return next(same, place)


def _inside(place: Position, checkout: Path) -> Position | None:
    name = relative(place.file, checkout)
    return None if name is None else Position(file=name, line=place.line)
