"""What can be ordered over the API. Each order is an event, with who and why."""

import asyncio
import re
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, HTTPException, Path, Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from reconciler.loop import Looked, Looks, Orders
from reconciler.model import Hold, HostName
from reconciler.model.selection import select
from reconciler.plan import AttemptShape, attempt_as_dict
from reconciler.settings.values import positive_duration
from reconciler.web.api.access import Caller
from reconciler.web.api.parts import Parts
from reconciler.web.api.reading import CommitName, Wait
from reconciler.web.api.shapes import (
    ApprovedShape,
    LookedShape,
    OrderedShape,
    SyncShape,
)

SYNC = "sync"
"""The kind of event."""

_CONTROL = re.compile("[\x00-\x1f\x7f]")


def _one_line(text: str) -> str:
    if _CONTROL.search(text):
        message = "holds control characters; write one line"
        raise ValueError(message)
    return text


Reason = Annotated[str, Field(max_length=500), AfterValidator(_one_line)]
Name = Annotated[str, Path(max_length=253, description="as the repository names it")]
Names = Annotated[str, Path(max_length=254, description="a host, or @ and a tag")]
Token = Annotated[str, Path(max_length=64)]
Duration = Annotated[float, BeforeValidator(positive_duration)]


class Why(BaseModel):
    """What an order may say of itself."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = ""


class HoldBody(BaseModel):
    """Why a host is to be left alone, and how long."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[Reason, Field(min_length=1)]
    for_: Annotated[
        Duration | None,
        Field(alias="for", description="seconds, or text such as 2h; else for ever"),
    ] = None


class RollbackBody(BaseModel):
    """Where to go back to, why, and how long the host is to be held there."""

    model_config = ConfigDict(extra="forbid")

    to: Annotated[
        int | None,
        Field(ge=1, le=2**31, description="a generation; else the one before"),
    ] = None
    reason: Reason = ""
    for_: Annotated[
        Duration | None,
        Field(alias="for", description="seconds, or text such as 2h; else for ever"),
    ] = None
    keep_keys: Annotated[
        bool, Field(description="leave keys as they are; else its own are brought")
    ] = False


BackBody = Annotated[RollbackBody, Body(default_factory=RollbackBody)]
WhyBody = Annotated[Why, Body(default_factory=Why)]


def caller_of(request: Request) -> Caller:
    """Return who was let in; nobody gets here without."""
    found = getattr(request.state, "caller", None)
    if not isinstance(found, Caller):
        raise HTTPException(HTTPStatus.UNAUTHORIZED, "nobody knows who asks")
    return found


By = Annotated[Caller, Depends(caller_of)]


def add_to(routes: APIRouter, parts: Parts) -> None:
    """Add the routes that change something."""
    _about_the_repository(routes, parts)
    _about_hosts(routes, parts)
    _about_approvals(routes, parts)
    _about_rollbacks(routes, parts)


def _about_the_repository(routes: APIRouter, parts: Parts) -> None:
    @routes.post("/sync", status_code=HTTPStatus.ACCEPTED, response_model=SyncShape)
    def sync(by: By, why: WhyBody) -> dict[str, str]:
        """Have the repository read now, and say how to wait for that."""
        parts.history.event(now=parts.now(), kind=SYNC, actor=by.name, text=why.reason)
        token = parts.daemon.sync()
        return {"token": token, "wait": f"/api/v1/sync/{token}"}

    @routes.get("/sync/{token}", response_model=LookedShape)
    async def wait(request: Request, token: Token, timeout: Wait = 30.0) -> object:  # noqa: ASYNC109 -- part of the request
        """
        Wait until the repository was read, from a beginning after the order on.

        Answers at once if it was, and else after `timeout` seconds at the latest,
        with `done` false: then ask again.
        """
        looked = await _outcome(parts.daemon.looks, token, timeout, request)
        return {
            "done": looked is not None,
            "commit": looked.commit if looked else None,
            "error": looked.error if looked else "",
        }


