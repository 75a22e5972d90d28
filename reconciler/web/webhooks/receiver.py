"""One delivery: read it within limits, verify it, and say "look again"."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from reconciler.metrics import WebhookMetrics, WebhookResult
from reconciler.web.limiter import Limiter
from reconciler.web.sparse import Sparse
from reconciler.web.webhooks import verify
from reconciler.web.webhooks.doorbell import Doorbell
from reconciler.web.webhooks.intake import (
    BusyError,
    Delivery,
    GoneError,
    Intake,
    TooLargeError,
)
from reconciler.web.webhooks.providers import DIALECTS
from reconciler.web.webhooks.routes import Route, Routes
from reconciler.web.webhooks.seen import Seen
from reconciler.web.webhooks.verify import Finding

log = structlog.get_logger(__name__)

SAVE_SECONDS = 1.0
"""How long deliveries wait to be written down together."""

BUSY_SECONDS = 5.0
"""When to come again if too many bodies are kept just now."""

_RIGHT = (WebhookResult.ACCEPTED, WebhookResult.IGNORED, WebhookResult.DUPLICATE)
_OF_FINDING = {
    Finding.BAD: WebhookResult.BAD_SIGNATURE,
    Finding.STALE: WebhookResult.STALE,
}


_OF_ERROR: Mapping[type[Exception], WebhookResult] = {
    TooLargeError: WebhookResult.TOO_LARGE,
    TimeoutError: WebhookResult.TOO_SLOW,
    BusyError: WebhookResult.BUSY,
    GoneError: WebhookResult.ABORTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a delivery."""

    result: WebhookResult
    retry_after: float | None = None  # seconds


class Receiver:
    """Takes deliveries, in one event loop."""

    def __init__(
        self,
        *,
        routes: Routes,
        limiter: Limiter,
        seen: Seen,
        bell: Doorbell,
        metrics: WebhookMetrics,
        now: Callable[[], float],
    ) -> None:
        self._limiter = limiter
        self._seen = seen
        self._bell = bell
        self._metrics = metrics
        self._now = now
        self._intake = Intake()
        self._saving: asyncio.TimerHandle | None = None
        self._sparse = Sparse(now)
        self.use(routes)

    def use(self, routes: Routes) -> None:
        """Take deliveries for *routes* from now on; any thread may call this."""
        self._metrics.known({provider.value for provider in routes.providers})
        self._routes = routes

    def close(self) -> None:
        """Write down what was seen, once no more deliveries come."""
        self._seen.save(self._now())

    async def take(self, delivery: Delivery) -> Taken:
        """Take *delivery*: verify it, and if it is new, have the repository read."""
        route = self._routes.find(delivery.route)
        wait = self._limiter.take(delivery.source)
        if wait:
            taken = Taken(result=WebhookResult.RATE_LIMITED, retry_after=wait)
        else:
            taken = await self._take(route, delivery)
        if taken.result in _RIGHT:
            self._limiter.give_back(delivery.source)
        self._tell(route, delivery, taken.result)
        return taken

    def refused_method(self) -> None:
        """Count a request that was no POST."""
        self._metrics.count("", WebhookResult.BAD_METHOD)

    async def _take(self, route: Route, delivery: Delivery) -> Taken:
        try:
            return Taken(result=await self._judge(route, delivery))
        except tuple(_OF_ERROR) as error:
            again = BUSY_SECONDS if isinstance(error, BusyError) else None
            return Taken(result=_OF_ERROR[type(error)], retry_after=again)
        except Exception:
            # A bug must cost one delivery, not the server. The poll makes up for it.
            log.exception("a webhook failed in a way we do not know", route=route.name)
            return Taken(result=WebhookResult.ERROR)

    async def _judge(self, route: Route, delivery: Delivery) -> WebhookResult:
        secrets = route.secrets()
        check = verify.begin(route.provider, delivery.headers, secrets)
        digest = await self._intake.read(delivery, check)
        finding = check.finding(self._now())
        if not route.real:
            return WebhookResult.NO_ROUTE
        if not secrets:
            return WebhookResult.NO_SECRET
        if finding is not Finding.GOOD:
            return _OF_FINDING[finding]
        return self._believe(route, delivery, digest)

    def _believe(
        self, route: Route, delivery: Delivery, digest: bytes
    ) -> WebhookResult:
        """Do what a verified delivery asks for, which is one thing only."""
        dialect = DIALECTS[route.provider]
        event = verify.header(delivery.headers, dialect.event)
        if event and event not in dialect.events:
            return WebhookResult.IGNORED
        name = verify.header(delivery.headers, dialect.delivery)
        if not self._seen.note(route.name, name, digest):
            return WebhookResult.DUPLICATE
        self._save_soon()
        if self._bell.ring():
            log.info("webhook: looking", route=route.name, source=delivery.source)
        return WebhookResult.ACCEPTED

    # --- afterwards --------------------------------------------------------------

    def _save_soon(self) -> None:
        """Write down what was seen, together with what else comes soon."""
        if self._saving is None:
            loop = asyncio.get_running_loop()
            self._saving = loop.call_later(SAVE_SECONDS, self._save, loop)

    def _save(self, loop: asyncio.AbstractEventLoop) -> None:
        self._saving = None
        loop.run_in_executor(None, self._seen.save, self._now())

    def _tell(self, route: Route, delivery: Delivery, result: WebhookResult) -> None:
        self._metrics.count(route.provider.value if route.real else "", result)
        if result not in _RIGHT and self._sparse.due((route.name, result)):
            # Nothing that the sender wrote: it could write anything.
            log.warning(
                "webhook refused",
                route=route.name,
                why=result.value,
                source=delivery.source,
            )
