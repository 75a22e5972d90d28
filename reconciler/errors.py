"""
Every error this program raises on purpose.

ReconcilerError
├── SettingsError            the settings file must be edited
├── OutputError              what was asked for cannot be printed
├── PermanentError           the same commit will fail again: wait for a new one
│   ├── LayoutError          the repository is not laid out in a way we know
│   ├── EvaluationError      Nix could not evaluate a host
│   ├── OverlayError         a folder of secrets cannot be laid over a checkout
│   ├── KeyContentError      the content of a key cannot be had
│   ├── ImportFileError      what another tool wrote is not what it should be
│   ├── UnknownHostError     no host of that name
│   │   └── GoneHostError        … any more
│   ├── EmptySelectionError  what was named leaves no host
│   ├── UnknownAttemptError  history knows no attempt of that id
│   ├── UnknownGenerationError  a host has no such generation
│   ├── HostKeyError         the host's SSH key is unknown or has changed
│   └── WrongMachineError    another machine answers under the host's name
└── TemporaryError           worth another try after a delay
    ├── CommandError         a local command exited with a non-zero status
    │   ├── CommandTimeoutError  … or did not end within its deadline
XX … or made no progress
    │   ├── CommandMemoryError   … or wanted more memory than it may have
    │   ├── CommandOutputError   … or printed more than we are willing to keep
    │   ├── FetchRefusedError    … since it may not fetch from there
    │   └── FetchError           … since Nix could not fetch what a commit needs
    ├── CommandMissingError  a local command is not installed
    ├── CageError            nothing is evaluated without a cage, and there is none
    ├── StoppingError        the program is ending and starts no more commands
    │   └── FencedError      another worker has the host, and we leave it alone
    ├── SourceError          the repository cannot be read just now
    │   └── UnknownCommitError   … or has no such commit, as far as we know
    ├── BuildError           Nix could not build a host
    ├── CopyError            a system could not be copied to a host
    ├── CacheError           a system could not be pushed to a cache
    ├── ConnectError         a host cannot be reached over SSH
    ├── RemoteError          a command on a host exited with a non-zero status
    │   └── RemoteTimeoutError   … or did not end within its deadline
    ├── FactError            a host answered in a form we do not know
    ├── ActivationError      a host did not take its new system
    ├── DeliveryError        a message or a commit status was not accepted
    ├── HostBusyError        another attempt on the same host is under way
    ├── StateError           the state directory or its database cannot be used
    │   └── ClaimedError         … since another process has a part of it
    └── DaemonError          no daemon answers on this machine, or it says no

Only the loop turns them into retries; every other module lets them pass.
"""

from collections.abc import Sequence

from reconciler.printable import printable

QUOTE_LIMIT = 2000
"""Characters of a foreign program's output that an error message may quote."""


class ReconcilerError(Exception):
    """
    Something went wrong that this program knows how to name.

    Messages quote hosts, Nix, git and forges: what a terminal obeys is taken out here.
    """

    def __init__(self, *told: object) -> None:
        super().__init__(*(printable(x) if isinstance(x, str) else x for x in told))


class SettingsError(ReconcilerError):
    """The settings file must be edited; the message names file, line and key."""


class OutputError(ReconcilerError):
    """What was asked for cannot be printed: the disk is full, the file is closed."""

    def __init__(self, stream: str, why: str) -> None:
        name = {"stdout": "standard output", "stderr": "standard error"}[stream]
        super().__init__(f"cannot write to {name}: {why}")


class PermanentError(ReconcilerError):
    """Trying the same commit again cannot help."""


class ImportFileError(PermanentError):
    """What another tool wrote, and was to be taken over, is not what it should be."""


class LayoutError(PermanentError):
    """The repository is not laid out in a way that we know."""


class EvaluationError(PermanentError):
    """Nix could not evaluate a host (or, without one, the list of hosts)."""

    def __init__(
        self,
        message: str,
        *,
        host: str | None = None,
        file: str | None = None,
        line: int | None = None,
    ) -> None:
        self.host = host
        self.file = file  # relative to the repository where it lies inside it
        self.line = line
        super().__init__(message)


class OverlayError(PermanentError):
    """A folder of secrets cannot be laid over a checkout."""


