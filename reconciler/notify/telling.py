"""
From what was told and what is, to the messages that are due. Pure.

Three promises, each a property test: nothing is told that did not change; every bad
state that was told is followed by a message that ends it; what changes too often is
told once as flapping, and once more when it is steady.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reconciler.messages import Kind, Message
from reconciler.model import Attempt, HostStatus, Outcome, Reason, Verdict
from reconciler.notify.conditions import (
    Condition,
    Seen,
    cut,
    has_arrived,
    judge,
)
from reconciler.notify.told import Told

ENDS = {
    Kind.UNREACHABLE: Kind.BACK,
    Kind.EVALUATION_FAILED: Kind.RECOVERED,
    Kind.BLOCKED: Kind.RECOVERED,
    Kind.QUARANTINED: Kind.RECOVERED,
    Kind.HELD: Kind.RELEASED,
    Kind.ROLLED_BACK: Kind.RECOVERED,
    Kind.FAILED: Kind.RECOVERED,
    Kind.DRIFT: Kind.HEALED,
    Kind.REPOSITORY_UNREADABLE: Kind.RECOVERED,
    Kind.COMMIT_WITHHELD: Kind.RECOVERED,
    Kind.COMMIT_UNTRUSTED: Kind.RECOVERED,
}
"""The bad states, in the order in which they are told, and what tells their end."""

CHANGES_KEPT = 50
"""Changes of one kind that are remembered, however quickly they follow."""

_MENDED_BY_DEPLOYING = (
    Kind.FAILED,
    Kind.ROLLED_BACK,
    Kind.QUARANTINED,
    Kind.DRIFT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flap:
    """How often a bad state may begin and end before it is called flapping."""

    changes: int = 4
    window: float = 600.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What every message about one subject says."""

    host: str = ""
    commit: str = ""
    subject: str = ""