def _about_hosts(routes: APIRouter, parts: Parts) -> None:
    @routes.post("/hosts/{host}/hold", response_model=OrderedShape)
    def hold(host: Names, by: By, body: HoldBody) -> dict[str, list[HostName]]:
        """Leave a host alone until it is released, or for some time."""
        given = _orders(parts, by)
        chosen = select([host], given.hosts())
        given.hold(given.drafted(chosen, reason=body.reason, seconds=body.for_))
        return {"hosts": chosen}

    @routes.post("/hosts/{host}/release", response_model=OrderedShape)
    def release(host: Names, by: By, why: WhyBody) -> dict[str, list[HostName]]:
        """Let go of a host; the answer names those that were held."""
        given = _orders(parts, by)
        chosen = select([host], given.hosts())
        return {"hosts": given.release(chosen, reason=why.reason)}

    @routes.post("/hosts/{host}/retry", response_model=OrderedShape)
    def retry(host: Names, by: By, why: WhyBody) -> dict[str, list[HostName]]:
        """Try a host again now; the answer names those that were in quarantine."""
        given = _orders(parts, by)
        chosen = select([host], given.hosts())
        return {"hosts": given.retry(chosen, reason=why.reason)}


def _about_approvals(routes: APIRouter, parts: Parts) -> None:
    @routes.post("/hosts/{host}/adopt", response_model=OrderedShape)
    def adopt(host: Names, by: By, why: WhyBody) -> dict[str, list[HostName]]:
        """
        Let a host be brought to its commit for the first time, whatever it runs.

        The answer names those of which nobody had said so.
        """
        given = _orders(parts, by)
        chosen = select([host], given.hosts())
        return {"hosts": given.adopt(chosen, reason=why.reason)}

    @routes.post("/hosts/{host}/approve", response_model=list[ApprovedShape])
    def approve(host: Names, by: By, why: WhyBody) -> list[dict[str, str | None]]:
        """
        Let the system come that a host should run, whatever services it takes away.

        It is the system that was seen when the host was last looked at.
        """
        given = _orders(parts, by)
        systems = given.to_come(select([host], given.hosts()))
        given.approve(systems, reason=why.reason)
        return [
            {"host": name, "toplevel": toplevel, "commit": None}
            for name, toplevel in systems.items()
        ]

    @routes.post("/commits/{commit}/approve", response_model=list[ApprovedShape])
    def approve_commit(
        commit: CommitName, by: By, why: WhyBody
    ) -> list[dict[str, str | None]]:
        """Let a commit count, whatever hosts it takes away; `/status` tells which."""
        found = parts.daemon.approvable(commit)
        _orders(parts, by).approve_commit(found.id, reason=why.reason)
        return [{"host": None, "toplevel": None, "commit": found.id}]


def _about_rollbacks(routes: APIRouter, parts: Parts) -> None:
    @routes.post(
        "/hosts/{host}/rollback",
        status_code=HTTPStatus.ACCEPTED,
    )
    def rollback(
        host: Name,
        by: By,
        body: Annotated[RollbackBody, Body(default_factory=RollbackBody)],
    ) -> AttemptShape:
        """
        Take a host back to an older generation, and hold it there.

        Answers as soon as the attempt has begun; `/attempts/{attempt}` tells how it
        goes on.
        """
        now = parts.now()
        hold = Hold(
            host=HostName(host),
            reason=body.reason,
            actor=by.name,
            since=now,
            until=None if body.for_ is None else now + body.for_,
        )
        begun = parts.daemon.rollbacks.begin(hold, body.to, keep_keys=body.keep_keys)
        return attempt_as_dict(begun)


def _orders(parts: Parts, by: Caller) -> Orders:
    return Orders(history=parts.history, now=parts.now(), actor=by.name)


async def _outcome(
    looks: Looks, token: str, seconds: float, request: Request
) -> Looked | None:
    """Return how the look ended; None if it did not in time, or nobody waits more."""
    try:
        future = looks.outcome(token)
    except ValueError as error:
        raise HTTPException(HTTPStatus.NOT_FOUND, "no such token") from error
    outcome = asyncio.wrap_future(future)
    gone = asyncio.ensure_future(_hung_up(request))
    either: set[asyncio.Future[Any]] = {outcome, gone}
    try:
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return outcome.result() if outcome.done() else None
    finally:
        gone.cancel()
        looks.forget(future)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
