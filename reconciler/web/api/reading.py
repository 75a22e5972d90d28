"""What can be read over the API."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.concurrency import run_in_threadpool

from reconciler.attempt.preview import preview_as_dict
from reconciler.errors import UnknownHostError
from reconciler.model import Commit, HostName, HostStatus
from reconciler.plan import (
    AttemptShape,
    HostShape,
    OneAttemptShape,
    OneHostShape,
    PreviewShape,
    Standing,
    arrival_as_dict,
    attempt_as_dict,
    bell_as_dict,
    one_attempt_as_dict,
    status_as_dict,
)
from reconciler.web.api.parts import Parts
from reconciler.web.api.shapes import (
    ArrivalShape,
    EventShape,
    LogShape,
    StatusShape,
)

RECENT = 5
"""Attempts that come with a host."""

PLANS = 4
"""Plans that are made at one time; each may evaluate and probe."""

LOOK_AGAIN = 0.3
"""Seconds between two looks at statuses while somebody waits for a commit."""

LONGEST_WAIT = 60.0
"""Seconds that one request waits; it may be made again."""

Json = dict[str, Any]
CommitName = Annotated[
    str, Path(pattern="^[0-9a-f]{7,64}$", description="its id, or the beginning of it")
]
Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="seconds")]
SomeHosts = Annotated[Sequence[str], Query(max_length=1000, description="only these")]
Limit = Annotated[int, Query(ge=1, le=1000, description="at most so many")]
Name = Annotated[str, Path(max_length=253, description="as the repository names it")]
OneHost = Annotated[str | None, Query(max_length=253, description="only this host")]


def add_to(routes: APIRouter, parts: Parts) -> None:
    """Add the routes that only read."""
    _about_hosts(routes, parts)
    _about_commits(routes, parts)
    _about_the_past(routes, parts)


def _about_hosts(routes: APIRouter, parts: Parts) -> None:
    making = threading.BoundedSemaphore(PLANS)

    @routes.get("/status", response_model=StatusShape)
    def status() -> Json:
        """Tell how it all stands, in figures."""
        return _figures(parts)

    @routes.get("/hosts")
    def hosts() -> list[HostShape]:
        """Tell how every host stood when it was last looked at."""
        return [status_as_dict(one) for one in _statuses(parts)]

    @routes.get("/hosts/{host}")
    def one_host(host: Name) -> OneHostShape:
        """Tell how one host stood, and its last attempts."""
        found = {one.host: one for one in _statuses(parts)}
        name = HostName(host)
        if name not in found:
            raise UnknownHostError(host, known=sorted(found))
        attempts = parts.history.attempts(host=name, limit=RECENT)
        told = [attempt_as_dict(attempt) for attempt in attempts]
        return {**status_as_dict(found[name]), "attempts": told}

    @routes.post("/hosts/{host}/plan")
    def plan(host: Name) -> PreviewShape:
        """Look at a host now, and tell what would be done; nothing is done."""
        with _one_of(making):
            made = parts.daemon.plan(HostName(host))
        return preview_as_dict(
            made.plan, made.desired, made.commit, made.brings, made.first
        )


def _about_commits(routes: APIRouter, parts: Parts) -> None:
    @routes.get("/commits/{commit}", response_model=ArrivalShape)
    async def arrival(
        request: Request,
        commit: CommitName,
        wait: Wait = 0.0,
        host: SomeHosts = (),
    ) -> Json:
        """
        Tell how far a commit has come: on which hosts it runs, and why not on others.

        With `wait`, answers once nothing of it is under way any more, and after so many
        seconds at the latest: then ask again.
        """
        names = [HostName(name) for name in host]
        give_up = time.monotonic() + wait
        while True:
            found = await run_in_threadpool(parts.daemon.arrivals.of, commit, names)
            late = time.monotonic() >= give_up or await request.is_disconnected()
            if found.standing is not Standing.WAITING or late:
                return arrival_as_dict(found)
            await asyncio.sleep(LOOK_AGAIN)


def _about_the_past(routes: APIRouter, parts: Parts) -> None:
    history = parts.history

    @routes.get("/attempts")
    def attempts(host: OneHost = None, limit: Limit = 20) -> list[AttemptShape]:
        """Tell of the last attempts, newest first."""
        name = HostName(host) if host else None
        found = history.attempts(host=name, limit=limit)
        return [attempt_as_dict(attempt) for attempt in found]

    @routes.get("/attempts/{attempt}")
    def one_attempt(attempt: Name) -> OneAttemptShape:
        """Tell of one attempt, and what it brought to its host."""
        made = history.attempt(attempt)
        return one_attempt_as_dict(made, history.brought.of(attempt))

    @routes.get("/attempts/{attempt}/log", response_model=LogShape)
    def log(attempt: Name) -> Json:
        """Return what Nix, the copy and the switch said in an attempt."""
        return {"attempt": attempt, "lines": history.attempt_log(attempt)}

    @routes.get("/events", response_model=list[EventShape])
    def events(host: OneHost = None, limit: Limit = 100) -> list[Json]:
        """Return the audit log, newest first: who did what, when and why."""
        name = HostName(host) if host else None
        return [asdict(event) for event in history.events(host=name, limit=limit)]


def _statuses(parts: Parts) -> list[HostStatus]:
    bells = parts.daemon.bells.all()
    known = parts.history.statuses(now=parts.now())
    found = [replace(one, bell=bells.get(one.host)) for one in known]
    return sorted(found, key=lambda status: status.host)


def _figures(parts: Parts) -> Json:
    statuses, problem = _statuses(parts), parts.daemon.problem()
    return {
        "healthy": not problem,
        "problem": problem,
        "doing": parts.daemon.doing(),
        "repository": parts.history.repository.problem(),
        "commit": _commit(parts.history.last_commit()),
        "withheld": _commit(parts.daemon.withheld()),
        "hosts": len(statuses),
        "in_sync": sum(one.in_sync for one in statuses),
        "unreachable": sum(one.is_away for one in statuses),
        "held": sum(one.hold is not None for one in statuses),
        "quarantined": sum(one.quarantine is not None for one in statuses),
        "bells": {one.host: bell_as_dict(one.bell) for one in statuses if one.bell},
    }


def _commit(commit: Commit | None) -> Json | None:
    if commit is None:
        return None
    return {
        "id": commit.id,
        "branch": commit.branch,
        "subject": commit.subject,
        "author": commit.author,
        "committed_at": commit.committed_at,
    }


@contextmanager
def _one_of(several: threading.BoundedSemaphore) -> Iterator[None]:
    if not several.acquire(blocking=False):
        raise HTTPException(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too many plans are being made just now",
            {"Retry-After": "5"},
        )
    try:
        yield
    finally:
        several.release()
