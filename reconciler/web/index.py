"""``/``: where to find what."""

from fastapi import APIRouter


def router(version: str) -> APIRouter:
    """Return the route that names the others."""
    routes = APIRouter()

    @routes.get("/")
    async def index() -> dict[str, str]:
        """Say who answers, and where to find what."""
        return {
            "name": "reconciler",
            "version": version,
            "metrics": "/metrics",
            "health": "/healthz",
            "openapi": "/openapi.json",
        }

    return routes
