"""``/metrics``: what Prometheus scrapes."""

from fastapi import APIRouter, Response

from reconciler.metrics import Metrics


def router(metrics: Metrics) -> APIRouter:
    """Return the route that renders *metrics*."""
    routes = APIRouter()

    # Not async: rendering a large fleet takes a while, and is done in a thread so that
    # other requests do not wait for it.
    @routes.get("/metrics", response_class=Response)
    def scrape() -> Response:
        """Return all metrics in Prometheus's text format."""
        text, content_type = metrics.render()
        return Response(text, headers={"Content-Type": content_type})

    return routes
