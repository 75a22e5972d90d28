"""``/healthz``: whether the daemon does its work."""

from collections.abc import Callable
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import JSONResponse


def router(problem: Callable[[], str], doing: Callable[[], str]) -> APIRouter:
    """
    Return the route that answers 200, or 503 with what *problem* says.

    *doing* says what takes long just now, if anything does.
    """
    routes = APIRouter()

    @routes.get("/healthz", responses={503: {"description": "with the reason"}})
    def healthz() -> JSONResponse:
        """Say whether the daemon does its work, and if not, why."""
        reason = problem()
        now = {"doing": what} if (what := doing()) else {}
        if not reason:
            return JSONResponse({"status": "ok", **now})
        return JSONResponse(
            {"status": "failing", "reason": reason, **now},
            status_code=HTTPStatus.SERVICE_UNAVAILABLE,
        )

    return routes
