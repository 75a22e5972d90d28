"""Puts the routers together."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from reconciler.metrics import Metrics
    from reconciler.web.api.door import Door
    from reconciler.web.api.parts import Parts
    from reconciler.web.reports import Reception
    from reconciler.web.webhooks import Receiver


def create_app(
    metrics: Metrics,
    problem: Callable[[], str],
    *,
    doing: Callable[[], str] = str,
    webhooks: Receiver | None = None,
    reports: Reception | None = None,
    api: tuple[Parts, Door] | None = None,
) -> FastAPI:
    """
    Return the application.

    *webhooks* takes what is delivered below ``/hooks/``, *reports* what is below
    ``/reports/``; *api* is what lies below ``/api/`` and who is let in there.

    *problem* says why the daemon is not healthy, and is empty while it is; it is called
    from any thread, at each request, and should answer at once. So is *doing*, which
    says what takes long just now.
    """
    from fastapi import FastAPI  # noqa: PLC0415 # slow and large: only where served

    from reconciler.web import health, index  # noqa: PLC0415 # they import FastAPI
    from reconciler.web import metrics as metrics_page  # noqa: PLC0415
    from reconciler.web.api import routes as api_routes  # noqa: PLC0415
    from reconciler.web.reports import route as report_route  # noqa: PLC0415
    from reconciler.web.webhooks import route as hooks  # noqa: PLC0415

    # No /docs: that page loads its scripts from elsewhere. The description itself
    # is at /openapi.json.
    app = FastAPI(
        title="reconciler",
        version=version("reconciler"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(index.router(app.version))
    app.include_router(health.router(problem, doing))
    app.include_router(metrics_page.router(metrics))
    if webhooks is not None:
        app.include_router(hooks.router(webhooks))
    if reports is not None:
        app.include_router(report_route.router(reports))
    if api is not None:
        api_routes.install(app, *api)
    return app