class Teller:
    """Collects what is new about one subject; used once."""

    def __init__(self, told: Told, about: About, *, flap: Flap, now: float) -> None:
        self.told = told
        self.messages: list[Message] = []
        self._about = about
        self._flap = flap
        self._now = now

    # --- what happens ------------------------------------------------------------

    def status(self, status: HostStatus, problem: str) -> None:
        """Tell what the last pass found; *problem* as in `judge`."""
        if status.tags:
            self.told = replace(self.told, tags=status.tags)
        self.compare(judge(status, problem, self.told))
        if has_arrived(status):
            self.told = replace(self.told, reached=status.target or "")

    def compare(self, seen: Seen) -> None:
        """Tell which bad states began, grew and ended."""
        for kind in ENDS:
            if kind not in seen.judged:
                continue
            before, after = self.told.bad.get(kind), seen.bad.get(kind)
            if after is not None and before is None:
                self._begin(kind, after)
            elif after is not None and before is not None:
                self._go_on(kind, before, after)
            elif before is not None:
                self._end(kind)
            self._settle(kind)

    def attempt(self, attempt: Attempt, wanted: str | None) -> None:
        """
        Tell how an attempt ended; *wanted* is the toplevel that the host should have.

        One that failed and was not rolled back is told by the status that follows.
        """
        if attempt.outcome is Outcome.SUCCEEDED:
            if Kind.UNREACHABLE in self.told.bad:
                self._end(Kind.UNREACHABLE)
            # A host whose new system is in quarantine has its former one kept whole.
            former = attempt.target == self.told.reached and attempt.target != wanted
            if attempt.verdict is Verdict.DEPLOY and not former:
                self._deployed(attempt, as_wanted=attempt.target == wanted)
            else:
                self._healed(attempt)
        elif attempt.outcome is Outcome.ROLLED_BACK and not _was_asked(attempt):
            why = Condition(what=(attempt.target,), text=cut(attempt.message))
            self._began(Kind.ROLLED_BACK, why, attempt)
        self.told = replace(self.told, attempt=attempt.id)

    def gone(self) -> None:
        """End everything that was told: the host left the repository."""
        if bad := tuple(self.told.bad):
            text = "left the repository; it is left alone from now on"
            self._say(Kind.RECOVERED, text, about=bad)
        self.told = replace(self.told, bad={})

    # --- bad states --------------------------------------------------------------

    def _begin(
        self, kind: Kind, after: Condition, attempt: Attempt | None = None
    ) -> None:
        self._keep(kind, after.what)
        if not self._changed(kind):
            self._say(kind, after.text, attempt=attempt)

    def _began(self, kind: Kind, after: Condition, attempt: Attempt) -> None:
        """Tell of a bad state that an attempt brought about."""
        before = self.told.bad.get(kind)
        if before is None:
            self._begin(kind, after, attempt)
        else:
            self._go_on(kind, before, after, attempt)

    def _go_on(
        self,
        kind: Kind,
        before: Sequence[str],
        after: Condition,
        attempt: Attempt | None = None,
    ) -> None:
        news = set(after.what) - set(before)
        if before != after.what:
            self._keep(kind, after.what)
        if news and kind not in self.told.flapping:
            self._say(kind, after.text, attempt=attempt)

    def _end(self, kind: Kind) -> None:
        self._keep(kind, None)
        if not self._changed(kind):
            self._say(ENDS[kind], about=(kind,))

    def _deployed(self, attempt: Attempt, *, as_wanted: bool) -> None:
        ends = _MENDED_BY_DEPLOYING if as_wanted else ()
        mended = [kind for kind in ends if kind in self.told.bad]
        for kind in mended:
            self._keep(kind, None)
        about = tuple(kind for kind in mended if kind not in self.told.flapping)
        self._say(Kind.DEPLOYED, about=about, attempt=attempt)
        self.told = replace(self.told, reached=attempt.target)

    def _healed(self, attempt: Attempt) -> None:
        """Tell of healing also where it came before anybody was told of the drift."""
        self._keep(Kind.DRIFT, None)
        if not self._changed(Kind.DRIFT):
            did = [step.name for step in attempt.steps if step.name != "verify"]
            about = (Kind.DRIFT,)
            self._say(Kind.HEALED, cut(", ".join(did)), about=about, attempt=attempt)

    def _keep(self, kind: Kind, what: tuple[str, ...] | None) -> None:
        bad = {other: value for other, value in self.told.bad.items() if other != kind}
        if what is not None:
            bad[kind] = what
        self.told = replace(self.told, bad=bad)

    # --- flapping ----------------------------------------------------------------

    def _changed(self, kind: Kind) -> bool:
        """Note a change; return whether it is not to be told as such."""
        changes = (*self._recent(kind), self._now)[-CHANGES_KEPT:]
        self.told = replace(self.told, changes={**self.told.changes, kind: changes})
        if kind in self.told.flapping:
            return True
        if len(changes) < self._flap.changes:
            return False
        self.told = replace(self.told, flapping=self.told.flapping | {kind})
        minutes = f"{self._flap.window / 60:g} min"
        text = f"{kind.value}: {len(changes)} changes within {minutes}"
        self._say(Kind.FLAPPING, text, about=(kind,))
        return True

    def _settle(self, kind: Kind) -> None:
        """Tell that *kind* is steady, if it flapped and has not changed for long."""
        if kind not in self.told.changes or self._recent(kind):
            return
        others = {k: at for k, at in self.told.changes.items() if k != kind}
        self.told = replace(self.told, changes=others)
        if kind in self.told.flapping:
            self.told = replace(self.told, flapping=self.told.flapping - {kind})
            stays = kind in self.told.bad
            text = f"still {kind.value}" if stays else f"no longer {kind.value}"
            self._say(Kind.STEADY, text, about=(kind,))

    def _recent(self, kind: Kind) -> tuple[float, ...]:
        since = self._now - self._flap.window
        # A clock that was set back must not make a change last for ever.
        known = self.told.changes.get(kind, ())
        return tuple(at for at in known if since < at <= self._now)

    # --- saying ------------------------------------------------------------------

    def _say(
        self,
        kind: Kind,
        text: str = "",
        *,
        about: tuple[Kind, ...] = (),
        attempt: Attempt | None = None,
    ) -> None:
        serial = self.told.serial + 1
        self.told = replace(self.told, serial=serial)
        commit = attempt.commit if attempt else self._about.commit
        same = commit == self._about.commit
        self.messages.append(
            Message(
                key=f"{self._about.host or 'repository'}/{serial}",
                kind=kind,
                at=self._now,
                host=self._about.host,
                commit=commit,
                subject=self._about.subject if same else "",
                attempt=attempt.id if attempt else "",
                text=text,
                about=about,
                tags=self.told.tags,
            )
        )


def _was_asked(attempt: Attempt) -> bool:
    """Return whether a person, or a newer commit, had the host go back."""
    return attempt.reason is Reason.ASKED
