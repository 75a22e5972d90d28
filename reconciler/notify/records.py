"""What telling needs of history."""

from collections.abc import Iterable
from typing import Protocol

from reconciler.messages import Letter, MarkStep, TellStep
from reconciler.model import Attempt, CommitId, HostName, HostStatus
from reconciler.notify.senders import Box


class Outbox(Box, Protocol):
    """What `Notify` needs beside that; `reconciler.history` has it."""

    def told(self) -> dict[str, str]: ...  # noqa: D102
    def told_of(self, subject: str) -> str | None: ...  # noqa: D102
    def tell(self, subject: str, step: TellStep) -> bool: ...  # noqa: D102
    def forget(  # noqa: D102
        self, subject: str, last: Iterable[Letter] = ()
    ) -> None: ...
    def targets(self) -> set[str]: ...  # noqa: D102
    def mark(  # noqa: D102
        self, target: str, commit: CommitId, step: MarkStep, now: float
    ) -> bool: ...
    def supersede(  # noqa: D102
        self, target: str, commit: CommitId, text: str, now: float
    ) -> None: ...


class Records(Protocol):
    """What `Notify` reads of history."""

    @property
    def outbox(self) -> Outbox: ...  # noqa: D102
    def attempts(  # noqa: D102
        self, *, host: HostName | None = None, limit: int = 20
    ) -> list[Attempt]: ...
    def statuses(self) -> list[HostStatus]: ...  # noqa: D102
