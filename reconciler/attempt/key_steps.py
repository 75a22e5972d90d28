"""The steps of an attempt that are about keys."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from reconciler import apply
from reconciler.attempt.look import Look
from reconciler.errors import TemporaryError
from reconciler.model import Desired, HostName, Observed, Plan, Step, StepKind
from reconciler.plan import restart_steps
from reconciler.world import HostWorld

DEADLINE = 120.0  # seconds for a batch of keys
_ADVICE = (
    "declare it (users.users, users.groups); one that DynamicUser= makes is there only"
    " while its service runs: leave such a key to root and use LoadCredential="
)
_DELIVERIES = frozenset({StepKind.DELIVER_KEYS, StepKind.DELIVER_LATE_KEYS})
_LATE = frozenset({*_DELIVERIES, StepKind.REMOVE_KEYS})


class KeysError(TemporaryError):
    """Some keys are not on the host as they should be; the message says which."""

    def __init__(self, host: HostName, problems: Iterable[str]) -> None:
        super().__init__(f"{host}: {'; '.join(problems)}")


class KeySteps:
    """Delivers and removes the keys of one host, and remembers which were new."""

    def __init__(
        self,
        world: HostWorld,
        desired: Desired,
        checkout: Path,
        log: Callable[[str], None],
    ) -> None:
        self._world = world
        self._desired = desired
        self._checkout = checkout
        self._log = log
        self._written: list[str] = []  # their content is new on the host
        self._touched = False
        self._done: set[str] = set()  # nothing is left to do about these
        self._ownerless: dict[str, str] = {}  # root alone may read these, and why

    @property
    def changed(self) -> bool:
        """Whether anything was delivered or removed."""
        return self._touched

    def deliver(self, names: Sequence[str]) -> None:
        """Deliver the keys *names*, and remove none. Raises KeysError and its kin."""
        self._deliver(list(names))
        self._require_owners()

    def early(self, plan: Plan) -> None:
        """Deliver what comes before activation. Raises RemoteError and its kin."""
        self._deliver(names_of(plan, {StepKind.DELIVER_KEYS}))

    def check_present(self, seen: Look) -> None:
        """
        Raise KeysError if a key is neither on the host nor to be had.

        Its unit would wait for it without end, and the switch for the unit.
        """
        written = set(self._written)
        problems = [
            f"key {name}: {why}; not activating, since units would wait for it"
            for name, why in seen.digests.problems.items()
            if (key := self._desired.keys.get(name)) is not None
            and name not in written
            and _is_missing(seen.observed, key.path)
        ]
        if problems:
            raise KeysError(self._desired.host, problems)

    def has_late(self, left: Plan) -> bool:
        """Return whether keys are left to deliver or to remove."""
        return any(step.kind in _LATE for step in left.steps)

    def late(self, left: Plan) -> None:
        """
        Deliver what is left, set owners that are new, remove what is not wanted.

        By now the system runs that declares the owners. Raises KeysError and its kin.
        """
        names = names_of(left, _DELIVERIES)
        self._deliver([name for name in names if name not in self._done])
        files = [
            file
            for step in left.steps
            if step.kind is StepKind.REMOVE_KEYS
            for file in step.files
        ]
        if files:
            self._remove(files)
        self._require_owners()

    def _require_owners(self) -> None:
        """Raise KeysError for keys whose owner or group the host does not know."""
        keys, host = self._desired.keys, self._desired.host
        problems = [
            f"key {name}: {why} on {host}, so that root alone may read it; {_ADVICE}"
            for name, why in self._ownerless.items()
            if name in keys
        ]
        if problems:
            raise KeysError(host, problems)

    def restarts(self, before: Observed, now: Observed) -> tuple[Step, ...]:
        """Return the restarts that new contents ask for and no switch has made."""
        return restart_steps(self._desired, before, self._written, after=now)

    def _deliver(self, names: list[str]) -> None:
        if not names:
            return
        world, desired = self._world, self._desired
        self._touched = True
        # Before: a batch that is cut short may have delivered any of them.
        paths = [desired.keys[name].path for name in names]
        world.history.note_delivered(desired.host, paths)
        contents = world.keyring.contents(desired, self._checkout, names)
        delivered = apply.deliver_keys(
            world.connections.writer(desired.host, desired.target),
            [(desired.keys[name], contents.get(name)) for name in names],
            deadline=DEADLINE,
            on_line=self._log,
        )
        self._written.extend(delivered.written)
        failed = delivered.failed
        there = {name for name in names if name not in failed}
        self._done |= there - set(delivered.ownerless)
        for name in names:
            self._ownerless.pop(name, None)
        self._ownerless.update(delivered.ownerless)
        for result, count in (
            ("written", len(delivered.written)),
            ("permitted", len(delivered.permitted)),
            ("failed", len(failed)),
        ):
            world.metrics.keys_delivered(desired.host, result, count)
        if failed:
            problems = (f"key {name}: {why}" for name, why in failed.items())
            raise KeysError(desired.host, problems)

    def _remove(self, files: list[str]) -> None:
        world, desired = self._world, self._desired
        self._touched = True
        removed = apply.remove_keys(
            world.connections.writer(desired.host, desired.target),
            files,
            deadline=DEADLINE,
            on_line=self._log,
        )
        world.history.note_removed(desired.host, removed.removed)
        if removed.failed:
            problems = (f"{file}: {why}" for file, why in removed.failed.items())
            raise KeysError(desired.host, problems)


def names_of(plan: Plan, kinds: Iterable[StepKind]) -> list[str]:
    """Return the names of the keys that steps of *kinds* deliver, in order."""
    wanted = set(kinds)
    return [name for step in plan.steps if step.kind in wanted for name in step.keys]


def to_restore(desired: Desired, seen: Look) -> tuple[str, ...]:
    """
    Return the paths of keys that going back is to leave as they are now.

    Not of those that a reboot took: without them, the services that it goes back to
    would wait for ever. What an attempt brings in their place may stay.
    """
    known = seen.known.delivered
    have = {k.path for k in seen.observed.keys.values() if k.kind != "missing"}
    paths = {key.path for key in desired.keys.values()} | known
    return tuple(sorted(path for path in paths if path in have or path not in known))


def _is_missing(observed: Observed, path: str) -> bool:
    found = observed.keys.get(path)
    return found is None or found.kind == "missing"