class KeyContentError(PermanentError):
    """The content of a key cannot be had; the message never quotes any of it."""

    MISSING = "neither in the repository nor in a folder of repository.secrets"


class UnknownHostError(PermanentError):
    """No host of that name, or with that ``@tag``, is in the repository."""

    def __init__(self, host: str, *, known: Sequence[str]) -> None:
        self.host = host
        self.known = tuple(known)
        names = ", ".join(known) or "none"
        tag = host.startswith("@")
        missing = f"has the tag {host[1:]!r}" if tag else f"is named {host!r}"
        super().__init__(f"no host {missing}; the repository has: {names}")


class GoneHostError(UnknownHostError):
    """A host left the repository; *told* says by which commit, and when."""

    def __init__(self, host: str, told: str, *, known: Sequence[str]) -> None:
        super().__init__(host, known=known)
        self.args = (told,)


class EmptySelectionError(PermanentError):
    """What was named, less what was to be left out, is no host."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        super().__init__(f"no host is left of: {' '.join(words)}")


class UnknownAttemptError(PermanentError):
    """History knows no attempt of that id."""

    def __init__(self, attempt_id: str) -> None:
        self.attempt_id = attempt_id
        super().__init__(f"history has no attempt {attempt_id!r}")


class UnknownGenerationError(PermanentError):
    """A host has no generation of that number, or none to go back to."""

    def __init__(self, host: str, number: int | None, *, known: Sequence[int]) -> None:
        self.host = host
        self.number = number  # None: the one before
        self.known = tuple(known)
        told = ", ".join(map(str, known)) or "none"
        which = "to go back to" if number is None else str(number)
        super().__init__(f"{host} has no generation {which}; it has: {told}")


class NoAddressError(PermanentError):
    """Neither the repository nor the settings say where a host is."""

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            f"{host}: neither the repository nor the settings say where it is: set"
            f" hosts.{host}.address, or ssh.address, such as '{{name}}.lan'"
        )


class HostKeyError(PermanentError):
    """The host's SSH key is unknown or is not the one we know."""

    def __init__(self, message: str, *, host: str) -> None:
        self.host = host
        super().__init__(message)


class WrongMachineError(PermanentError):
    """Another machine answers under the host's name."""


class TemporaryError(ReconcilerError):
    """Trying again later may help."""


class CommandError(TemporaryError):
    """A command ran and exited with a non-zero status."""

    def __init__(self, argv: Sequence[str], *, status: int, stderr: str) -> None:
        self.argv = tuple(argv)
        self.status = status
        self.stderr = stderr
        super().__init__(f"{argv[0]} exited with status {status}: {last_line(stderr)}")


class CommandTimeoutError(CommandError):
    """A command did not end within its deadline and was killed."""

    def __init__(self, argv: Sequence[str], *, seconds: float, stderr: str) -> None:
        super().__init__(argv, status=124, stderr=stderr)
        self.seconds = seconds
        self.args = (f"{argv[0]} did not end within {seconds:g} s and was killed",)


class CommandSilentError(CommandTimeoutError):
    """A command that tells how it gets on said nothing for too long."""

    def __init__(self, argv: Sequence[str], *, seconds: float, stderr: str) -> None:
        super().__init__(argv, seconds=seconds, stderr=stderr)
        self.args = (f"{argv[0]} made no progress for {seconds:g} s and was killed",)


class CommandOutputError(CommandError):
    """A command printed more than we keep in memory and was killed."""

    def __init__(self, argv: Sequence[str], *, limit: int, stderr: str) -> None:
        super().__init__(argv, status=141, stderr=stderr)
        self.limit = limit  # bytes
        self.args = (f"{argv[0]} printed more than {limit >> 20} MiB and was killed",)


class CommandMemoryError(CommandError):
    """A command wanted more memory than it may have, and ended."""

    def __init__(self, *, limit: int, cause: CommandError) -> None:
        super().__init__(cause.argv, status=cause.status, stderr=cause.stderr)
        self.limit = limit  # bytes
        self.args = (f"{cause.argv[0]} took more than {limit / (1 << 30):.1f} GiB",)


class FetchError(CommandError):
    """Nix could not fetch what a commit needs."""

    def __init__(self, told: str, *, cause: CommandError) -> None:
        super().__init__(cause.argv, status=cause.status, stderr=cause.stderr)
        self.args = (told,)


