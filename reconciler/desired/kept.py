"""What was asked of Nix before, and whether its answer still holds."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.desired import built, trace
from reconciler.desired.checkout_names import CheckoutNames
from reconciler.desired.ground import STORE_PATH, Ground
from reconciler.desired.nix import Heard
from reconciler.desired.spared import (
    LIST_OF_HOSTS,
    Comparison,
    Memory,
    asks_for_hosts,
    learned,
)
from reconciler.desired.trace import Trace
from reconciler.errors import CommandError, quote
from reconciler.model import LookedAt

FRESH_SECONDS = 5.0
"""What was seen outside of the commit counts for so long; a push looks anew."""

COMPARISONS_KEPT = 4

OF_MOUNTED = "what repository.mount_at has elsewhere is evaluated at each commit"

NAMES_CHECKOUT = "its result names the folder of the commit's checkout"

NAMES_ITSELF = (
    "{file} holds the path of the flake's whole tree (self.outPath, or a path that is"
    " written as text), which is another one for each commit"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of Nix, and all that the answer depends on besides files."""

    subject: str
    checkout: Path
    base: Mapping[str, str]
    is_spared: bool = True
    copy: str = ""  # of the checkout, in the store: what Nix reads of a flake
    is_pure: bool = False  # whether Nix hides time, environment and what has no hash
    outside: str = ""  # what lay around just when it was asked


class Kept:
    """Answers of Nix, with what it looked at for them; for many threads."""

    def __init__(
        self,
        memory: Memory | None,
        state: Callable[[], str],
        options: Sequence[str] = (),
    ) -> None:
        """
        Take what remembers, and what tells that things outside have changed.

        With *options* the store is asked, as Nix itself was.
        """
        self._memory = memory
        self._options = options
        self._state = state
        self._lock = threading.Lock()
        self._comparisons: dict[tuple[Path, str], tuple[float, Comparison]] = {}
        self._names = CheckoutNames()

    @property
    def problem(self) -> str:
        """Why nothing can be spared; empty if it can."""
        return "nothing remembers" if self._memory is None else trace.problem()

    def unchanged(self, question: Question) -> tuple[str, tuple[str, ...]]:
        """Return the key of the answer that still holds, or why there is none."""
        if not question.is_spared:
            return "", (OF_MOUNTED,)
        if self._memory is None or self.problem:
            return "", (f"nothing is traced: {self.problem}",)
        comparison = self._comparison(question.checkout)
        base = self._whole_base(question, comparison.ground)
        return comparison.unchanged(question.subject, base)

    def answer(self, question: Question) -> str | None:
        """Return the answer that still holds, if what it names is in the store."""
        key, _ = self.unchanged(question)
        text = self._memory.answer(key) if key and self._memory else None
        if text is None or not all(map(os.path.exists, STORE_PATH.findall(text))):
            return None
        return text

    def keep(
        self,
        question: Question,
        heard: Heard,
        text: str,
        *,
        again: Question,
        key: str = "",
        read_here: Iterable[str] = (),
    ) -> None:
        """
        Keep an answer and what was looked at for it.

        *again* is what would be asked now: where that differs, nobody knows which of
        both was answered. With *key*, *text* is kept under it by somebody else.
        """
        if self._memory is None or heard.trace is None or not question.is_spared:
            return
        if again != question:
            return
        # As it is now, after it was looked at.
        ground = Ground(question.checkout, copy=question.copy)
        groups, puzzle = learned(
            heard.trace, ground, read_here=read_here, is_pure=question.is_pure
        )
        base = dict(self._whole_base(question, ground))
        if not asks_for_hosts(heard.trace):
            base.pop(LIST_OF_HOSTS, None)
        file = ""
        if not puzzle:
            file, puzzle = self._named(ground, text, heard.trace)
        one = LookedAt(
            subject=question.subject,
            base=base,
            answer=key or f"answer {hashlib.sha256(text.encode()).hexdigest()}",
            groups=() if puzzle else tuple(groups),
            puzzle=puzzle,
            checkout=str(ground.checkout) if file else "",
        )
        kept = {} if puzzle else groups
        self._memory.remember(one, kept, None if key else text)

    def _named(self, ground: Ground, text: str, seen: Trace) -> tuple[str, str]:
        """Return where an answer names the checkout, and what of that puzzles."""
        if not ground.copy:
            return self._names.found(ground, text), ""
        try:
            made = built.derivations(seen, ground.copy, self._options)
        except CommandError as error:
            return "", f"what it read that was built is not known: {quote(str(error))}"
        file = self._names.found(ground, " ".join([text, *made]))
        return file, NAMES_ITSELF.format(file=file) if file else ""

    def _whole_base(self, question: Question, ground: Ground) -> Mapping[str, str]:
        written = ground.commit.conversions if ground.commit else ""
        how = _short(written)
        return {**question.base, "how git writes files (attributes, LFS)": how}

    def _comparison(self, checkout: Path) -> Comparison:
        assert self._memory is not None  # noqa: S101 -- asked before
        key, now = (checkout, self._state()), time.monotonic()
        with self._lock:
            known = self._comparisons.get(key)
            if known is not None and now < known[0] + FRESH_SECONDS:
                return known[1]
        made = Comparison(self._memory, Ground(checkout))
        with self._lock:
            newest = list(self._comparisons.items())[1 - COMPARISONS_KEPT :]
            self._comparisons = {**dict(newest), key: (now, made)}
        return made


def _short(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
