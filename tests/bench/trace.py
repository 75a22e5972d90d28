"""What the daemon did when, read from its log; every time is in seconds."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from tests.support.wait import wait_until

Event = dict[str, Any]  # one line of the log


def now() -> float:
    """Return the wall clock: the one that the log has its times of."""
    return time.time()  # noqa: TID251 # it is compared with what the log says


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that took time."""

    name: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin

    @classmethod
    def of(cls, event: Event, name: str) -> Self:
        """Return the span that *event*, logged at its end, tells of."""
        end = time_of(event)
        return cls(name=str(event[name]), begin=end - event["seconds"], end=end)


def time_of(event: Event) -> float:
    """Return when *event* was logged, by the wall clock."""
    return datetime.fromisoformat(event["timestamp"]).timestamp()


@dataclass(slots=True)
class LogFile:
    """The daemon's log, read on from where it was read last."""

    path: Path
    _offset: int = 0
    _events: list[Event] = field(default_factory=list)

    def skip(self) -> None:
        """Forget what was logged so far."""
        self._read()
        self._events.clear()

    def wait_for(
        self, wanted: Callable[[Event], bool], *, deadline: float
    ) -> list[Event]:
        """Return the events since the last call, up to the *wanted* one."""
        found: list[Event] = []

        def is_there() -> bool:
            self._read()
            for index, event in enumerate(self._events):
                if wanted(event):
                    found.extend(self._events[: index + 1])
                    del self._events[: index + 1]
                    return True
            return False

        wait_until(is_there, deadline, f"an event in {self.path}")
        return found

    def _read(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _rest = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        for line in whole.splitlines():
            if line.startswith(b"{"):
                self._events.append(json.loads(line))


def commands(events: Iterable[Event], host: str) -> list[Span]:
    """Return the local commands that *host* had to wait for: its own and nobody's."""
    return [
        Span.of(event, "command")
        for event in events
        if event["event"] == "command" and event.get("host") in (None, host)
    ]


def remote(events: Iterable[Event], host: str, *, after: float) -> list[str]:
    """Return what was asked of *host*, one round trip each."""
    return [
        str(event["what"])
        for event in events
        if event["event"] == "remote"
        and event.get("host") == host
        and time_of(event) > after
    ]


def steps(events: Iterable[Event], host: str) -> dict[str, Span]:
    """Return the steps of the attempt on *host*; of equal names the first."""
    found: dict[str, Span] = {}
    for event in events:
        if event["event"] == "step" and event["host"] == host:
            found.setdefault(event["step"], Span.of(event, "step"))
    return found


def first(events: Iterable[Event], name: str, **fields: str) -> Event:
    """Return the first event of that name that has *fields*."""
    return next(
        event
        for event in events
        if event["event"] == name and fields.items() <= event.items()
    )