class FetchRefusedError(CommandError):
    """An evaluation failed that wanted to connect to where it may not."""

    def __init__(self, refusal: str, *, cause: CommandError) -> None:
        super().__init__(cause.argv, status=cause.status, stderr=cause.stderr)
        self.refusal = refusal
        self.args = (refusal,)


class StoppingError(TemporaryError):
    """The program is ending, so a command was ended or not begun."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} was not run to its end: the program is stopping")


class FencedError(StoppingError):
    """Another worker has taken the host: what is under way there is left to it."""

    def __init__(self, host: str, *, what: str) -> None:
        self.host = host
        super().__init__(what)
        self.args = (f"{host}: {what} was not run: another worker has taken the host",)


class CommandMissingError(TemporaryError):
    """A command that we need is not installed, or not on PATH."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} was not found on PATH: install it, or mend PATH")


class CageError(TemporaryError):
    """The settings want every evaluation in a cage, and this machine has none."""

    def __init__(self, why: str) -> None:
        super().__init__(f"nix.cage is required, and there can be none: {why}")


class SourceError(TemporaryError):
    """The repository cannot be read just now."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after  # seconds, where the other side named them
        super().__init__(message)


class UnknownCommitError(SourceError):
    """The repository has no such branch, tag or commit, as far as we know."""


class BuildError(TemporaryError):
    """Nix could not build a host's system."""

    def __init__(self, message: str, *, host: str, log: str = "") -> None:
        self.host = host
        self.log = log  # the end of what the builder printed
        super().__init__(message)


class CopyError(TemporaryError):
    """A system could not be copied to a host."""

    def __init__(self, message: str, *, host: str) -> None:
        self.host = host
        super().__init__(message)


class CacheError(TemporaryError):
    """A system could not be pushed to a cache."""


class ConnectError(TemporaryError):
    """A host cannot be reached over SSH."""

    def __init__(self, message: str, *, host: str) -> None:
        self.host = host
        super().__init__(message)


class RemoteError(TemporaryError):
    """A command on a host exited with a non-zero status."""

    def __init__(self, what: str, *, host: str, status: int, stderr: str) -> None:
        self.host = host
        self.status = status
        self.stderr = stderr
        super().__init__(
            f"{host}: {what} exited with status {status}: {last_line(stderr)}"
        )


class RemoteTimeoutError(RemoteError):
    """A command on a host did not end within its deadline."""

    def __init__(self, what: str, *, host: str, seconds: float) -> None:
        super().__init__(what, host=host, status=124, stderr="")
        self.seconds = seconds
        self.args = (f"{host}: {what} did not end within {seconds:g} s",)


class FactError(TemporaryError):
    """A host answered, but not in a form that we know."""


class ActivationError(TemporaryError):
    """A host did not take its new system."""

    def __init__(self, message: str, *, host: str, status: int | None = None) -> None:
        self.host = host
        self.status = status  # of switch-to-configuration, where it ran
        super().__init__(message)


class HostBusyError(TemporaryError):
    """Another attempt on the same host is under way."""

    def __init__(self, host: str, *, owner: str) -> None:
        self.host = host
        self.owner = owner or "another process"
        super().__init__(f"{host} is being changed by {self.owner}: wait for its end")


class DeliveryError(TemporaryError):
    """A message, a commit status or metrics were not accepted; names no secret."""


class StateError(TemporaryError):
    """The state directory or the database in it cannot be used."""


class ClaimedError(StateError):
    """Another process, perhaps of another machine, has what only one may have."""

    def __init__(self, where: str, what: str, *, owner: str) -> None:
        self.owner = owner or "another process"
        super().__init__(f"{where}: {what} is taken by {self.owner}")


class DaemonError(TemporaryError):
    """No daemon answers on this machine, or it does not do what it was asked for."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        self.refused = refused  # it answered, and said no
        super().__init__(message)


def last_line(text: str) -> str:
    """Return the last line of *text* that says anything, or a dash."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "-")


def quote(text: str, limit: int = QUOTE_LIMIT) -> str:
    """Return the end of *text*, at most *limit* characters, for an error message."""
    text = text.strip()
    return text if len(text) <= limit else "…" + text[-limit:]
