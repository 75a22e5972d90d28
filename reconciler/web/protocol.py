"""
HTTP connections that cannot be held for ever.

uvicorn gives no deadline to a client that says half of a request, nor to one that does
not take its answer. Here each has one, and where connections run out, those whose
clients still owe us something are ended first.
"""

import asyncio
import collections
import enum
from typing import Any

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler.web.peer import REMOTE, peer_of

CONNECTIONS = 256
"""Connections that are open at one time."""

TAKE_SECONDS = 30.0
"""How long an answer may wait for its client to take it."""


class Owed(enum.Enum):
    """What a client has to do before it is our turn, or ours is over."""

    NOTHING = "nothing"
    HEAD = "head"
    BODY = "body"
    REST = "rest"  # of a body that was answered before its end


SECONDS = {
    Owed.HEAD: 10.0,
    Owed.BODY: 60.0,  # where a route wants it sooner, it says so itself
    Owed.REST: 2.0,  # long enough to read why it is not wanted
}
"""How long each may take."""


class Protocol(H11Protocol):
    """One connection."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 -- uvicorn's
        super().__init__(*args, **options)
        self._owed = Owed.NOTHING
        self._since = 0.0  # seconds of the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        peer = REMOTE if connection is None else peer_of(connection)
        self.app_state = {**self.app_state, "peer": peer}
        self._watch()
        self._make_room()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    @override
    def handle_events(self) -> None:
        super().handle_events()
        self._watch()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(TAKE_SECONDS, self.transport.abort)

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()

    def _watch(self) -> None:
        """Give the client a deadline whenever it owes us something else than before."""
        owed = self._what_is_owed()
        if owed is self._owed:
            return
        self._owed, self._since = owed, self.loop.time()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if owed in SECONDS:
            self._timer = self.loop.call_later(SECONDS[owed], self.transport.abort)

    def _what_is_owed(self) -> Owed:
        match self.conn.their_state:
            case h11.IDLE:
                return Owed.HEAD
            case h11.SEND_BODY:
                answered = self.cycle.response_complete
                return Owed.REST if answered else Owed.BODY
            case _:
                return Owed.NOTHING

    def _make_room(self) -> None:
        """
        End one connection if there are too many.

        One whose client owes us something, of the source that has the most, and of
        those the oldest: whoever sends a request in one go is never cut off by those
        who do not.
        """
        if len(self.connections) <= CONNECTIONS:
            return
        owing = [
            one
            for one in self.connections
            if isinstance(one, Protocol)
            and one is not self
            and one._owed is not Owed.NOTHING  # noqa: SLF001 -- one of us
        ]
        if not owing:
            return  # uvicorn answers with 503
        held = collections.Counter(one._source for one in owing)  # noqa: SLF001
        victim = max(owing, key=lambda one: (held[one._source], -one._since))  # noqa: SLF001
        self.connections.discard(victim)
        victim.transport.abort()

    @property
    def _source(self) -> str:
        return self.client[0] if self.client else ""
